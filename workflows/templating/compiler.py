"""From python-liquid's parse tree to closures over a `Frame`.

Only the node types named here exist; anything else that python-liquid can parse is refused. A closure takes
the frame and returns a value (expressions) or writes to the frame (nodes).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from liquid.ast import BlockNode, ConditionalBlockNode, Node
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import LoopExpression
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.assign_tag import AssignNode
from liquid.builtin.tags.capture_tag import CaptureNode
from liquid.builtin.tags.case_tag import CaseNode, MultiExpressionBlockNode
from liquid.builtin.tags.for_tag import BreakNode, ContinueNode, ForNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.unless_tag import UnlessNode

from workflows.templating.conditions import equal
from workflows.templating.expression_compiler import Evaluate, ExpressionCompiler
from workflows.templating.faults import TemplateFault, failed
from workflows.templating.frame import Frame, Read
from workflows.templating.lexer import plain_name, syntax
from workflows.templating.missing import present
from workflows.templating.values import is_truthy, kind_of

Write = Callable[[Frame], None]
RESERVED_NAMES = frozenset({"trigger", "run", "workflow", "secret", "forloop"})


class _Break(Exception):
    """`{% break %}`"""


class _Continue(Exception):
    """`{% continue %}`"""


class Compiler(ExpressionCompiler):
    """Compiles one template; keeps what it referred to and which names are its own."""

    def __init__(self) -> None:
        super().__init__()
        self._loops = 0
        self._compilers: dict[type[Node], Callable[[Any], Write]] = {
            ContentNode: self._content,
            OutputNode: self._output,
            IfNode: self._if,
            UnlessNode: self._unless,
            CaseNode: self._case,
            ForNode: self._for,
            BreakNode: self._jump,
            ContinueNode: self._jump,
            AssignNode: self._assign,
            CaptureNode: self._capture,
        }

    def block(self, nodes: Sequence[Node]) -> Write:
        """All nodes in order. Running a block costs a unit of work per text and three per other node."""
        writes = [self._node(node) for node in nodes]
        offsets = dict(zip(writes, [node.token.start_index for node in nodes], strict=True))
        cost = 1 + sum(1 if isinstance(node, ContentNode) else 3 for node in nodes)

        def run(frame: Frame) -> None:
            frame.budget.spend(cost)
            try:
                for write in writes:
                    write(frame)
            except TemplateFault as fault:
                fault.at(offsets[write])
                raise

        return run

    def _node(self, node: Node) -> Write:
        compiler = self._compilers.get(type(node))
        if compiler is None:
            raise syntax(f"`{node}` is not available in templates.", node.token.start_index)
        try:
            return compiler(node)
        except TemplateFault as fault:
            fault.at(node.token.start_index)
            raise

    def _content(self, node: ContentNode) -> Write:
        text = node.text
        return lambda frame: frame.write(text)

    def _output(self, node: OutputNode) -> Write:
        evaluate, reads = self.noted(node.expression)
        return lambda frame: frame.output(present(evaluate(frame)), reads)

    def _if(self, node: IfNode) -> Write:
        return self._branches(node, self.expression(node.condition), wanted=True)

    def _unless(self, node: UnlessNode) -> Write:
        return self._branches(node, self.expression(node.condition), wanted=False)

    def _branches(self, node: IfNode | UnlessNode, condition: Evaluate, *, wanted: bool) -> Write:
        first = self._block_node(node.consequence)
        others = [self._alternative(alternative) for alternative in node.alternatives]
        default = self._block_node(node.default) if node.default else _nothing

        def run(frame: Frame) -> None:
            if is_truthy(present(condition(frame))) is wanted:
                return first(frame)
            for test, block in others:
                if is_truthy(present(test(frame))):
                    return block(frame)
            return default(frame)

        return run

    def _alternative(self, node: ConditionalBlockNode) -> tuple[Evaluate, Write]:
        return self.expression(node.expression), self._block_node(node.block)

    def _block_node(self, node: BlockNode) -> Write:
        return self.block(node.nodes)

    def _case(self, node: CaseNode) -> Write:
        """The first `when` that fits is written, else what stands under `else`."""
        subject = self.expression(node.expression)
        whens: list[tuple[list[Evaluate], Write]] = []
        default: Write = _nothing
        for block in node.blocks:
            if isinstance(block, MultiExpressionBlockNode):
                values = [self.expression(value) for value in block.expression.expressions]
                whens.append((values, self._block_node(block.block)))
            else:
                default = self._block_node(block)

        def run(frame: Frame) -> None:
            value = present(subject(frame))
            for candidates, block in whens:
                if any(equal(frame, value, present(candidate(frame))) for candidate in candidates):
                    return block(frame)
            return default(frame)

        return run

    def _for(self, node: ForNode) -> Write:
        loop = node.expression
        name = self._own_name(loop.identifier)
        items, reads = self._loop_items(loop)
        outer = set(self.names)
        self.names |= {name, "forloop"}
        self._loops += 1
        body = self._block_node(node.block)
        self._loops -= 1
        self.names = outer | (self.names - {name, "forloop"})
        otherwise = self._block_node(node.default) if node.default else _nothing

        def run(frame: Frame) -> None:
            values = items(frame)
            if not values:
                return otherwise(frame)
            frame.budget.iterate(len(values))
            with frame.loop(name, len(values), counted=self.counts_loops, reads=reads) as step:
                for index, value in enumerate(values):
                    step(index, value)
                    try:
                        body(frame)
                    except _Continue:
                        continue
                    except _Break:
                        break
            return None

        return run

    def _loop_items(self, loop: LoopExpression) -> tuple[Callable[[Frame], list[Any]], tuple[Read, ...]]:
        if loop.cols is not None:
            raise syntax("`cols` belongs to `tablerow`, which is not available in templates.")
        iterable, reads = self.noted(loop.iterable)
        limit = self.expression(loop.limit) if loop.limit is not None else None
        offset = self.expression(loop.offset) if loop.offset is not None else None
        backwards = loop.reversed

        def items(frame: Frame) -> list[Any]:
            values = _loop_values(frame, present(iterable(frame)))
            start = _count(present(offset(frame)), "offset") if offset else 0
            stop = start + _count(present(limit(frame)), "limit") if limit else None
            values = values[start:stop]
            return values[::-1] if backwards else values

        return items, reads

    def _jump(self, node: BreakNode | ContinueNode) -> Write:
        if not self._loops:
            raise syntax("`break` and `continue` belong inside `for`.")
        jump: type[Exception] = _Break if isinstance(node, BreakNode) else _Continue

        def run(_frame: Frame) -> None:
            raise jump

        return run

    def _assign(self, node: AssignNode) -> Write:
        evaluate, reads = self.noted(node.expression)
        name = self._own_name(node.name)
        self.names.add(name)
        return lambda frame: frame.assign(name, present(evaluate(frame)), reads)

    def _capture(self, node: CaptureNode) -> Write:
        body = self._block_node(node.block)
        name = self._own_name(node.name)
        self.names.add(name)
        return lambda frame: frame.capture(name, body)

    def _own_name(self, name: str) -> str:
        if name in RESERVED_NAMES:
            raise syntax(f"`{name}` is reserved: give the variable another name.")
        return plain_name(name)


def _nothing(_frame: Frame) -> None:
    return None


def _loop_values(frame: Frame, value: Any) -> list[Any]:
    """What `for` goes through: a list's items, an object's pairs; null is an empty list."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        frame.budget.spend(len(value))
        return [[key, item] for key, item in value.items()]
    if value is None:
        return []
    raise failed(f"`for` needs a list, not {kind_of(value)}.")


def _count(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise failed(f"`{name}` of `for` must be a whole number of 0 or more.")
    return value
