"""How much a request asks, how much it leaves open, and how likely answers to it fall short."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from learning.features import Signals

NAMES = ("complexity", "ambiguity", "difficulty")
OF_COMPLEXITY, OF_AMBIGUITY = 0.75, 0.45  # the most that each can do to the difficulty of a text
OF_CHANCES = 0.7  # of the difficulty, where the chances of the deployments are known

_STEPS = frozenset(
    b"then first second third finally next step steps afterwards lastly stage stages".split()
)
_BOUNDS = frozenset(
    b"must exactly only without least most every never always limit between unless except maximum "
    b"minimum no more strictly format table columns include exclude avoid".split()
)
_DEMANDS = frozenset(
    b"analyse analyze prove derive compare contrast design optimise optimize evaluate implement "
    b"refactor debug plan justify critique diagnose translate rewrite extract summarise summarize "
    b"why explain estimate argue repair".split()
)
_VAGUE = frozenset(
    b"thing things stuff something somehow anything whatever better nice good great cool best etc "
    b"maybe perhaps probably kinda sorta various several interesting proper properly nicer "
    b"somewhere someone improve".split()
)
_POINTING = frozenset(b"it this that these those them they its he she him her there same".split())
_PLAIN = frozenset(
    b"hi hello hey thanks thank you good morning evening afternoon night bye goodbye welcome ok "
    b"okay cheers greetings yes no please".split()
)
_EMPTY = (
    frozenset(
        b"a about again also am an and are as at be but by can could did do does for from get give "
        b"go had has have help how i if in into is just let like look make me my need of on or our "
        b"out please put run say show so start tell the to try up us want was we what when where "
        b"which who will with work would write your fix change do update check explain".split()
    )
    | _VAGUE
    | _POINTING
    | _PLAIN
)
_OPPOSED = (
    (frozenset(b"short brief concise briefly shortly terse".split()),
     frozenset(b"detailed long comprehensive thorough exhaustive lengthy depth".split())),
    (frozenset(b"simple simply plain beginner child".split()),
     frozenset(b"advanced technical expert rigorous academic".split())),
    (frozenset(b"formal official".split()), frozenset(b"casual informal funny playful".split())),
)  # fmt: skip


# How many words are of each set is added up by one number a word: a byte of it for each set.
_COUNTED = _STEPS, _BOUNDS, _DEMANDS, _EMPTY, _VAGUE, _POINTING
_KNOWN = frozenset().union(*_COUNTED)
_OF_WORD = {
    word: sum(1 << 8 * at for at, words in enumerate(_COUNTED) if word in words) for word in _KNOWN
}


@dataclass(frozen=True, slots=True)
class Demand:
    """Three scores from 0 to 100: how much is asked, how much is left open, how hard it is."""

    complexity: float
    ambiguity: float
    difficulty: float


def demand(signals: Signals) -> Demand:
    """The scores of a text and its request, without any knowledge of who will answer.

    Each is 100 (1 - exp(-z)) of a sum z of parts that are not negative, so it grows with each
    part and never passes 100; ``docs/quality-prediction.md`` has the weights.
    """
    counts = sum([_OF_WORD[word] for word in signals.words & _KNOWN]).to_bytes(8, "little")
    complexity, specifics = _complexity(signals, counts)
    ambiguity = _ambiguity(signals, counts, specifics)
    return Demand(
        100.0 * complexity, 100.0 * ambiguity,
        float(difficulty_of(100.0 * complexity, 100.0 * ambiguity)),
    )  # fmt: skip


def difficulty_of(complexity: Any, ambiguity: Any) -> Any:
    """The difficulty of a text from its other two scores; numbers or arrays, 0 to 100."""
    one = 1.0 - OF_COMPLEXITY / 100.0 * complexity
    return 100.0 * (1.0 - one * (1.0 - OF_AMBIGUITY / 100.0 * ambiguity))


def with_chances(of_text: Demand, mean_chance: float) -> Demand:
    """The same where it is known how likely the deployments are to answer acceptably, as a mean
    over them: the difficulty is then mostly their chance to fall short.
    """
    hard = (1.0 - OF_CHANCES) * of_text.difficulty + OF_CHANCES * 100.0 * (1.0 - mean_chance)
    return Demand(of_text.complexity, of_text.ambiguity, hard)


def _complexity(signals: Signals, counts: bytes) -> tuple[float, int]:
    """In [0, 1]; and how many things the text pins down. ``counts``: of the words, by set."""
    shape, log = signals.shape, math.log2
    steps, bounds, demands = counts[0], counts[1], counts[2]
    digits, lines = float(signals.counts[0]), float(signals.counts[5])
    z = (
        0.10 * log(1.0 + signals.word_count / 16.0)
        + 0.05 * log(1.0 + max(shape.tokens_in - 32, 0) / 64.0)
        + 0.04 * log(1.0 + lines)
        + 0.03 * log(1.0 + digits)
        + 0.10 * min(steps, 5)
        + 0.08 * min(bounds, 6)
        + 0.12 * min(demands, 4)
        + 0.10 * log(1.0 + shape.tools)
        + 0.12 * log(max(shape.turns, 1))
        + (0.30 if signals.has_code else 0.0)
        + (0.30 if signals.has_maths else 0.0)
        + (0.12 if shape.json_mode else 0.0)
        + (0.20 if shape.images else 0.0)
        + (0.03 if shape.system else 0.0)
    )
    specifics = bounds + (digits > 0.0) + signals.has_code + shape.json_mode
    return 1.0 - math.exp(-z), specifics


def _ambiguity(signals: Signals, counts: bytes, specifics: int) -> float:
    """In [0, 1]; a greeting leaves nothing open."""
    words, count = signals.words, signals.word_count
    if count and words <= _PLAIN:
        return 0.0
    told = len(words) - counts[3]  # words that say what it is about
    vague, pointing = counts[4], counts[5] if signals.shape.turns <= 1 else 0
    z = (
        0.50 * math.exp(-count / 6.0)
        + 0.90 / (1.0 + told)
        + 0.15 * min(vague, 5)
        + 0.30 * min(pointing, 3) / (1.0 + told)
    )
    for one, other in _OPPOSED:
        if not words.isdisjoint(one) and not words.isdisjoint(other):
            z += 0.40
    return 1.0 - math.exp(-z / (1.0 + 0.15 * specifics))
