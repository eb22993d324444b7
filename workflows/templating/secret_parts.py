"""The one form in which a template may hold secrets: text, and `{{ }}` of which some are `{{ secret.name }}`, unfiltered.

Filters could take a value apart, conditions could ask about it, loops could count it. So they are not there at all.
"""

from __future__ import annotations

from collections.abc import Sequence

from liquid.ast import Node
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import FilteredExpression
from liquid.builtin.expressions import Path as PathExpression
from liquid.builtin.output import OutputNode
from liquid.expression import Expression

from workflows.secret_text import NAME, NOT_ALLOWED, ROOT, SecretName, SecretText
from workflows.templating.compiler import Compiler, Write
from workflows.templating.faults import Budget, TemplateFault
from workflows.templating.frame import Frame

ONE_FORM = "Write {{ secret.name }} alone or amid text: no filters, tags or conditions."


class SecretParts:
    """A compiled template that holds secrets. Raises `TemplateFault` when made of anything but the one form."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._parts = [_part(node) for node in nodes]
        self.names = frozenset(part for part in self._parts if isinstance(part, SecretName))

    def render(self, frame: Frame, budget: Budget) -> SecretText:
        """Text filled in, references left. Raises `TemplateFault`."""
        rendered: list[str | SecretName] = []
        for part in self._parts:
            if isinstance(part, SecretName):
                rendered.append(part)
                continue
            before = len(frame.text())
            part(frame)
            rendered.append(frame.text()[before:])
        budget.emit(len(frame.text()))
        return SecretText(rendered)


def _part(node: Node) -> SecretName | Write:
    if isinstance(node, OutputNode):
        path = _plain_path(node.expression)
        if path is not None and path.path[0] == ROOT:
            return _name(path)
    elif not isinstance(node, ContentNode):
        raise _refused()
    compiler = Compiler()
    write = compiler.block([node])
    if any(root == ROOT for root, _ in compiler.uses):
        raise _refused()
    return write


def _plain_path(expression: Expression) -> PathExpression | None:
    if isinstance(expression, FilteredExpression):
        if expression.filters or type(expression) is not FilteredExpression:
            return None
        expression = expression.left
    return expression if isinstance(expression, PathExpression) else None


def _name(path: PathExpression) -> SecretName:
    rest = path.path[1:]
    if len(rest) != 1 or not isinstance(rest[0], str) or not NAME.fullmatch(rest[0]):
        raise TemplateFault(
            NOT_ALLOWED, "A secret is written {{ secret.name }}, with nothing behind its name."
        )
    return SecretName(rest[0])


def _refused() -> TemplateFault:
    return TemplateFault(NOT_ALLOWED, ONE_FORM)
