"""Who rates and who is judged, by variant: ratings of some arms may be those of other people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.arms import Exposure
from experiments.design import Experiment
from experiments.metrics import METRICS, Values
from experiments.statistics.evidence import Evidence
from experiments.statistics.response_rate import Cell, log_evidence
from experiments.statistics.sample_ratio import ALPHA

RATED = ("quality", "judged_quality", "reward")  # metrics that stand on ratings


@dataclass(frozen=True, slots=True)
class Response:
    """Of a variant the units that were answered (their first answer counts: the others are rated,
    or not, by the same person), and of how many people rated it and the judge scored it.
    """

    variant: str
    answers: int
    rated: int
    judged: int


@dataclass(frozen=True, slots=True)
class Responses:
    """By variant, with the evidence at any look that ratings, or scores, come at uneven rates.

    ``log_e_rated``, ``log_e_judged``: e-processes against equal rates in all variants.
    """

    variants: tuple[Response, ...]
    log_e_rated: float
    log_e_judged: float

    @property
    def caveats(self) -> tuple[str, ...]:
        """What the rates cast doubt on, with evidence of 1 / ``ALPHA`` or more."""
        told = []
        for log_e, what, warned in (
            (self.log_e_rated, "people rated", "those who rate may be other people in each"),
            (self.log_e_judged, "the judge scored", "its scores are of other answers in each"),
        ):
            if Evidence(log_e).rejects(ALPHA):
                told.append(
                    f"{what} different shares of the variants' answers ({self._shares(what)}; "
                    f"evidence e^{log_e:.0f}): {warned}, and their means are not to be compared"
                )
        return tuple(told)

    def _shares(self, what: str) -> str:
        return ", ".join(
            f"{each.variant} {(each.rated if 'rated' in what else each.judged) / each.answers:.1%}"
            for each in self.variants
            if each.answers
        )


def responses(experiment: Experiment, exposure: Exposure) -> Responses | None:
    """The rates of response; None where no metric stands on ratings, of blocks, and where the
    frame does not tell who was answered.
    """
    watched = {*experiment.goals, *(each.metric for each in experiment.guardrails)}
    if experiment.blocks is not None or not watched & set(RATED):
        return None
    if not {"status", "quality"} <= set(exposure.frame):
        return None
    measured = METRICS["rating_rate"].measure(exposure.frame)
    rows = measured.rows[exposure.kept[measured.rows]]
    _, places = np.unique(exposure.units[rows], return_index=True)
    first = rows[places]
    rated = np.isfinite(_numbers(exposure, "quality")[first])
    judged = np.zeros(len(first), dtype=np.bool_)
    if "judged_quality" in watched:
        judged = np.isfinite(_numbers(exposure, "judged")[first])
    found = []
    for at, each in enumerate(experiment.variants):
        mine = exposure.variants[first] == at
        found.append(Response(
            each.name, int(mine.sum()), int(rated[mine].sum()), int(judged[mine].sum())
        ))  # fmt: skip
    return Responses(
        tuple(found),
        log_evidence([Cell(each.variant, "", each.answers, each.rated) for each in found]),
        log_evidence([Cell(each.variant, "", each.answers, each.judged) for each in found]),
    )


def _numbers(exposure: Exposure, name: str) -> Values:
    column = exposure.frame[name]
    found = np.asarray(column, dtype=np.float64)
    return np.where(np.ma.getmaskarray(column), np.nan, found)
