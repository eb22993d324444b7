"""Templates in step configs: compile, check, render. Pure: no database, no clock, no network.

A string with `{{ … }}` or `{% … %}` in it is a template. One that is a single `{{ … }}`, spaces around it
allowed, becomes the value itself with its JSON type; any other becomes text. A value is filled in once: what
comes out of a template is never read as a template again.

Missing paths are errors unless `| default: …` catches them; null is a value. See `docs/templates.md`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NoReturn

from liquid import Environment
from liquid.ast import Node
from liquid.builtin.content import ContentNode, Literal
from liquid.builtin.illegal import Illegal
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags.assign_tag import AssignTag
from liquid.builtin.tags.capture_tag import CaptureTag
from liquid.builtin.tags.case_tag import CaseTag
from liquid.builtin.tags.for_tag import BreakTag, ContinueTag, ForTag
from liquid.builtin.tags.if_tag import IfTag
from liquid.builtin.tags.unless_tag import UnlessTag
from liquid.exceptions import BlockNestingError, LiquidError
from liquid.mode import Mode
from liquid.stream import TokenStream

from lightfield.kernel.errors import PermanentStepError
from workflows.problems import pointer_to
from workflows.templating.compiler import Compiler
from workflows.templating.expression_compiler import Reference
from workflows.templating.faults import (
    CONFIG_LIMIT,
    DEPTH_LIMIT,
    SOURCE_LIMIT,
    Budget,
    TemplateFault,
    too_much,
)
from workflows.templating.frame import Frame
from workflows.templating.lexer import syntax, tokens_of
from workflows.templating.values import present, weigh

__all__ = [
    "Template",
    "TemplateFault",
    "compile_template",
    "is_template",
    "references_of",
    "render",
    "render_config",
    "templates_in",
]

QUOTED = 200  # characters of a template that an error repeats


class _StrictIf(IfTag):
    mode = Mode.STRICT  # a second `else` is an error, not ignored


class _StrictUnless(UnlessTag):
    mode = Mode.STRICT


class _UnknownTag(Illegal):
    def parse(self, stream: TokenStream) -> NoReturn:
        name = stream.current.value
        if name.startswith("end") or name in ("else", "elsif", "when"):
            raise syntax(f"The tag {name} stands where nothing is open for it.")
        raise syntax(f"There is no tag {name}.")


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


class Template:
    """One compiled template.

    `references` are the paths it reads from the context: root and the literal part of the path.
    """

    __slots__ = ("_value", "_write", "references", "source")

    def __init__(self, source: str, nodes: list[Node]) -> None:
        compiler = Compiler()
        lone = _lone_output(nodes)
        self.source = source
        self._value = compiler.expression(lone.expression) if lone else None
        self._write = None if lone else compiler.block(nodes)
        self.references: frozenset[Reference] = frozenset(compiler.references)

    def render(self, context: Mapping[str, Any], budget: Budget) -> Any:
        """The value (a lone output) or the text. Raises `TemplateFault`."""
        frame = Frame(context, budget)
        if self._value is not None:
            value = present(self._value(frame))
            budget.emit(weigh(value, budget, CONFIG_LIMIT))
            return value
        assert self._write is not None
        self._write(frame)
        text = frame.text()
        budget.emit(len(text))
        return text


def _lone_output(nodes: list[Node]) -> OutputNode | None:
    """The one output of a template that holds nothing else but spaces."""
    outputs = [node for node in nodes if isinstance(node, OutputNode)]
    rest = [node for node in nodes if not isinstance(node, OutputNode)]
    if len(outputs) == 1 and all(isinstance(node, ContentNode) and not node.text.strip() for node in rest):
        return outputs[0]
    return None


def is_template(value: object) -> bool:
    """Whether a value is a string that will be filled in."""
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def compile_template(source: str) -> Template:
    """The compiled template, from a bounded cache.

    Raises:
        TemplateFault: `template.syntax`, `template.unknown_filter` or `template.limit`.
    """
    if len(source) > SOURCE_LIMIT:
        raise too_much(f"A template may have {SOURCE_LIMIT:,} characters, not {len(source):,}.")
    return _compile_short(source) if len(source) <= 1024 else _compile_long(source)


def _compile(source: str) -> Template:
    try:
        return Template(source, _environment.from_string(source).nodes)
    except BlockNestingError:
        raise too_much(f"Blocks may be nested {DEPTH_LIMIT} deep.") from None
    except LiquidError as error:
        raise _fault_behind(error) from None


def _fault_behind(error: LiquidError) -> TemplateFault:
    """What our lexer or the interpreter raised inside python-liquid, which wraps it, or a syntax error."""
    cause = error.__cause__
    if isinstance(cause, TemplateFault):
        return cause
    if isinstance(cause, RecursionError):
        return too_much("The template is nested too deeply.")
    return syntax(_plain(str(error.message)))


def _plain(message: str) -> str:
    """python-liquid's message as a sentence, with the remedy for the commonest slip."""
    hint = (
        " Write items[0] for the first item of a list."
        if message.startswith("expected an identifier")
        else ""
    )
    return f"{message[:1].upper()}{message[1:]}.{hint}"


# A compiled template takes up to a hundred times its source: many short ones may stay, few long ones.
_compile_short = lru_cache(maxsize=2048)(_compile)
_compile_long = lru_cache(maxsize=64)(_compile)


def render_config(config: Any, context: Mapping[str, Any]) -> Any:
    """A copy of a JSON value with every template in it filled in; keys of objects are left alone.

    Args:
        context: the roots `trigger`, `run`, `workflow` and one per finished step; plain JSON values only.

    Raises:
        PermanentStepError: `template.*`; the metadata has `pointer` (in `config`), `template` and, for
            `template.unresolved`, the missing `path`.
    """
    return _Rendering(context).value(config)


def render(source: str, context: Mapping[str, Any]) -> Any:
    """One template filled in. Raises as `render_config` does."""
    return render_config(source, context)


class _Rendering:
    """One pass over one config; all its templates share one budget."""

    def __init__(self, context: Mapping[str, Any]) -> None:
        self._context = context
        self._budget = Budget()
        self._place: list[str | int] = []

    def value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._string(value) if "{{" in value or "{%" in value else value
        if isinstance(value, dict):
            return {key: self._at(key, item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._at(index, item) for index, item in enumerate(value)]
        return value

    def _at(self, part: str | int, value: Any) -> Any:
        self._place.append(part)
        rendered = self.value(value)
        self._place.pop()
        return rendered

    def _string(self, source: str) -> Any:
        try:
            return compile_template(source).render(self._context, self._budget)
        except TemplateFault as fault:
            raise self._error(fault, source) from None
        except RecursionError:
            raise self._error(too_much("The template is nested too deeply."), source) from None

    def _error(self, fault: TemplateFault, source: str) -> PermanentStepError:
        metadata: dict[str, Any] = {"pointer": pointer_to(self._place), "template": source[:QUOTED]}
        if fault.path:
            metadata["path"] = fault.path
        return PermanentStepError(fault.code, fault.detail, **metadata)


def templates_in(config: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """Pointer and source of every template in a JSON value, in document order."""
    if isinstance(config, dict):
        for key, item in config.items():
            yield from templates_in(item, at + pointer_to([key]))
    elif isinstance(config, list):
        for index, item in enumerate(config):
            yield from templates_in(item, f"{at}/{index}")
    elif is_template(config):
        yield at, config


def references_of(config: Any) -> list[tuple[str, str, tuple[str | int, ...]]]:
    """Every path that a config's templates read, as (pointer, root, rest of the path), in document order.

    Raises:
        TemplateFault: a template cannot be compiled.
    """
    return [
        (pointer, root, path)
        for pointer, source in templates_in(config)
        for root, path in sorted(compile_template(source).references, key=str)
    ]
