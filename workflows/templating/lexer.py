"""Cut a template into text, outputs and tags, in time linear in its length.

It stands in for python-liquid's own lexer, whose regular expressions take seconds for a few thousand
spaces inside a tag or a few thousand `{% raw %}` that nobody closes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from liquid.token import TOKEN_CONTENT, TOKEN_EXPRESSION, TOKEN_OUTPUT, TOKEN_TAG, Token

from workflows.templating.faults import EXPRESSION_LIMIT, TAGS_LIMIT, TemplateFault, too_much

OPENING = re.compile(r"\{\{|\{%")
TAG_NAME = re.compile(r"#|\w+")
# Between these two nothing is a template; the text of `raw` is kept, that of `comment` dropped.
VERBATIM_END = {
    "raw": re.compile(r"\{%-?\s*endraw\s*-?%\}"),
    "comment": re.compile(r"\{%-?\s*endcomment\s*-?%\}"),
}
# python-liquid reads these words as keywords wherever they stand, so `trigger.limit` would be an error, and
# a step called `limit` could not be read. A field is put into brackets and quotes; the first name of a path,
# where brackets are not possible everywhere, gets a prefix that `plain_name` takes off again.
NAME_PREFIX = "_name_"
KEYWORDS_OF_LOOPS = "offset|limit|reversed|cols|continue|with|as|else|required"  # legal as step keys
KEYWORDS = f"true|false|nil|null|empty|blank|and|or|not|contains|in|for|if|{KEYWORDS_OF_LOOPS}"
KEYWORD_AS_NAME = re.compile(
    r"""(?P<quoted>"[^"]*"|'[^']*')"""
    rf"|(?<!\.)\.\s*(?P<field>{KEYWORDS})(?![\w?-])"
    rf"|(?<![\w.-])(?P<root>{KEYWORDS_OF_LOOPS})(?![\w?-])"
)


def syntax(detail: str, offset: int | None = None) -> TemplateFault:
    return TemplateFault("template.syntax", detail, offset=offset)


def tokens_of(source: str) -> Iterator[Token]:
    """The tokens that python-liquid's parser reads. Raises `TemplateFault`."""
    position, strip_left, tags = 0, False, 0
    while position < len(source):
        opening = OPENING.search(source, position)
        start = opening.start() if opening else len(source)
        strip_right = source[start + 2 : start + 3] == "-"
        text = _stripped(source[position:start], left=strip_left, right=strip_right)
        if text:
            yield Token(TOKEN_CONTENT, text, position, source)
        if opening is None:
            return
        tags = _counted(tags + 1, start)
        body, body_start, position, strip_left = _body_at(source, start)
        if opening.group() == "{{":
            yield Token(TOKEN_OUTPUT, source[start:position], start, source)
            yield Token(TOKEN_EXPRESSION, _names_marked(body, is_loop=False), body_start, source)
            continue
        name = TAG_NAME.match(body)
        if name is None:
            raise syntax("A tag `{% %}` needs a name.", start)
        if name.group() in VERBATIM_END:
            text, position, strip_left = _verbatim(
                name.group(), source, start, position, strip_left=strip_left
            )
            if text:
                yield Token(TOKEN_CONTENT, text, start, source)
        elif name.group() != "#":
            yield Token(TOKEN_TAG, name.group(), start, source)
            if expression := body[name.end() :].strip():
                is_loop = name.group() == "for"
                begins = body_start + body.index(expression, name.end())
                yield Token(TOKEN_EXPRESSION, _names_marked(expression, is_loop=is_loop), begins, source)


def _counted(tags: int, start: int) -> int:
    if tags > TAGS_LIMIT:
        raise too_much(f"A template may have {TAGS_LIMIT:,} outputs and tags.").at(start)
    return tags


def plain_name(name: str) -> str:
    """The first name of a path as its author wrote it."""
    return name.removeprefix(NAME_PREFIX)


def _names_marked(expression: str, *, is_loop: bool) -> str:
    """The expression with keywords that stand where only a name can stand made into names."""

    def rewrite(match: re.Match[str]) -> str:
        if match["quoted"]:
            return match.group()
        if match["root"]:
            before, after = expression[: match.start()].rstrip(), expression[match.end() :].lstrip()
            means_itself = is_loop and not after.startswith((".", "[")) and not before.endswith(" in")
            if means_itself or before.endswith("|") or after.startswith(":"):
                return match.group()
            return NAME_PREFIX + match["root"]
        return f'["{match["field"]}"]'

    return KEYWORD_AS_NAME.sub(rewrite, expression)


def _body_at(source: str, start: int) -> tuple[str, int, int, bool]:
    """The stripped inside of the tag at `start`, its place, the tag's end, and whether it ends in `-}}`."""
    closing = "}}" if source.startswith("{{", start) else "%}"
    end = source.find(closing, start + 2)
    if end < 0:
        raise syntax(
            f"A template starts with `{source[start : start + 2]}` but `{closing}` is missing.", start
        )
    inside = source[start + 2 : end]
    if len(inside) > EXPRESSION_LIMIT:
        raise too_much(f"One expression may have {EXPRESSION_LIMIT:,} characters.").at(start)
    strips = inside.endswith("-")
    body = inside.removeprefix("-").removesuffix("-").strip()
    if not body:
        raise syntax("There is nothing between the braces.", start)
    return body, start + 2 + inside.index(body), end + 2, strips


def _verbatim(
    name: str, source: str, start: int, position: int, *, strip_left: bool
) -> tuple[str, int, bool]:
    """The text up to the closing tag of `raw` or `comment`, where that tag ends, and whether it strips."""
    end = VERBATIM_END[name].search(source, position)
    if end is None:
        raise syntax(f"`{{% {name} %}}` is never closed.", start)
    opening_strips_right = end.group().startswith("{%-")
    text = _stripped(source[position : end.start()], left=strip_left, right=opening_strips_right)
    return (text if name == "raw" else ""), end.end(), end.group().endswith("-%}")


def _stripped(text: str, *, left: bool, right: bool) -> str:
    if left:
        text = text.lstrip()
    return text.rstrip() if right else text
