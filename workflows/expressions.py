"""Templates in step configs: compile, check, render. Pure: no database, no clock, no network.

A string with `{{ … }}` or `{% … %}` in it is a template. One that is a single `{{ … }}`, spaces around it
allowed, becomes the value itself with its JSON type; any other becomes text. A value is filled in once: what
comes out of a template is never read as a template again.

Missing paths are errors unless `| default: …` catches them; null is a value. See `docs/templates.md`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from liquid.ast import Node
from liquid.builtin.content import ContentNode
from liquid.builtin.output import OutputNode

from lightfield.kernel.errors import PermanentStepError
from workflows.data_text import DataText
from workflows.problems import pointer_to
from workflows.secret_text import ROOT, SecretText
from workflows.slots import Place, is_slot
from workflows.templating.compiler import Compiler
from workflows.templating.data_frame import DataFrame
from workflows.templating.expression_compiler import Evaluate, Reference, Use
from workflows.templating.faults import (
    CONFIG_LIMIT,
    SOURCE_LIMIT,
    Budget,
    TemplateFault,
    place_in,
    too_much,
)
from workflows.templating.frame import Frame, Read
from workflows.templating.missing import present
from workflows.templating.reader import parse
from workflows.templating.secret_parts import SecretParts
from workflows.templating.values import weigh

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


class Template:
    """One compiled template.

    `uses` are the paths it reads from the context, root and the literal part of the path, with where it does. `secret_names`
    are the secrets whose places it keeps: it renders to a `SecretText` then, which holds no value.
    """

    __slots__ = ("_begins", "_reads", "_secrets", "_value", "_write", "source", "uses")

    def __init__(self, source: str, nodes: list[Node]) -> None:
        compiler = Compiler()
        lone = _lone_output(nodes)
        self.source = source
        self._begins = lone.token.start_index if lone else 0
        self._value: Evaluate | None = None
        self._reads: tuple[Read, ...] = ()
        if lone:
            self._value, self._reads = self._lone_value(compiler, lone)
        self._write = None if lone else compiler.block(nodes)
        self.uses: Mapping[Reference, Use] = compiler.uses
        self._secrets = SecretParts(nodes) if any(root == ROOT for root, _ in self.uses) else None

    def _lone_value(self, compiler: Compiler, lone: OutputNode) -> tuple[Evaluate, tuple[Read, ...]]:
        try:
            return compiler.noted(lone.expression)
        except TemplateFault as fault:
            fault.at(self._begins)
            raise

    @property
    def references(self) -> frozenset[Reference]:
        return frozenset(self.uses)

    @property
    def secret_names(self) -> frozenset[str]:
        return self._secrets.names if self._secrets else frozenset()

    def render(self, context: Mapping[str, Any], budget: Budget) -> Any:
        """The value (a lone output), the text, or the `SecretText`. Raises `TemplateFault`."""
        frame = Frame(context, budget)
        if self._secrets is not None:
            return self._secrets.render(frame, budget)
        if self._value is not None:
            with self._at_lone():
                value = present(self._value(frame))
                budget.emit(weigh(value, budget, CONFIG_LIMIT))
            return value
        assert self._write is not None
        self._write(frame)
        text = frame.text()
        budget.emit(len(text))
        return text

    def render_apart(self, context: Mapping[str, Any], budget: Budget) -> DataText | SecretText:
        """As text in which data is told from the author's words. Raises `TemplateFault`."""
        if self._secrets is not None:
            return self._secrets.render(Frame(context, budget), budget)  # refused by the config's model
        frame = DataFrame(context, budget)
        if self._value is not None:
            with self._at_lone():
                frame.output(present(self._value(frame)), self._reads)
        else:
            assert self._write is not None
            self._write(frame)
        budget.emit(frame.written)
        return frame.data_text()

    @contextmanager
    def _at_lone(self) -> Iterator[None]:
        try:
            yield
        except TemplateFault as fault:
            fault.at(self._begins)
            raise


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
        TemplateFault: `template.syntax`, `template.unknown_filter`, `template.limit` or `secret.not_allowed_here`.
    """
    if len(source) > SOURCE_LIMIT:
        raise too_much(f"A template may have {SOURCE_LIMIT:,} characters, not {len(source):,}.")
    return _compile_short(source) if len(source) <= 1024 else _compile_long(source)


def _compile(source: str) -> Template:
    return Template(source, parse(source))


# A compiled template takes up to a hundred times its source: many short ones may stay, few long ones.
_compile_short = lru_cache(maxsize=2048)(_compile)
_compile_long = lru_cache(maxsize=64)(_compile)


def render_config(config: Any, context: Mapping[str, Any], apart: Collection[Place] = ()) -> Any:
    """A copy of a JSON value with every template in it filled in; keys of objects are left alone.

    Args:
        context: the roots `trigger`, `run`, `workflow` and one per finished step; plain JSON values only.
        apart: places whose templates become a `DataText` (`workflows.data_text.slots_of`).

    Raises:
        PermanentStepError: `template.*`; the metadata has `pointer` (in `config`), `template`, the place in it as
            `line` and `column` from 1 and, for `template.unresolved`, the `path`, the part of it that is `missing`,
            what that was looked for in (`within`), and the name that is nearest (`did_you_mean`).
    """
    return _Rendering(context, apart).value(config)


def render(source: str, context: Mapping[str, Any]) -> Any:
    """One template filled in. Raises as `render_config` does."""
    return render_config(source, context)


class _Rendering:
    """One pass over one config; all its templates share one budget."""

    def __init__(self, context: Mapping[str, Any], apart: Collection[Place]) -> None:
        self._context = context
        self._apart = apart
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
            template = compile_template(source)
            if self._apart and is_slot(self._place, self._apart):
                return template.render_apart(self._context, self._budget)
            return template.render(self._context, self._budget)
        except TemplateFault as fault:
            raise self._error(fault, source) from None
        except RecursionError:
            raise self._error(too_much("The template is nested too deeply."), source) from None

    def _error(self, fault: TemplateFault, source: str) -> PermanentStepError:
        metadata: dict[str, Any] = {"pointer": pointer_to(self._place), "template": source[:QUOTED]}
        if fault.offset is not None:
            metadata["line"], metadata["column"] = place_in(source, fault.offset)
        return PermanentStepError(fault.code, fault.told(source), **metadata, **fault.facts)


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
