"""Small expressions over named values: conditions, and values that follow from others.

Arithmetic, comparison, ``and or not``, ``in`` and ``a if b else c`` over numbers, texts and names
(``amount``, ``bank.fee``). The syntax is Python's; nothing of Python can be reached from it.
"""

import ast
import operator
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from pretune.core.errors import SpecError

Operand = Decimal | str | bool

_LONGEST = 500
_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARISON: dict[type, Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}


@dataclass(frozen=True)
class Expression:
    """A parsed expression; ``text`` is what the user wrote.

    Raises:
        SpecError: not of this little language; the message names the part that is not.
    """

    text: str

    def __post_init__(self) -> None:
        if len(self.text) > _LONGEST:
            raise SpecError(f'expression "{self.text[:40]}..." is over {_LONGEST} characters long')
        try:
            tree = ast.parse(self.text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise SpecError(
                f'"{self.text}" is no expression; write it like "amount > 100 and days <= 3"'
            ) from error
        object.__setattr__(self, "_tree", tree)
        self._check(tree)

    @cached_property
    def names(self) -> frozenset[str]:
        """Names that it speaks of, such as ``amount`` and ``bank.fee``."""
        return frozenset(self._names(self.__dict__["_tree"]))

    def value(self, named: Callable[[str], Operand]) -> Operand:
        """What it comes to where ``named`` tells the value of a name.

        Raises:
            SpecError: texts and numbers are mixed up, or something is divided by zero.
        """
        try:
            found: Operand = self._value(self.__dict__["_tree"], named)
        except (TypeError, ArithmeticError) as error:
            shown = ", ".join(f"{name} = {named(name)}" for name in sorted(self.names))
            where = f" for {shown}" if shown else ""
            raise SpecError(f'"{self.text}" has no value{where}') from error
        return found

    def _check(self, node: ast.expr) -> None:
        allowed = (
            (isinstance(node, ast.Constant) and type(node.value) in (int, float, str, bool))
            or isinstance(node, ast.Name)
            or (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name))
            or (isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC)
            or (isinstance(node, ast.Compare) and all(type(o) in _COMPARISON for o in node.ops))
            or (isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)))
            or isinstance(node, (ast.BoolOp, ast.IfExp, ast.List, ast.Tuple))
        )
        if not allowed:
            raise SpecError(
                f'"{ast.unparse(node)}" cannot stand in the expression "{self.text}"; known: '
                "names, numbers, 'texts', + - * / // %, comparisons, and, or, not, in, if else"
            )
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self._check(child)

    def _names(self, node: ast.expr) -> list[str]:
        if isinstance(node, (ast.Name, ast.Attribute)):
            return [ast.unparse(node)]
        children = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
        return [name for child in children for name in self._names(child)]

    def _value(self, node: ast.expr, named: Callable[[str], Operand]) -> Any:
        match node:
            case ast.Constant(value=value):
                return Decimal(str(value)) if type(value) in (int, float) else value
            case ast.Name() | ast.Attribute():
                return named(ast.unparse(node))
            case ast.BinOp(left=left, op=op, right=right):
                a, b = self._value(left, named), self._value(right, named)
                if not (isinstance(a, Decimal) and isinstance(b, Decimal)):
                    raise TypeError("arithmetic is of numbers")
                return _ARITHMETIC[type(op)](a, b)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not self._value(operand, named)
            case ast.UnaryOp(operand=operand):
                return -self._value(operand, named)
            case ast.BoolOp(op=op, values=values):
                test = all if isinstance(op, ast.And) else any
                return test(self._value(value, named) for value in values)
            case ast.IfExp(test=condition, body=body, orelse=other):
                return self._value(body if self._value(condition, named) else other, named)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [self._value(item, named) for item in items]
            case ast.Compare(left=left, ops=ops, comparators=others):
                sides = [self._value(side, named) for side in (left, *others)]
                pairs = zip(ops, sides, sides[1:], strict=False)
                return all(_COMPARISON[type(o)](a, b) for o, a, b in pairs)
        raise AssertionError(node)
