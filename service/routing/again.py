"""Who asks nearly the same again, soon after: noticed by hashes of words, kept in memory alone."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

BOUND = 20_000  # askers that are remembered
EACH = 4  # of each asker's questions
MOST_WORDS = 400
SIZE = 64  # hashes of a sketch

Sketch = frozenset[int]


@dataclass(frozen=True, slots=True)
class _Asked:
    sketch: Sketch
    deployment: str
    at_s: float


def sketch_of(text: str) -> Sketch:
    """The least hashes of a text's pairs of words; the hash is this process's own."""
    words = text[: 16 * MOST_WORDS].casefold().split()[:MOST_WORDS]
    if len(words) < 2:
        return frozenset(map(hash, words))
    pairs = {hash(pair) for pair in pairwise(words)}
    return frozenset(sorted(pairs)[:SIZE])


def alike(one: Sketch, two: Sketch) -> float:
    """How much of their words two texts share: Jaccard's index, from the least hashes of both
    together (Broder 1997).
    """
    least = sorted(one | two)[:SIZE]
    if not least:
        return 0.0
    return sum(each in one and each in two for each in least) / len(least)


class Again:
    """The last questions of each asker, and who answered them."""

    def __init__(self, within_s: float, least: float) -> None:
        self.within_s, self.least = within_s, least
        self._asked: OrderedDict[str, deque[_Asked]] = OrderedDict()

    def answered(self, asker: Sequence[str], sketch: Sketch, deployment: str, now_s: float) -> None:
        """A question of somebody was answered, or is going to be, by this deployment."""
        for name in asker:
            kept = self._asked.setdefault(name, deque(maxlen=EACH))
            same = next((each for each in kept if each.sketch == sketch), None)
            if same is not None:
                kept.remove(same)
            kept.append(_Asked(sketch, deployment, now_s))
            self._asked.move_to_end(name)
            if len(self._asked) > BOUND:
                self._asked.popitem(last=False)

    def before(self, asker: Sequence[str], sketch: Sketch, now_s: float) -> str | None:
        """Who answered nearly the same question of the same asker a while ago; the newest."""
        for name in asker:
            for each in reversed(self._asked.get(name, ())):
                if now_s - each.at_s <= self.within_s and alike(sketch, each.sketch) >= self.least:
                    return each.deployment
        return None
