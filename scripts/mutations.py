"""Small mistakes that a programmer could have made, one at a time: the mutants of a source file.

A mutant is the file with one expression or statement exchanged. Good tests notice each. Left alone are what only people
or mypy read (docstrings, annotations, asserts), imports, and dunder names.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr, ast.MatMult: ast.Mult,
}  # fmt: skip
#: The opposite of each comparison, and for an order its neighbour at equality.
COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,), ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
}  # fmt: skip
#: Read by people and by mypy, or by Python before any test runs.
LEFT_ALONE = (ast.Assert, ast.Import, ast.ImportFrom, ast.Global, ast.arg)


@dataclass(frozen=True)
class Mutant:
    """One exchange in a file, in its lines ``first`` to ``last``; ``text`` is what they say now."""

    path: str
    first: int
    last: int
    text: str
    source: str  # the whole file with the exchange

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


def mutants(path: str, source: str) -> Iterator[Mutant]:
    """All mutants of a file, in the order of its lines, without those that say the same."""
    lines = source.encode().splitlines(keepends=True)
    seen = {source}
    exchanges = sorted(_exchanges(ast.parse(source)), key=lambda pair: (pair[0].lineno, pair[0].col_offset))
    for node, after in exchanges:
        first, last = node.lineno - 1, node.end_lineno - 1
        new = lines[first][: node.col_offset] + after.encode() + lines[last][node.end_col_offset :]
        whole = b"".join([*lines[:first], new, *lines[last + 1 :]]).decode()
        if whole not in seen:
            seen.add(whole)
            yield Mutant(path, first + 1, last + 1, " ".join(new.decode().split()), whole)


def _exchanges(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """(what is exchanged, its new text), for everything below ``node``."""
    if isinstance(node, LEFT_ALONE) or _is_dunder(node):
        return
    for changed in _variants(node):
        text = changed if isinstance(changed, str) else ast.unparse(changed)
        yield node, f"({text})" if isinstance(node, ast.expr) and not isinstance(changed, ast.Constant) else text
    if isinstance(node, ast.If | ast.While) and isinstance(node.test, ast.Name | ast.Attribute | ast.Call):
        yield node.test, f"not {ast.unparse(node.test)}"
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns") or (name == "values" and isinstance(node, ast.JoinedStr)):
            continue
        children = value if isinstance(value, list) else [value]
        if name == "body" and _is_text(children[0]):  # a docstring
            children = children[1:]
        for child in children:
            if name == "decorator_list" and isinstance(child, ast.Name | ast.Attribute | ast.Call):
                yield child, f"(lambda same: same)  # {ast.unparse(child)}"
            elif isinstance(child, ast.AST):
                yield from _exchanges(child)


def _variants(node: ast.AST) -> Iterator[ast.AST | str]:
    match node:
        case ast.BinOp(op=op) if type(op) in OPERATORS:
            yield ast.BinOp(node.left, OPERATORS[type(op)](), node.right)
        case ast.AugAssign(op=op) if type(op) in OPERATORS:
            yield ast.AugAssign(node.target, OPERATORS[type(op)](), node.value)
            yield f"pass  # {ast.unparse(node)}"
        case ast.Compare(ops=ops):
            for i, op in enumerate(ops):
                for other in COMPARISONS[type(op)]:
                    yield ast.Compare(node.left, [*ops[:i], other(), *ops[i + 1 :]], node.comparators)
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(ast.And() if isinstance(op, ast.Or) else ast.Or(), values)
            for i in range(len(values)):
                rest = [*values[:i], *values[i + 1 :]]
                yield rest[0] if len(rest) == 1 else ast.BoolOp(op, rest)
        case ast.UnaryOp():
            yield node.operand
        case ast.IfExp():
            yield node.body
            yield node.orelse
        case ast.Constant(value=bool(value)):
            yield repr(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield repr(value + 1)
        case ast.Constant(value=str(value)):
            yield repr(f"{value}?")
        case ast.JoinedStr():
            yield '"?"'
        case ast.Call(func=func, args=args, keywords=keywords):
            for i in range(len(keywords)):
                yield ast.Call(func, args, [*keywords[:i], *keywords[i + 1 :]])
            if isinstance(func, ast.Attribute):  # x.detach() becomes x
                yield func.value
        case ast.Return(value=value) if value is not None:
            yield f"return None  # {ast.unparse(value)}"
        case ast.Assign(targets=targets):
            yield ast.Assign(targets, ast.Constant(None), lineno=0)
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.Delete():
            yield f"pass  # {ast.unparse(node)}"
        case ast.Break():
            yield "continue"
        case ast.Continue():
            yield "break"


def _is_text(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_dunder(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).startswith("__")
