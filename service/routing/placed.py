"""A version's chooser seen from the catalogue of now: its arms by name, not by place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from learning.interaction import Context, Vector
from learning.policies.base import Chooser, Scores
from service.domain.live import Published


class PlacedChooser(Chooser):
    """Answers for the catalogue's places; asked only for arms that the version knows."""

    def __init__(self, inner: Chooser, names: tuple[str, ...], places: tuple[int, ...]) -> None:
        self.arms, self._inner, self._places = names, inner, places

    def scores(self, context: Context, eligible: Sequence[int]) -> Scores:
        return self._inner.scores(context, [self._places[i] for i in eligible])

    def propensities(self, scores: Scores) -> Vector:
        return self._inner.propensities(scores)


@dataclass(frozen=True, slots=True)
class Placed:
    """What a version publishes, and of each place of the catalogue where its arm lies (-1: it
    does not know it).
    """

    published: Published
    places: tuple[int, ...]

    def knows(self, place: int) -> bool:
        """Whether the version knows the deployment at that place."""
        return self.places[place] >= 0


def placed(published: Published, names: tuple[str, ...]) -> Placed:
    """A version's view in the catalogue's order; as it is where the two agree."""
    arms = tuple(published.chooser.arms)
    places = _places(arms, names)
    if arms == names:
        return Placed(published, places)
    chooser = PlacedChooser(published.chooser, names, places)
    return Placed(replace(published, chooser=chooser), places)


@lru_cache(maxsize=64)
def _places(arms: tuple[str, ...], names: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(arms.index(name) if name in arms else -1 for name in names)
