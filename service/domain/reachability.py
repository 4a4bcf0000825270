"""Can a condition ever hold, and does an earlier one leave it anything?"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import product

from service.domain.expressions import (
    FLAGS,
    NUMBERS,
    SCORES,
    SETS,
    Atom,
    Expression,
    Junction,
    Node,
    negate,
)

MAX_CLAUSES = 4_096

Clause = tuple[Atom, ...]


def can_hold(node: Node) -> bool:
    """Whether any request satisfies ``node``; true too when that is too much to decide."""
    clauses = _clauses(node)
    return clauses is None or any(_consistent(clause) for clause in clauses)


def unreachable(conditions: Sequence[Expression | None]) -> list[tuple[int, str]]:
    """Of conditions tried in order (None: always), those that never get their turn, and why."""
    found: list[tuple[int, str]] = []
    earlier: list[Node] = []
    for index, condition in enumerate(conditions):
        node: Node = condition.node if condition else Junction(True, ())
        if not can_hold(node):
            found.append((index, "can never be true"))
        elif earlier and not can_hold(Junction(True, (node, *map(negate, earlier)))):
            found.append((index, "is never reached: the conditions before it take all it would"))
        earlier.append(node)
    return found


def _clauses(node: Node) -> list[Clause] | None:
    """Disjunctive normal form, or None when it grows past the bound."""
    if isinstance(node, Atom):
        return [(node,)]
    parts = [_clauses(part) for part in node.parts]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    if not node.every:
        union = [clause for part in known for clause in part]
        return union if len(union) <= MAX_CLAUSES else None
    if math.prod(len(part) for part in known) > MAX_CLAUSES:
        return None
    return [tuple(atom for clause in combo for atom in clause) for combo in product(*known)]


def _consistent(clause: Clause) -> bool:
    by_name: dict[str, list[Atom]] = defaultdict(list)
    for atom in clause:
        by_name[atom.name].append(atom)
    return all(_satisfiable(name, atoms) for name, atoms in by_name.items())


def _satisfiable(name: str, atoms: list[Atom]) -> bool:
    if name in SETS:
        has = {atom.constant for atom in atoms if atom.op == "has"}
        return not has & {atom.constant for atom in atoms if atom.op == "lacks"}
    if name in SCORES:
        return _score_exists(atoms)
    if name in NUMBERS:
        return _number_exists(atoms)
    equal = {atom.constant for atom in atoms if atom.op == "=="}
    unequal = {atom.constant for atom in atoms if atom.op == "!="}
    if name in FLAGS and unequal == {True, False}:
        return False
    return len(equal) <= 1 and not equal & unequal


def _score_exists(atoms: list[Atom]) -> bool:
    """Whether some score, any number from 0 to 100, satisfies all."""
    low, high, open_low, open_high = 0.0, 100.0, False, False
    for atom in atoms:
        bound = float(atom.constant)
        if atom.op in (">", ">=", "==") and (bound, atom.op == ">") > (low, open_low):
            low, open_low = bound, atom.op == ">"
        if atom.op in ("<", "<=", "==") and (-bound, atom.op == "<") > (-high, open_high):
            high, open_high = bound, atom.op == "<"
    if low != high:
        return low < high
    barred = any(atom.op == "!=" and float(atom.constant) == low for atom in atoms)
    return not (open_low or open_high or barred)


def _number_exists(atoms: list[Atom]) -> bool:
    """Whether some whole number of zero or more satisfies all: such a number is a count."""
    low, high = 0, math.inf
    barred = set()
    for atom in atoms:
        bound = atom.constant
        if atom.op in (">", ">=", "=="):
            low = max(low, math.floor(bound) + 1 if atom.op == ">" else math.ceil(bound))
        if atom.op in ("<", "<=", "=="):
            high = min(high, math.ceil(bound) - 1 if atom.op == "<" else math.floor(bound))
        if atom.op == "!=":
            barred.add(bound)
    if low > high:
        return False
    if high - low >= len(barred):
        return True
    return any(number not in barred for number in range(low, int(high) + 1))
