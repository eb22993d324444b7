"""python-liquid as a reader: our lexer before it, its grammar, the tags we allow, nothing that renders."""

from __future__ import annotations

from typing import Any, NoReturn

from liquid import Environment
from liquid.ast import Node
from liquid.builtin.content import Literal
from liquid.builtin.illegal import Illegal
from liquid.builtin.output import Output
from liquid.builtin.tags.assign_tag import AssignTag
from liquid.builtin.tags.capture_tag import CaptureTag
from liquid.builtin.tags.case_tag import CaseTag
from liquid.builtin.tags.for_tag import BreakTag, ContinueTag, ForTag
from liquid.builtin.tags.if_tag import IfTag
from liquid.builtin.tags.unless_tag import UnlessTag
from liquid.exceptions import BlockNestingError, LiquidError
from liquid.mode import Mode
from liquid.stream import TokenStream

from workflows.templating.faults import DEPTH_LIMIT, TemplateFault, too_much
from workflows.templating.lexer import syntax, tokens_of


class _StrictIf(IfTag):
    mode = Mode.STRICT  # a second `else` is an error, not ignored


class _StrictUnless(UnlessTag):
    mode = Mode.STRICT


class _UnknownTag(Illegal):
    def parse(self, stream: TokenStream) -> NoReturn:
        name = stream.current.value
        if name.startswith("end") or name in ("else", "elsif", "when"):
            raise syntax(f"The tag {name} stands where nothing is open for it.", stream.current.start_index)
        raise syntax(f"There is no tag {name}.", stream.current.start_index)


class _Environment(Environment):
    """python-liquid as a parser: our lexer, the allowed tags, nothing that renders."""

    block_nesting_limit = DEPTH_LIMIT

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:  # noqa: ARG002  the signature is theirs
        allowed = (AssignTag, CaptureTag, CaseTag, ForTag, BreakTag, ContinueTag, _StrictIf, _StrictUnless)
        for tag in (Literal, Output, _UnknownTag, *allowed):
            self.add_tag(tag)

    def tokenizer(self) -> Any:
        return tokens_of


_environment = _Environment()


def parse(source: str) -> list[Node]:
    """The parse tree of a template. Raises `TemplateFault`."""
    try:
        return _environment.from_string(source).nodes
    except BlockNestingError:
        raise too_much(f"Blocks may be nested {DEPTH_LIMIT} deep.") from None
    except LiquidError as error:
        raise _fault_behind(error) from None


def _fault_behind(error: LiquidError) -> TemplateFault:
    """What our lexer or the interpreter raised inside python-liquid, which wraps it, or a syntax error."""
    cause = error.__cause__
    offset = error.token.start_index if error.token is not None else None
    if isinstance(cause, TemplateFault):
        return cause.at(offset)
    if isinstance(cause, RecursionError):
        return too_much("The template is nested too deeply.").at(offset)
    return syntax(_plain(str(error.message)), offset)


def _plain(message: str) -> str:
    """python-liquid's message as a sentence, with the remedy for the commonest slip."""
    hint = (
        " Write items[0] for the first item of a list."
        if message.startswith("expected an identifier")
        else ""
    )
    return f"{message[:1].upper()}{message[1:]}.{hint}"
