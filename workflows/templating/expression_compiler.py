"""Compile python-liquid's expressions: literals, paths, filters, conditions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
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
from liquid.token import Token

from workflows.filters import FILTERS
from workflows.templating.conditions import BLANK, COMPARISONS, EMPTY
from workflows.templating.faults import DEPTH_LIMIT, LOOP_LIMIT, TemplateFault, failed, too_much
from workflows.templating.filter_table import WHOLE_LIMIT
from workflows.templating.filter_table import Filter as FilterRule
from workflows.templating.frame import Frame, Read
from workflows.templating.lexer import plain_name, syntax
from workflows.templating.missing import Missing, instead, look_up, nearest, present
from workflows.templating.values import Segment, is_truthy, kind_of

Evaluate = Callable[[Frame], Any]
Reference = tuple[str, tuple[Segment, ...]]


@dataclass(frozen=True)
class Use:
    """Where a template first reads a path, and whether a `default` catches it wherever it does."""

    offset: int | None
    is_caught: bool


class ExpressionCompiler:
    """Compiles expressions and notes every path that leaves the template."""

    def __init__(self) -> None:
        self.names: set[str] = set()  # the template's own, as far as compiled
        self.uses: dict[Reference, Use] = {}
        self.counts_loops = False  # whether `forloop` is read anywhere
        self._depth = 0
        self._reads: list[Read] = []

    def noted(self, node: Expression) -> tuple[Evaluate, tuple[Read, ...]]:
        """A closure for one expression, and every path that it reads, the template's own names too."""
        outer, self._reads = self._reads, []
        evaluate = self.expression(node)
        reads, self._reads = tuple(dict.fromkeys(self._reads)), outer
        return evaluate, reads

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
                return self._path(node, is_caught=False)
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

    def _path(self, node: PathExpression, *, is_caught: bool) -> Evaluate:
        root, *rest = node.path
        if not isinstance(root, str):
            raise syntax("A path must start with a name such as trigger or a step's key.")
        root = plain_name(root)
        literal: list[Segment] = []
        for part in rest:
            if isinstance(part, PathExpression):
                break
            literal.append(part)
        use = Use(_offset_of(node.token, root), is_caught)
        self._refer((root, tuple(literal)), use)
        if len(literal) < len(rest):
            return self._computed_path(root, rest, use.offset)

        def evaluate(frame: Frame) -> Any:
            return look_up(frame, root, literal, use.offset)

        return evaluate

    def _computed_path(self, root: str, rest: list[Any], offset: int | None) -> Evaluate:
        """A path with another path in brackets: `contact.tags[trigger.index]`."""
        parts = [self.expression(part) if isinstance(part, PathExpression) else part for part in rest]

        def evaluate(frame: Frame) -> Any:
            path = [_segment(part(frame)) if callable(part) else part for part in parts]
            return look_up(frame, root, path, offset)

        return evaluate

    def _refer(self, reference: Reference, use: Use) -> None:
        root, _ = reference
        self._reads.append(reference)
        self.counts_loops = self.counts_loops or root == "forloop"
        if root in self.names:
            return
        known = self.uses.get(reference)
        if known is None or known.is_caught:
            self.uses[reference] = use

    def _filtered(self, node: FilteredExpression) -> Evaluate:
        uses = node.filters or []
        rules = [self._filter(use) for use in uses]
        if isinstance(node.left, PathExpression):
            left = self._path(node.left, is_caught=any(rule.catches_missing for rule in rules))
        else:
            left = self.expression(node.left)
        if not rules:
            return left
        chain = [
            (rule, [self.expression(arg.value) for arg in use.args], _offset_of(use.token, use.name))
            for rule, use in zip(rules, uses, strict=True)
        ]

        def evaluate(frame: Frame) -> Any:
            value = left(frame)
            for rule, arguments, offset in chain:
                if type(value) is not Missing or rule.catches_missing:
                    try:
                        value = rule.apply(frame.budget, value, [present(part(frame)) for part in arguments])
                    except TemplateFault as fault:
                        fault.at(offset)
                        raise
            return value

        return evaluate

    def _filter(self, use: Filter) -> FilterRule:
        rule = FILTERS.get(use.name)
        offset = _offset_of(use.token, use.name)
        if rule is None:
            hint = instead(nearest(use.name, FILTERS), [])
            raise TemplateFault(
                "template.unknown_filter", f"There is no filter {use.name}{hint}", offset=offset
            )
        if any(isinstance(argument, KeywordArgument) for argument in use.args):
            raise syntax(f"The filter {use.name} takes no named arguments.", offset)
        if not rule.least <= len(use.args) <= rule.most:
            wanted = str(rule.least) if rule.least == rule.most else f"{rule.least} to {rule.most}"
            raise syntax(f"The filter {use.name} takes {wanted} argument(s), not {len(use.args)}.", offset)
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


def _offset_of(token: Token, word: str) -> int | None:
    """Where a word of an expression begins. None when the token's place is that of a text in which a name was marked."""
    begins = token.start_index
    return begins if token.source.startswith(word, begins) else None


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
