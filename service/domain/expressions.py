"""The safe language of the plan's conditions: comparisons of known names with constants.

    type == "social_post" and word_count < 300 and not has_code
    tier in ["basic", "free"] or "batch" in tags

Parsed by Python's own parser, then built into closures node by node: nothing is evaluated.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

SCORES = ("complexity", "ambiguity", "difficulty")
NUMBERS = ("word_count", "tokens", "turns", "images", "tools", "max_tokens", *SCORES)
FLAGS = ("has_code", "has_maths", "json_mode", "stream", "system")
TEXTS = ("type", "tier", "tenant", "feature", "modality")
SETS = ("tags",)
NAMES = (*NUMBERS, *FLAGS, *TEXTS, *SETS)
MAX_LENGTH = 500

Names = Mapping[str, Any]
Test = Callable[[Names], bool]

_COMPARE: Mapping[type[ast.cmpop], tuple[str, Callable[[Any, Any], bool]]] = {
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
}
_NEGATED = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<", "has": "lacks"}
_NEGATED["lacks"] = "has"
_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "==", "!=": "!="}


class ExpressionInvalid(ValueError):
    """A condition that is not of the language; the message says what and how to mend it."""


@dataclass(frozen=True, slots=True)
class Atom:
    """One comparison of a name with a constant."""

    name: str
    op: str
    constant: Any

    def test(self) -> Test:
        """The closure that decides it."""
        name, constant = self.name, self.constant
        if self.op == "has":
            return lambda names: constant in names[name]
        if self.op == "lacks":
            return lambda names: constant not in names[name]
        compare = next(f for text, f in _COMPARE.values() if text == self.op)
        return lambda names: compare(names[name], constant)


@dataclass(frozen=True, slots=True)
class Junction:
    """All (``every``) or any of the parts."""

    every: bool
    parts: tuple[Atom | Junction, ...]

    def test(self) -> Test:
        """The closure that decides it."""
        tests = tuple(part.test() for part in self.parts)
        if self.every:
            return lambda names: all(test(names) for test in tests)
        return lambda names: any(test(names) for test in tests)


Node = Atom | Junction
ALWAYS = Junction(True, ())


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed condition: its text, its tree, and the test built of it."""

    text: str
    node: Node
    test: Test

    def __call__(self, names: Names) -> bool:
        return self.test(names)


def parse(text: str) -> Expression:
    """Read a condition; raises ExpressionInvalid."""
    if len(text) > MAX_LENGTH:
        raise ExpressionInvalid(f"longer than {MAX_LENGTH} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ExpressionInvalid(
            'not a condition; write for example word_count < 300 and tier == "basic"'
        ) from None
    node = _node(tree.body)
    return Expression(text, node, node.test())


def negate(node: Node) -> Node:
    """The opposite, with negations pushed down to the comparisons."""
    if isinstance(node, Atom):
        return Atom(node.name, _NEGATED[node.op], node.constant)
    return Junction(not node.every, tuple(negate(part) for part in node.parts))


def _node(tree: ast.expr) -> Node:
    if isinstance(tree, ast.BoolOp):
        every = isinstance(tree.op, ast.And)
        return Junction(every, tuple(_node(value) for value in tree.values))
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not):
        return negate(_node(tree.operand))
    if isinstance(tree, ast.Constant) and isinstance(tree.value, bool):
        return ALWAYS if tree.value else negate(ALWAYS)
    if isinstance(tree, ast.Name) and tree.id in ("true", "false"):
        return ALWAYS if tree.id == "true" else negate(ALWAYS)
    if isinstance(tree, ast.Name):
        if _known(tree.id) not in FLAGS:
            raise ExpressionInvalid(f"{tree.id} is no yes-or-no name; compare it with something")
        return Atom(tree.id, "==", True)
    if isinstance(tree, ast.Compare):
        return _comparison(tree)
    raise ExpressionInvalid(f"{ast.unparse(tree)!r} is not allowed here; compare names with values")


def _comparison(tree: ast.Compare) -> Node:
    left, parts = tree.left, []
    for op, right in zip(tree.ops, tree.comparators, strict=True):
        parts.append(_atom(left, op, right))
        left = right
    return parts[0] if len(parts) == 1 else Junction(True, tuple(parts))


def _atom(left: ast.expr, op: ast.cmpop, right: ast.expr) -> Node:
    if isinstance(op, ast.In | ast.NotIn):
        node = _membership(left, right)
        return node if isinstance(op, ast.In) else negate(node)
    if type(op) not in _COMPARE:
        raise ExpressionInvalid("only ==, !=, <, <=, >, >=, in and not in compare")
    text = _COMPARE[type(op)][0]
    if isinstance(right, ast.Name) and not isinstance(left, ast.Name):
        left, right, text = right, left, _MIRRORED[text]
    if not isinstance(left, ast.Name):
        raise ExpressionInvalid("one side of a comparison must be a name")
    return Atom(left.id, text, _typed(_known(left.id), _constant(right), text))


def _membership(left: ast.expr, right: ast.expr) -> Node:
    if isinstance(right, ast.Name):
        if _known(right.id) not in SETS:
            raise ExpressionInvalid(f"{right.id} is not a set; only {', '.join(SETS)} is")
        constant = _constant(left)
        if not isinstance(constant, str):
            raise ExpressionInvalid("a tag is a text in quotes")
        return Atom(right.id, "has", constant)
    if isinstance(left, ast.Name) and isinstance(right, ast.List | ast.Tuple):
        name = _known(left.id)
        values = [_typed(name, _constant(item), "==") for item in right.elts]
        return Junction(False, tuple(Atom(name, "==", value) for value in values))
    raise ExpressionInvalid('write NAME in ["a", "b"], or "tag" in tags')


def _constant(tree: ast.expr) -> Any:
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        inner = _constant(tree.operand)
        if isinstance(inner, int | float) and not isinstance(inner, bool):
            return -inner
    if isinstance(tree, ast.Constant) and isinstance(tree.value, str | int | float | bool):
        return tree.value
    raise ExpressionInvalid(f"{ast.unparse(tree)!r} is not a plain value")


def _known(name: str) -> str:
    if name not in NAMES:
        raise ExpressionInvalid(f"unknown name {name!r}; known: {', '.join(NAMES)}")
    return name


def _typed(name: str, constant: Any, op: str) -> Any:
    if name in SETS:
        raise ExpressionInvalid(f'{name} is a set; write "value" in {name}')
    is_flag = isinstance(constant, bool)
    fits = (
        (name in FLAGS and is_flag)
        or (name in TEXTS and isinstance(constant, str))
        or (name in NUMBERS and isinstance(constant, int | float) and not is_flag)
    )
    if not fits:
        raise ExpressionInvalid(f"{name} cannot be compared with {constant!r}")
    if name not in NUMBERS and op not in ("==", "!="):
        raise ExpressionInvalid(f"{name} has no order; use ==, != or in")
    return constant
