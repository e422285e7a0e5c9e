"""Small wrong versions of a module: one comparison, sign, constant or condition in it is another."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
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
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Site:
    """A place in a module, the node's position in `ast.walk`, and which of its changes is made."""

    node: int
    variant: int


@dataclass(frozen=True)
class Mutant:
    """A module with one mistake in it.

    Attributes:
        line: where the mistake is.
        lines: first and last line of the statement with the mistake, or of its header where it has a body.
        function: qualified name of the outermost function whose body has the mistake; empty: it is executed on import.
        change: what was there, and what is there now.
        statement: the first line of the mutated statement; together with ``function`` and ``change`` it is the
            mistake's name, which stays when lines are inserted above it.
        tree: the module, with the lines of the original.
    """

    line: int
    lines: tuple[int, int]
    function: str
    change: str
    statement: str
    tree: ast.Module


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
    return _mutant(tree, list(ast.walk(tree))[site.node], site.variant, _parents(tree))


def names(source: str) -> Iterator[tuple[str, str, str]]:
    """Return function, change and statement of all mutants, without parsing the module for each."""
    tree = ast.parse(source)
    nodes, parents = list(ast.walk(tree)), _parents(tree)
    for site in sites(source):
        node = nodes[site.node]
        changed = [node, node.func] if isinstance(node, ast.Call) else [node]
        before = [dict(vars(each)) for each in changed]
        made = _mutant(tree, node, site.variant, parents)
        yield made.function, made.change, made.statement
        for each, attributes in zip(changed, before, strict=True):
            vars(each).update(attributes)


def _mutant(tree: ast.Module, node: ast.AST, variant: int, parents: Mapping[int, ast.AST]) -> Mutant:
    above = [node]
    while (parent := parents.get(id(above[-1]))) is not None:
        above.append(parent)
    statement = next(each for each in above if isinstance(each, ast.stmt | ast.match_case | ast.Module))
    first = getattr(node, "lineno", getattr(statement, "lineno", 1))
    before = _text(node)
    list(_changes(node))[variant]()
    ast.fix_missing_locations(statement)
    return Mutant(
        first, _lines(statement, first), _function(above), f"{before}  ->  {_text(node)}", _text(statement), tree
    )


def _parents(tree: ast.Module) -> dict[int, ast.AST]:
    return {id(child): parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}


def _function(above: list[ast.AST]) -> str:
    """Return the name of the outermost function whose body has the first of the nodes, which go up to the module."""
    names: list[str] = []
    for parent, child in zip(above[:0:-1], above[-2::-1], strict=True):
        if isinstance(parent, ast.ClassDef):
            names.append(parent.name)
        elif isinstance(parent, _FUNCTIONS):
            # Defaults and decorators are executed on import.
            return ".".join([*names, parent.name]) if any(child is each for each in parent.body) else ""
    return ""


def _lines(statement: ast.AST, first: int) -> tuple[int, int]:
    body = getattr(statement, "body", None) or getattr(statement, "cases", None)
    if body is None or isinstance(statement, ast.match_case):
        return first, max(getattr(statement, "end_lineno", None) or first, first)
    start = getattr(statement, "lineno", first)
    return start, max(getattr(body[0], "lineno", first) - 1, start)


def _text(node: ast.AST) -> str:
    # Of a whole function or `if` the first line says enough; of a function with decorators the one with its name.
    lines = ast.unparse(node).splitlines() or [""]
    if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
        return lines[len(node.decorator_list)]
    return lines[0]


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
            case ast.Raise() | ast.Assign(targets=[ast.Name(id="text" | "__all__")]):
                yield node
            # Types at module level, and those of casts: no code runs because of them.
            case ast.Call(func=ast.Name(id="cast" | "TypeVar" | "NewType"), args=[first, *_]):
                yield first


def _changes(node: ast.AST) -> Iterator[Callable[[], None]]:
    match node:
        case ast.Compare(ops=[compared]) if type(compared) in _COMPARED:
            yield lambda: setattr(node, "ops", [_COMPARED[type(compared)]()])
        case ast.BinOp(op=operator) | ast.AugAssign(op=operator) if type(operator) in _CALCULATED:
            yield lambda: setattr(node, "op", _CALCULATED[type(operator)]())
        case ast.BoolOp(op=joining):
            yield lambda: setattr(node, "op", ast.Or() if isinstance(joining, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.USub()):
            yield lambda: setattr(node, "op", ast.UAdd())
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            yield lambda: setattr(node, "test", _negated(test))
        case ast.comprehension(ifs=[test]):
            yield lambda: setattr(node, "ifs", [_negated(test)])
        case ast.Constant(value=bool() as value):
            yield lambda: setattr(node, "value", not value)
        case ast.Constant(value=int() | float() as figure):
            yield lambda: setattr(node, "value", figure + 1)
        case ast.Constant(value=str() as text):
            yield lambda: setattr(node, "value", f"{text}x")
        case ast.Call(func=ast.Name(id=name) as called) if name in _CALLED:
            yield lambda: setattr(called, "id", _CALLED[name])
        case ast.Return(value=ast.expr() as whole) if not isinstance(whole, ast.Constant):
            yield lambda: setattr(node, "value", ast.Constant(None))
        case ast.Expr(value=ast.Call()):
            yield lambda: setattr(node, "value", ast.Constant(None))


def _negated(test: ast.expr) -> ast.expr:
    return test.operand if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) else _not(test)


def _not(test: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), test)
