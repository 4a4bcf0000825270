"""Finds the task of a request that neither its caller nor a condition names."""

from __future__ import annotations

from learning.features import Embedder, Signals
from learning.taxonomies.own import Wanted
from learning.taxonomy import WIDTH, Classifier, classifier_features
from service.domain.guesses import Guess


class TaskFinder:
    """What the router reads of the taxonomy. ``current`` is None until there is a classifier, and
    is swapped while requests come; ``wanted`` is what it is to be fitted from, None where it
    ships. ``safe``: by whom a request goes on whose task is less sure than ``threshold``.
    """

    def __init__(
        self,
        threshold: float,
        safe: tuple[str, ...],
        wanted: Wanted | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        self.threshold, self.safe, self.wanted = threshold, safe, wanted
        self.current: Classifier | None = None
        self.setback = ""  # why there is none, where it could not be fitted
        self._embedder = embedder

    @property
    def width(self) -> int:
        """How many features a classifier must read."""
        return WIDTH + (self._embedder.dimension if self._embedder else 0)

    def adopt(self, classifier: Classifier, tasks: frozenset[str]) -> bool:
        """Take a classifier, if it reads what is read here and says only tasks that there are."""
        if classifier.width != self.width or not tasks.issuperset(classifier.tasks):
            return False
        self.current = classifier
        return True

    def guess(self, signals: Signals) -> Guess | None:
        """What the task may be; None while there is no classifier."""
        current = self.current
        if current is None:
            return None
        x = classifier_features(signals, self._embedder)
        return Guess(current.version, current.tasks, current.read(x), x)
