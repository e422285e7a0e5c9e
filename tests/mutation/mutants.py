"""Small wrong versions of a module: one comparison, sign, constant or condition in it is another."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_CALCULATED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
}
_CALLED = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True)
class Site:
    """A place in a module, the node's position in `ast.walk`, and which of its changes is made."""

    node: int
    variant: int


@dataclass(frozen=True)
class Mutant:
    """A module's source with one mistake in it; ``line`` and ``change`` say where and which."""

    line: int
    change: str
    source: str


def sites(source: str) -> list[Site]:
    """Return where a mistake can be made: not in annotations, docstrings, imports and the texts of errors."""
    tree = ast.parse(source)
    left_alone = {id(inner) for outer in _left_alone(tree) for inner in ast.walk(outer)}
    return [
        Site(number, variant)
        for number, node in enumerate(ast.walk(tree))
        if id(node) not in left_alone
        for variant, _ in enumerate(_changes(node))
    ]


def mutant(source: str, site: Site) -> Mutant:
    """Make the mistake."""
    tree = ast.parse(source)
    node = list(ast.walk(tree))[site.node]
    before = _text(node)
    list(_changes(node))[site.variant]()
    return Mutant(getattr(node, "lineno", 0), f"{before}  ->  {_text(node)}", ast.unparse(tree))


def _text(node: ast.AST) -> str:
    # Of a whole function or `if` the first line says enough.
    return ast.unparse(node).splitlines()[0]


def _left_alone(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        match node:
            case ast.Import() | ast.ImportFrom():
                yield node
            case ast.arg(annotation=ast.AST() as annotation):
                yield annotation
            case ast.FunctionDef(returns=returns, decorator_list=decorators):
                yield from filter(None, [returns, *decorators])
            case ast.AnnAssign(annotation=annotation):
                yield annotation
            case ast.ClassDef(decorator_list=decorators):
                yield from decorators
            case ast.Expr(value=ast.Constant()):
                yield node
            case ast.Raise() | ast.Assign(targets=[ast.Name(id="text")]):
                yield node


def _changes(node: ast.AST) -> Iterator[Callable[[], None]]:
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in _COMPARED:
            yield lambda: setattr(node, "ops", [_COMPARED[type(operator)]()])
        case ast.BinOp(op=operator) | ast.AugAssign(op=operator) if type(operator) in _CALCULATED:
            yield lambda: setattr(node, "op", _CALCULATED[type(operator)]())
        case ast.BoolOp(op=ast.And()):
            yield lambda: setattr(node, "op", ast.Or())
        case ast.BoolOp(op=ast.Or()):
            yield lambda: setattr(node, "op", ast.And())
        case ast.UnaryOp(op=ast.USub()):
            yield lambda: setattr(node, "op", ast.UAdd())
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            yield lambda: setattr(node, "test", _negated(test))
        case ast.comprehension(ifs=[test]):
            yield lambda: setattr(node, "ifs", [_negated(test)])
        case ast.Constant(value=bool() as value):
            yield lambda: setattr(node, "value", not value)
        case ast.Constant(value=int() | float() as value):
            yield lambda: setattr(node, "value", value + 1)
        case ast.Constant(value=str() as text):
            yield lambda: setattr(node, "value", f"{text}x")
        case ast.Call(func=ast.Name(id=name) as called) if name in _CALLED:
            yield lambda: setattr(called, "id", _CALLED[name])
        case ast.Return(value=ast.AST() as value) if not isinstance(value, ast.Constant):
            yield lambda: setattr(node, "value", ast.Constant(None))


def _negated(test: ast.expr) -> ast.expr:
    return test.operand if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) else _not(test)


def _not(test: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), test)
