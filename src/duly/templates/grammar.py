"""The language of tenants' templates: what of Jinja2 they may write, and what it is turned into.

Everything is checked on the parsed template, before any of it is compiled. What is not named here is refused: calls
(``{{ x.format(…) }}``, ``range(…)``), powers, slices, macros, blocks, includes, imports. What could grow without end is
turned into a filter that spends from the purse of the rendering; the names of these filters hold a space, so that no
template can write them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

from duly.errors import InvalidTemplate
from duly.templates.limits import TEMPLATE_NESTING_MAX, TEMPLATE_NODES_MAX, checked_number

LOOP: Final = "a loop"
CONCATENATION: Final = "a concatenation"
COMPARISON: Final = "a comparison"

_ALLOWED: Final[tuple[type[nodes.Node], ...]] = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.Assign),
    *(nodes.Name, nodes.Const, nodes.Tuple, nodes.List, nodes.Getattr, nodes.Getitem),
    *(nodes.Filter, nodes.Test, nodes.Keyword, nodes.CondExpr, nodes.Concat, nodes.Compare, nodes.Operand),
    *(nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos),
    *(nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod),
)
# Python itself takes no more than 20 loops in one another.
_LOOP_WEIGHT: Final = 4
_RESERVED: Final = frozenset({"self", "super", "caller", "varargs", "kwargs"})


def restricted(template: nodes.Template) -> nodes.Template:
    """*template* with everything that could grow turned into filters. Raises `InvalidTemplate` with the line."""
    _check(template)
    rewritten = _Rewriting().visit(template)
    assert isinstance(rewritten, nodes.Template)
    return rewritten


def _check(template: nodes.Template) -> None:
    """Refuse what is not of the language. Without recursion: a hostile template is deep."""
    waiting: list[tuple[nodes.Node, int]] = [(template, 0)]
    count = 0
    while waiting:
        node, deep = waiting.pop()
        count += 1
        if count > TEMPLATE_NODES_MAX:
            raise InvalidTemplate(f"it has more than {TEMPLATE_NODES_MAX:,} nodes")
        if deep > TEMPLATE_NESTING_MAX:
            raise _refused(node, f"nests deeper than {TEMPLATE_NESTING_MAX} levels")
        _check_node(node)
        weight = _LOOP_WEIGHT if isinstance(node, nodes.For) else 1
        waiting += [(inner, deep + weight) for inner in node.iter_child_nodes(exclude=("elif_",))]
        if isinstance(node, nodes.If):
            # Python compiles each elif inside the one before.
            waiting += [(branch, deep + 1 + place) for place, branch in enumerate(node.elif_)]


def _check_node(node: nodes.Node) -> None:
    match node:
        case nodes.Call():
            raise _refused(node, "calls something. Use a filter instead: {{ name|upper }}")
        case nodes.Name(name=name) if name.startswith("_") or name in _RESERVED:
            raise _refused(node, f"names {name!r}, which is not for templates")
        case nodes.Getattr(attr=name) if name.startswith("_"):
            raise _refused(node, f"asks for {name!r}: names with an underscore in front are not for templates")
        case nodes.For(recursive=True):
            raise _refused(node, "loops through itself (recursive)")
        case nodes.Filter(node=None):
            raise _refused(node, "filters a block. Filter each value: {{ name|upper }}")
        case nodes.Filter() | nodes.Test() if node.dyn_args is not None or node.dyn_kwargs is not None:
            raise _refused(node, "unpacks arguments with a star")
        case nodes.List(items=items) | nodes.Tuple(items=items, ctx="load"):
            if not all(isinstance(item, nodes.Const) for item in items):
                raise _refused(node, "makes a list of anything but constants")
        case nodes.Const(value=int() | float() as number):
            checked_number(number)
        case nodes.Const(value=str() | None) | nodes.TemplateData():
            pass
        case nodes.Const():
            raise _refused(node, "holds a constant of an unknown kind")
        case _ if type(node) not in _ALLOWED:
            raise _refused(node, f"has a {type(node).__name__}, which is not for tenants' templates")
        case _:
            pass


class _Rewriting(NodeTransformer):
    """Turns loops, concatenations and comparisons into filters."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802
        nodes_inside = sum(1 for _ in node.find_all(nodes.Node))
        self.generic_visit(node)
        node.iter = _filter(LOOP, node.iter, [nodes.Const(nodes_inside, lineno=node.lineno)], node)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802
        self.generic_visit(node)
        return _filter(CONCATENATION, node.nodes[0], node.nodes[1:], node)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Filter:  # noqa: N802
        self.generic_visit(node)
        compared: list[nodes.Expr] = []
        for operand in node.ops:
            compared += [nodes.Const(operand.op, lineno=node.lineno), operand.expr]
        return _filter(COMPARISON, node.expr, compared, node)


def _filter(name: str, value: nodes.Node, arguments: Sequence[nodes.Expr], at: nodes.Node) -> nodes.Filter:
    assert isinstance(value, nodes.Expr)
    return nodes.Filter(value, name, list(arguments), [], None, None, lineno=at.lineno, environment=at.environment)


def _refused(node: nodes.Node, what: str) -> InvalidTemplate:
    return InvalidTemplate(f"line {node.lineno} {what}")
