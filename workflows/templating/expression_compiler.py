"""Compile python-liquid's expressions: literals, paths, filters, conditions."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import takewhile
from typing import Any

from liquid.builtin.expressions import BooleanExpression, Filter, FilteredExpression, Nil
from liquid.builtin.expressions import Path as PathExpression
from liquid.builtin.expressions.arguments import KeywordArgument
from liquid.builtin.expressions.logical import (
    ContainsExpression,
    EqExpression,
    GeExpression,
    GtExpression,
    LeExpression,
    LogicalAndExpression,
    LogicalOrExpression,
    LtExpression,
    NeExpression,
)
from liquid.builtin.expressions.primitive import (
    Blank,
    Empty,
    FalseLiteral,
    FloatLiteral,
    IntegerLiteral,
    RangeLiteral,
    StringLiteral,
    TrueLiteral,
)
from liquid.expression import Expression

from workflows.filters import FILTERS
from workflows.templating.conditions import BLANK, COMPARISONS, EMPTY
from workflows.templating.faults import DEPTH_LIMIT, LOOP_LIMIT, TemplateFault, failed, too_much
from workflows.templating.filter_table import WHOLE_LIMIT
from workflows.templating.filter_table import Filter as FilterRule
from workflows.templating.frame import Frame
from workflows.templating.lexer import plain_name, syntax
from workflows.templating.values import (
    ABSENT,
    Missing,
    Segment,
    is_truthy,
    kind_of,
    present,
    step_into,
    written,
)

Evaluate = Callable[[Frame], Any]
Reference = tuple[str, tuple[Segment, ...]]


class ExpressionCompiler:
    """Compiles expressions and notes every path that leaves the template."""

    def __init__(self) -> None:
        self.names: set[str] = set()  # the template's own, as far as compiled
        self.references: list[Reference] = []
        self.counts_loops = False  # whether `forloop` is read anywhere
        self._depth = 0

    def expression(self, node: Expression) -> Evaluate:
        """A closure for one expression. Raises `TemplateFault` for what templates may not use."""
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise too_much(f"Expressions may be nested {DEPTH_LIMIT} deep.")
        try:
            return self._compile(node)
        finally:
            self._depth -= 1

    def _compile(self, node: Expression) -> Evaluate:
        match node:
            case PathExpression():
                return self._path(node)
            case FilteredExpression():
                return self._filtered(node)
            case BooleanExpression():
                return self.expression(node.expression)
            case RangeLiteral():
                return self._range(node)
            case LogicalAndExpression() | LogicalOrExpression():
                return self._logical(node)
            case (
                EqExpression()
                | NeExpression()
                | LtExpression()
                | LeExpression()
                | GtExpression()
                | GeExpression()
                | ContainsExpression()
            ):
                return self._comparison(node)
        return _constant(node)

    def _path(self, node: PathExpression) -> Evaluate:
        root, *rest = node.path
        if not isinstance(root, str):
            raise syntax("A path must start with a name such as trigger or a step's key.")
        root = plain_name(root)
        if any(isinstance(segment, PathExpression) for segment in rest):
            return self._computed_path(root, rest)
        segments = [segment for segment in rest if isinstance(segment, str | int)]
        self._refer(root, segments)

        def evaluate(frame: Frame) -> Any:
            return lookup(frame, root, segments)

        return evaluate

    def _computed_path(self, root: str, rest: list[Any]) -> Evaluate:
        """A path with another path in brackets: `contact.tags[trigger.index]`."""
        literal = list(takewhile(lambda part: not isinstance(part, PathExpression), rest))
        self._refer(root, literal)
        parts = [self.expression(part) if isinstance(part, PathExpression) else part for part in rest]

        def evaluate(frame: Frame) -> Any:
            return lookup(frame, root, [_segment(part(frame)) if callable(part) else part for part in parts])

        return evaluate

    def _refer(self, root: str, segments: list[Segment]) -> None:
        self.counts_loops = self.counts_loops or root == "forloop"
        if root not in self.names:
            self.references.append((root, tuple(segments)))

    def _filtered(self, node: FilteredExpression) -> Evaluate:
        left = self.expression(node.left)
        if not node.filters:
            return left
        chain = [
            (self._filter(use), [self.expression(arg.value) for arg in use.args]) for use in node.filters
        ]

        def evaluate(frame: Frame) -> Any:
            value = left(frame)
            for rule, arguments in chain:
                if type(value) is not Missing or rule.catches_missing:
                    value = rule.apply(frame.budget, value, [present(part(frame)) for part in arguments])
            return value

        return evaluate

    def _filter(self, use: Filter) -> FilterRule:
        rule = FILTERS.get(use.name)
        if rule is None:
            raise TemplateFault("template.unknown_filter", f"There is no filter {use.name}.")
        if any(isinstance(argument, KeywordArgument) for argument in use.args):
            raise syntax(f"The filter {use.name} takes no named arguments.")
        if not rule.least <= len(use.args) <= rule.most:
            wanted = str(rule.least) if rule.least == rule.most else f"{rule.least} to {rule.most}"
            raise syntax(f"The filter {use.name} takes {wanted} argument(s), not {len(use.args)}.")
        return rule

    def _range(self, node: RangeLiteral) -> Evaluate:
        start, stop = self.expression(node.start), self.expression(node.stop)

        def evaluate(frame: Frame) -> list[int]:
            first, last = _bound(present(start(frame))), _bound(present(stop(frame)))
            if last - first >= LOOP_LIMIT:
                raise too_much(f"A range may have {LOOP_LIMIT:,} numbers.")
            frame.budget.spend(max(0, last - first) // 8)
            return list(range(first, last + 1))

        return evaluate

    def _logical(self, node: LogicalAndExpression | LogicalOrExpression) -> Evaluate:
        left, right = self.expression(node.left), self.expression(node.right)
        decided_by = isinstance(node, LogicalOrExpression)

        def evaluate(frame: Frame) -> bool:
            if is_truthy(present(left(frame))) is decided_by:
                return decided_by
            return is_truthy(present(right(frame)))

        return evaluate

    def _comparison(self, node: Any) -> Evaluate:
        left, right = self.expression(node.left), self.expression(node.right)
        compare = COMPARISONS[type(node)]

        def evaluate(frame: Frame) -> bool:
            return compare(frame, present(left(frame)), present(right(frame)))

        return evaluate


def lookup(frame: Frame, root: str, segments: list[Segment]) -> Any:
    """The value at a path, or `Missing` with the place where the path ends."""
    value = frame.root(root)
    if value is ABSENT:
        return Missing(written([root, *segments]), f"there is no {root}")
    for index, segment in enumerate(segments):
        parent, value = value, step_into(value, segment)
        if value is ABSENT:
            return Missing(
                written([root, *segments]), _dead_end(parent, written([root, *segments[:index]]), segment)
            )
    return value


def _dead_end(parent: Any, walked: str, segment: Segment) -> str:
    """Why a path stops, for the person who wrote it."""
    if isinstance(parent, dict):
        return f"{walked} has no {written([str(segment)])}"
    if isinstance(parent, list):
        return f"{walked} is a list of {len(parent)}"
    return f"{walked} is {kind_of(parent)}"


def _constant(node: Expression) -> Evaluate:
    value = _literal(node)
    return lambda _frame: value


def _literal(node: Expression) -> Any:
    match node:
        case TrueLiteral() | FalseLiteral() | StringLiteral():
            return node.value
        case IntegerLiteral() if -WHOLE_LIMIT <= node.value < WHOLE_LIMIT:
            return node.value
        case FloatLiteral() if math.isfinite(node.value):
            return node.value
        case Nil():
            return None
        case Empty():
            return EMPTY
        case Blank():
            return BLANK
    raise syntax(f"`{node}` cannot be used in a template.")


def _segment(value: Any) -> Segment:
    """The value in a path's brackets. Anything but text and whole numbers leads nowhere."""
    present(value)
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise failed(f"The brackets of a path need text or a whole number, not {kind_of(value)}.")


def _bound(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise failed(f"A range needs whole numbers, not {kind_of(value)}.")
    return value
