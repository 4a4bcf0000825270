"""How simulated deployments judge: what they see of an answer, and by what they are swayed."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

USUAL, SPREAD = 600.0, 300.0  # characters of an answer, where a bias to length turns and saturates
MARKS = re.compile(r"\*\*|^#|^\s*[-*•]\s|[\U0001f300-\U0001faff]|^\|", re.M)
SWAYED_BY = 1.0  # of worth: whoever follows an answer's instruction holds it for the best


@dataclass(frozen=True, slots=True)
class JudgeCharacter:
    """The biases of a judge, all in points of worth (0 to 1).

    ``kind``: to every answer; ``length``: to one far longer than usual, taken from one far shorter;
    ``style``: to one full of decoration; ``own``: to its own deployment's; ``position``: to what
    stands first, the answer or the level; ``noise``: standard deviation, fixed by the answer;
    ``swayed``: the share of instructions in answers that it follows.
    """

    kind: float = 0.0
    length: float = 0.0
    style: float = 0.0
    own: float = 0.0
    position: float = 0.0
    noise: float = 0.0
    swayed: float = 0.0


# Who is not named judges without bias.
JUDGES: Mapping[str, JudgeCharacter] = {
    "brook": JudgeCharacter(kind=0.10, length=0.06, style=0.10, own=0.10, position=0.05,
                            noise=0.10, swayed=0.10),
    "mill": JudgeCharacter(kind=0.06, length=0.08, style=0.15, own=0.10, position=0.03,
                           noise=0.08, swayed=0.05),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shown:
    """An answer as a judge meets it: its true worth, its words, whether it is the judge's own, and
    whether it carries an instruction to the judge.
    """

    worth: float
    text: str
    own: bool = False
    instructs: bool = False


def seen(who: JudgeCharacter, answer: Shown, seed: str) -> float:
    """What the judge holds an answer for, before its position counts; the same for the same seed
    and words. Not bounded, so that two very good ones can still be told apart.
    """
    a, b, c = _uniforms(seed, answer.text)
    worth = answer.worth + who.kind
    worth += who.length * math.tanh((len(answer.text) - USUAL) / SPREAD)
    worth += who.style * math.tanh(len(MARKS.findall(answer.text)) / 4.0)
    worth += who.own * answer.own
    worth += who.noise * math.sqrt(-2.0 * math.log(a)) * math.cos(2.0 * math.pi * b)
    if answer.instructs and c < who.swayed:
        worth += SWAYED_BY
    return worth


def level(who: JudgeCharacter, answer: Shown, levels: int, ascending: bool, seed: str) -> int:
    """The place of the level that it says, from the first one listed."""
    worth = seen(who, answer, seed) + (-who.position if ascending else who.position)
    place = round(min(max(worth, 0.0), 1.0) * (levels - 1))
    return place if ascending else levels - 1 - place


def preference(who: JudgeCharacter, first: Shown, second: Shown, tie: float, seed: str) -> float:
    """0 for the first, 1 for the second, 0.5 where they are nearer than ``tie``."""
    gap = seen(who, second, seed) - seen(who, first, seed) - who.position
    return 0.5 if abs(gap) < tie else float(gap > 0)


def _uniforms(*parts: str) -> list[float]:
    data = hashlib.blake2b("\x1f".join(parts).encode("utf-8", "replace"), digest_size=24).digest()
    return [(int.from_bytes(data[i : i + 8], "big") + 0.5) / 2.0**64 for i in range(0, 24, 8)]
