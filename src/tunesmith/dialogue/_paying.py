"""Tolls in a template: its syntax tree is rewritten so that loops, macros, joins, comparisons and lists are paid for.

jinja2 lets an environment intercept calls and arithmetic; the rest compiles to plain Python, hence this.
"""

from functools import lru_cache
from typing import Any

from jinja2 import Template, nodes
from jinja2.exceptions import SecurityError
from jinja2.visitor import NodeTransformer

from tunesmith.dialogue._meter import LARGEST, METER, Meter, TooMuchError
from tunesmith.dialogue._sandbox import Sandbox

LONGEST_TEMPLATE = 1 << 18
_ALONE = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.ScopedEvalContextModifier)


@lru_cache(maxsize=32)
def compiled(text: str) -> Template:
    """The template, ready to render. Raises jinja2's errors, TooMuchError and whatever Python's compiler says."""
    if len(text) > LONGEST_TEMPLATE:
        raise TooMuchError(f"the template is longer than {LONGEST_TEMPLATE} characters")
    sandbox = Sandbox()
    token = METER.set(Meter())  # constants are computed while compiling
    try:
        tree = sandbox.parse(text)
        if next(tree.find_all(_ALONE), None) is not None:
            raise SecurityError("a chat template stands alone: no include, import, extends or autoescape")
        _Tolls().visit(tree)
        tree.set_environment(sandbox)
        return sandbox.from_string(tree)
    finally:
        METER.reset(token)


def rendered(text: str, special_tokens: dict[str, Any], marks: tuple[str, str] | None = None, **given: Any) -> str:
    """What the template writes; `marks` stand around what its generation blocks write."""
    template, meter = compiled(text), Meter(marks)
    meter.weight([given["messages"], given["tools"]])
    token = METER.set(meter)
    pieces, size = [], 0
    try:
        for piece in template.generate(**special_tokens, **given):
            pieces.append(piece)
            size += len(piece)
            if size > LARGEST:
                raise TooMuchError(f"it writes more than {LARGEST} characters")
    finally:
        METER.reset(token)
    return "".join(pieces)


def _toll(name: str, *given: nodes.Expr) -> nodes.Call:
    call = nodes.Call(nodes.EnvironmentAttribute(name), list(given), [], None, None)
    call.set_lineno(given[0].lineno, override=False)
    return call


def _weighed(node: nodes.Expr) -> nodes.Expr:
    return node if isinstance(node, nodes.Const) else _toll("weighed", node)


class _Tolls(NodeTransformer):
    """Puts the calls in. Children are visited first, so a toll is never visited itself."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _toll("joined", *node.nodes)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        node.expr = _weighed(node.expr)
        for operand in node.ops:
            operand.expr = _weighed(operand.expr)
        return node

    def visit_List(self, node: nodes.List) -> nodes.Node:
        self.generic_visit(node)
        return _toll("listed", node)

    visit_Dict = visit_List

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        self.generic_visit(node)
        return _toll("listed", node) if node.ctx == "load" else node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        return _toll("listed", node) if isinstance(node.arg, nodes.Slice) else node

    def visit_For(self, node: nodes.For) -> nodes.Node:
        if node.test is not None:
            node.test = nodes.And(_tick(node), node.test, lineno=node.lineno)
        return self._entered(node)

    def _entered(self, node: nodes.For | nodes.Macro | nodes.CallBlock | nodes.Block) -> nodes.Node:
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_tick(node), lineno=node.lineno))
        return node

    visit_Macro = visit_CallBlock = visit_Block = _entered


def _tick(node: nodes.Node) -> nodes.Call:
    fixed = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
    return _toll("tick", nodes.Const(fixed, lineno=node.lineno))
