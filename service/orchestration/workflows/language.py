"""The language of workflows: values worked out from names, typed before anything runs.

    first(fix.text, draft.text) | short(400)        grade.score >= inputs.quality and loop.turn < 3

Parsed by Python's own parser, then built into closures node by node: nothing is evaluated. There
is no repetition in it, so its time is that of its length and of what it is given.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.orchestration.workflows.functions import (
    FUNCTIONS,
    ValueFault,
)
from service.orchestration.workflows.kinds import (
    ANY,
    BOOLEAN,
    INTEGER,
    NUMBER,
    Kind,
    fits,
    joined,
    list_of,
    object_of,
    of_value,
)
from service.orchestration.workflows.operations import (
    ARITHMETIC,
    GREATEST,
    Absent,
    LanguageInvalid,
    Names,
    Read,
    Run,
    added,
    calculated,
    comparison,
    inner,
    number,
    unknown,
)

MAX_LENGTH = 2_000
Scope = Mapping[str, Kind]
LAZY = {"first": "the first of them that there is", "given": "whether there is such a value"}


@dataclass(frozen=True, slots=True)
class Value:
    """An expression: its text, its kind, how it is worked out; ``roots``: the names that it reads,
    ``sure`` of which outside of first() and given().
    """

    text: str
    kind: Kind
    run: Run
    roots: frozenset[str]
    sure: frozenset[str]

    def __call__(self, names: Names) -> Any:
        return self.run(names)


def compiled(text: str, scope: Scope) -> Value:
    """Read an expression; raises LanguageInvalid."""
    if len(text) > MAX_LENGTH:
        raise LanguageInvalid(f"longer than {MAX_LENGTH} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise LanguageInvalid(
            f"{text.strip()[:60]!r} is no expression; write for example words(draft.text) > 100"
        ) from None
    reader = _Reader(scope)
    kind, run = reader.read(tree.body)
    return Value(text, kind, run, frozenset(reader.roots), frozenset(reader.sure))


class _Reader:
    """One expression on its way from a tree to a closure."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._lazy = 0
        self.roots: set[str] = set()
        self.sure: set[str] = set()

    def read(self, tree: ast.expr) -> Read:
        """The kind of a node and what works it out."""
        for form, way in self._ways.items():
            if isinstance(tree, form):
                found: Read = way(self, tree)
                return found
        raise LanguageInvalid(f"{ast.unparse(tree)[:60]!r} is not of the language")

    # plain values -----------------------------------------------------------------------------

    def _constant(self, tree: ast.Constant) -> Read:
        value = tree.value
        if value is not None and not isinstance(value, str | int | float | bool):
            raise LanguageInvalid(f"{ast.unparse(tree)[:60]!r} is not a plain value")
        if not isinstance(value, str | None) and not abs(value) <= GREATEST:
            raise LanguageInvalid("a number beyond 10^15")
        return of_value(value), lambda names: value

    def _list(self, tree: ast.List) -> Read:
        parts = [self.read(each) for each in tree.elts]
        kind = parts[0][0] if parts else ANY
        for other, _ in parts[1:]:
            kind = joined(kind, other)
        runs = [run for _, run in parts]
        return list_of(kind), lambda names: [run(names) for run in runs]

    def _object(self, tree: ast.Dict) -> Read:
        fields: dict[str, Read] = {}
        for key, each in zip(tree.keys, tree.values, strict=True):
            if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
                raise LanguageInvalid("the keys of an object are texts in quotes")
            fields[key.value] = self.read(each)
        runs = {name: run for name, (_, run) in fields.items()}
        kind = object_of({name: kind for name, (kind, _) in fields.items()})
        return kind, lambda names: {name: run(names) for name, run in runs.items()}

    # names ------------------------------------------------------------------------------------

    def _name(self, tree: ast.Name) -> Read:
        name = tree.id
        if name in ("true", "false", "null", "none"):
            value = {"true": True, "false": False}.get(name)
            return of_value(value), lambda names: value
        if name not in self._scope:
            if name in FUNCTIONS or name in LAZY:
                raise LanguageInvalid(f"{name} is a function; write {name}(...)")
            raise LanguageInvalid(unknown(name, self._scope, "name"))
        self.roots.add(name)
        if not self._lazy:
            self.sure.add(name)

        def found(names: Names) -> Any:
            value = names.get(name)
            if value is None:
                raise Absent(name)
            return value

        return self._scope[name], found

    def _attribute(self, tree: ast.Attribute) -> Read:
        return self._field(self.read(tree.value), tree.attr, ast.unparse(tree)[:80])

    def _field(self, whole: Read, name: str, told: str) -> Read:
        kind, run = whole
        part_kind = inner(kind, name, told)

        def found(names: Names) -> Any:
            value = run(names)
            part = value.get(name) if isinstance(value, dict) else None
            if part is None:
                raise Absent(told)
            return part

        return part_kind, found

    def _subscript(self, tree: ast.Subscript) -> Read:
        told = ast.unparse(tree)[:80]
        if isinstance(tree.slice, ast.Slice):
            raise LanguageInvalid(f"{told!r}: write take(list, n), last(list, n) or short(text, n)")
        kind, run = self.read(tree.value)
        at_kind, at_run = self.read(tree.slice)
        if isinstance(tree.slice, ast.Constant) and isinstance(tree.slice.value, str):
            return self._field((kind, run), tree.slice.value, told)
        if not fits(kind, list_of(ANY)) or not fits(at_kind, INTEGER):
            raise LanguageInvalid(f"{told!r}: only a list has places; it is {kind}")

        def found(names: Names) -> Any:
            items, at = run(names), at_run(names)
            if not isinstance(items, list) or not isinstance(at, int):
                raise ValueFault(f"{told}: not a list, or not a place")
            if not -len(items) <= at < len(items):
                raise Absent(told)
            return items[at]

        return kind.item or ANY, found

    # logic ------------------------------------------------------------------------------------

    def _bool(self, tree: ast.BoolOp) -> Read:
        runs = [self._truth(each) for each in tree.values]
        if isinstance(tree.op, ast.And):
            return BOOLEAN, lambda names: all(run(names) for run in runs)
        return BOOLEAN, lambda names: any(run(names) for run in runs)

    def _truth(self, tree: ast.expr) -> Run:
        kind, run = self.read(tree)
        if not fits(kind, BOOLEAN):
            raise LanguageInvalid(
                f"{ast.unparse(tree)[:60]!r} is {kind}, not yes or no; compare it with something"
            )

        def sure(names: Names) -> bool:
            value = run(names)
            if not isinstance(value, bool):
                raise ValueFault(f"{ast.unparse(tree)[:60]} is neither true nor false")
            return value

        return sure

    def _unary(self, tree: ast.UnaryOp) -> Read:
        if isinstance(tree.op, ast.Not):
            test = self._truth(tree.operand)
            return BOOLEAN, lambda names: not test(names)
        kind, run = self.read(tree.operand)
        if not isinstance(tree.op, ast.USub) or not fits(kind, NUMBER):
            raise LanguageInvalid(f"{ast.unparse(tree)[:60]!r}: only a number has a sign")
        return kind, lambda names: -number(run(names))

    def _choice(self, tree: ast.IfExp) -> Read:
        test = self._truth(tree.test)
        self._lazy += 1
        yes, no = self.read(tree.body), self.read(tree.orelse)
        self._lazy -= 1
        run_yes, run_no = yes[1], no[1]
        return joined(yes[0], no[0]), lambda names: run_yes(names) if test(names) else run_no(names)

    def _compare(self, tree: ast.Compare) -> Read:
        sides = [self.read(each) for each in (tree.left, *tree.comparators)]
        tests = [
            comparison(op, sides[at][0], sides[at + 1][0], ast.unparse(tree)[:80])
            for at, op in enumerate(tree.ops)
        ]
        runs = [run for _, run in sides]

        def compare(names: Names) -> bool:
            values = [run(names) for run in runs]
            return all(test(values[at], values[at + 1]) for at, test in enumerate(tests))

        return BOOLEAN, compare

    # arithmetic and calls -----------------------------------------------------------------------

    def _binary(self, tree: ast.BinOp) -> Read:
        if isinstance(tree.op, ast.BitOr):
            return self._pipe(tree)
        if type(tree.op) not in ARITHMETIC:
            raise LanguageInvalid(f"{ast.unparse(tree)[:60]!r}: only + - * / // % and |")
        left, right = self.read(tree.left), self.read(tree.right)
        told = ast.unparse(tree)[:60]
        if isinstance(tree.op, ast.Add):
            return added(left, right, told)
        for kind, _ in (left, right):
            if not fits(kind, NUMBER):
                raise LanguageInvalid(f"{told!r}: {kind} is no number")
        apply, one, two = ARITHMETIC[type(tree.op)], left[1], right[1]
        whole = (
            left[0].name == right[0].name == "integer" and not isinstance(tree.op, ast.Div)
        )  # fmt: skip
        return INTEGER if whole else NUMBER, lambda names: calculated(
            apply, number(one(names)), number(two(names)), told
        )

    def _pipe(self, tree: ast.BinOp) -> Read:
        called = tree.right
        if isinstance(called, ast.Name):
            return self._called(called.id, [tree.left])
        if isinstance(called, ast.Call) and isinstance(called.func, ast.Name):
            return self._call(called, [tree.left])
        raise LanguageInvalid(f"{ast.unparse(tree)[:60]!r}: after | stands a function")

    def _call(self, tree: ast.Call, before: list[ast.expr] | None = None) -> Read:
        if not isinstance(tree.func, ast.Name) or tree.keywords:
            raise LanguageInvalid(f"{ast.unparse(tree)[:60]!r}: call it as name(value, value)")
        return self._called(tree.func.id, [*(before or []), *tree.args])

    def _called(self, name: str, given: list[ast.expr]) -> Read:
        if name in LAZY:
            return self._lazily(name, given)
        function = FUNCTIONS.get(name)
        if function is None:
            raise LanguageInvalid(unknown(name, {**FUNCTIONS, **LAZY}, "function"))
        if not function.least <= len(given) <= len(function.takes):
            wanted = ", ".join(str(each) for each in function.takes)
            raise LanguageInvalid(f"{name} takes ({wanted}), at least {function.least} of them")
        parts = [self.read(each) for each in given]
        for (kind, _), wanted_kind in zip(parts, function.takes, strict=False):
            if not fits(kind, wanted_kind):
                raise LanguageInvalid(f"{name} takes {wanted_kind} here, and this is {kind}")
        runs, takes = [run for _, run in parts], function.takes
        apply = function.apply

        def call(names: Names) -> Any:
            values = [run(names) for run in runs]
            for value, wanted in zip(values, takes, strict=False):
                if not fits(
                    of_value(value)
                    if not isinstance(value, list | dict)
                    else (list_of(ANY) if isinstance(value, list) else object_of({})),
                    wanted,
                ):
                    raise ValueFault(f"{name} takes {wanted}, and was given something else")
            try:
                return apply(*values)
            except (TypeError, KeyError, IndexError, OverflowError, ZeroDivisionError):
                raise ValueFault(f"{name} cannot be worked out of what it was given") from None

        return function.of([kind for kind, _ in parts]), call

    def _lazily(self, name: str, given: list[ast.expr]) -> Read:
        if not given or (name == "given" and len(given) != 1):
            raise LanguageInvalid(f"{name} takes a value" + (", or several" * (name == "first")))
        self._lazy += 1
        parts = [self.read(each) for each in given]
        self._lazy -= 1
        kind = parts[0][0]
        for other, _ in parts[1:]:
            kind = joined(kind, other)
        runs = [run for _, run in parts]

        def first(names: Names) -> Any:
            for run in runs:
                try:
                    value = run(names)
                except Absent:
                    continue
                if value is not None:
                    return value
            raise Absent(f"first({', '.join(ast.unparse(each)[:40] for each in given)})")

        def there(names: Names) -> bool:
            try:
                return runs[0](names) is not None
            except Absent:
                return False

        return (kind, first) if name == "first" else (BOOLEAN, there)

    _ways: Mapping[type[ast.expr], Any] = {
        ast.Constant: _constant, ast.List: _list, ast.Tuple: _list, ast.Dict: _object,
        ast.Name: _name, ast.Attribute: _attribute, ast.Subscript: _subscript, ast.BoolOp: _bool,
        ast.UnaryOp: _unary, ast.IfExp: _choice, ast.Compare: _compare, ast.BinOp: _binary,
        ast.Call: _call,
    }  # fmt: skip
