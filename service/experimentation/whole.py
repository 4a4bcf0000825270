"""Experiments on live traffic, together: the desk, promotions, the guard, and reports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from experiments.analysis import Across, Options, Report, across, analyse
from experiments.design import Experiment
from experiments.metrics import METRICS, Frame, Kind
from experiments.slopes import judge_scale, slopes
from experiments.states import State
from experiments.statistics.power import Comparison, sizes_for
from service.domain.errors import Conflict
from service.domain.experiments import Evaluation
from service.domain.records import Version
from service.experimentation.chronicle import Chronicle
from service.experimentation.desk import ExperimentDesk
from service.experimentation.followers import Followers
from service.experimentation.guard import Guard
from service.experimentation.promotions import Promotions
from service.feedback.gate import Gate
from service.feedback.promoting import VersionDesk
from service.feedback.teaching import Teacher
from service.storage.experiments import Conducted


@dataclass(slots=True)
class Experimentation:
    """What a route may ask for. ``frame``: of an experiment's id, since a time; ``earlier``: of the
    days before one began; both block.
    """

    desk: ExperimentDesk
    promotions: Promotions
    versions: VersionDesk
    followers: Followers
    guard: Guard
    gate: Gate
    frame: Callable[[str, int], Frame]
    earlier: Callable[[Conducted], Frame]
    publish: Callable[[], None]
    chronicle: Chronicle
    teacher: Teacher

    async def evaluate(self, version: Version, since_us: int, until_us: int) -> Evaluation:
        """What a version would have earned on the log, all of it published first."""
        await asyncio.wrap_future(self.versions.flush())
        await asyncio.to_thread(self.publish)
        return await self.gate.evaluate(version, since_us, until_us)

    async def report(self, conducted: Conducted) -> Report:
        """What an experiment's data say now; raises Conflict for a draft."""
        if conducted.started_us is None:
            raise Conflict(
                f"{conducted.id} has not been started, so there is nothing to report",
                code="experiment_state",
            )
        return await asyncio.to_thread(self._analysed, conducted)

    def _analysed(self, conducted: Conducted) -> Report:
        assert conducted.started_us is not None
        frame = self.frame(conducted.id, conducted.started_us)
        return analyse(conducted.design, frame, options_for(conducted, self.earlier))

    async def across(self) -> Across:
        """Which of the experiments that have ended found something, in the order of their ends."""
        ended = [
            each for each in self.desk.store.known.values()
            if each.standing.state in (State.STOPPED, State.SHIPPED, State.ROLLED_BACK)
            and not each.design.reverse and each.started_us is not None
        ]  # fmt: skip
        ended.sort(key=lambda each: each.steps[-1].at_us)
        return await asyncio.to_thread(lambda: across([self._analysed(e) for e in ended]))


def options_for(conducted: Conducted, earlier: Callable[[Conducted], Frame]) -> Options:
    """How to analyse an experiment: by what its design says, and what was before its start."""
    design = conducted.design
    watched = (*design.goals, *(each.metric for each in design.guardrails))
    judged = any(METRICS[slug].kind is Kind.JUDGED for slug in watched)
    asked = Options(best_at=best_at(design))
    if design.covariate is None and not judged:
        return asked
    before = earlier(conducted)
    theta, scale = slopes(design, before), judge_scale(before) if judged else 1.0
    return replace(asked, theta=theta, scale=scale)


def best_at(design: Experiment) -> float:
    """The units of both arms at which the sequences are narrowest: those that show the effect
    that matters in a share about a half. Planned from the design, never from the data.
    """
    treatment = design.treatments[0].share
    share = treatment / (treatment + design.control.share)
    asked = Comparison(design.alpha, treatment_share=share, sequential=True)
    return float(sizes_for(min(design.smallest_effect, 1.0) / 2.0, 0.5, asked).total)
