"""A history generated from a plan and a seed: the made-up past, written day by day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.guardrails import Verdict, judge
from experiments.metrics import Frame
from experiments.offline.past import Day, Past, trial_frame
from experiments.offline.past_cast import Cast
from experiments.offline.past_choices import Regime
from experiments.offline.past_events import DAY_US, Event, happenings
from experiments.offline.past_policy import Manner
from experiments.offline.past_rows import Marks
from experiments.offline.past_traffic import task_shares
from experiments.offline.past_trials import Trial, trials
from experiments.states import Step
from learning.features import Featurizer
from service.bootstrap.generated_cast import cast_of
from service.bootstrap.generated_records import (
    HEADGATE,
    PERSON,
    SHIPPED_AFTER_US,
    Chronicle,
    Lineage,
    Names,
    breach,
    checkpoint,
    lineage,
    others,
    overrides,
    promotions,
)
from service.bootstrap.generated_refusals import Reviewing, refused
from service.bootstrap.generated_weights import Weights
from service.bootstrap.learning import policy_wanted
from service.domain.modalities import CHAT
from service.domain.records import Checkpoint
from service.plan.whole import Plan
from service.storage.generated import GeneratedHistory, batch_of, batches_of, write_truth
from service.storage.versions import FOLDER

PLAN = Path(__file__).parent.parent / "generated.yaml"
FIRST_TEMPER, SHARPER_TEMPER = 0.10, 0.03
LEARNED_AT_START = 1_000  # updates that a service on this history learns when it starts
LEAST_DAYS, LEAST_DECISIONS = 7, 200


@dataclass(frozen=True, slots=True)
class Wish:
    """How much to make up: days that end at ``end_us`` (a midnight), decisions in all, a seed."""

    days: int
    decisions: int
    seed: int
    end_us: int


@dataclass(frozen=True, slots=True)
class Made:
    """What was written: rows by table, and the truth beside them."""

    rows: dict[str, int]
    truth: Path


class Generator:
    """Joins the made-up past to the records that only the service makes, and writes both."""

    def __init__(self, plan: Plan, wish: Wish) -> None:
        self._plan, self._wish = plan, wish
        catalog = tuple(each for each in plan.catalog({}) if each.modality == CHAT)
        start_us = wish.end_us - wish.days * DAY_US
        cast = cast_of(plan, catalog, wish.seed, wish.end_us)
        popular = int(np.argmax(task_shares(cast, 0.68)))
        self._cast = cast
        self._happened = happenings(cast, start_us, wish.end_us, popular, _leader(cast, popular))
        self._names = Names(wish.seed)
        self._first = Manner(FIRST_TEMPER, cast.floor)
        self._sharper = Manner(SHARPER_TEMPER, cast.floor)
        shipped_us = trials(self._happened, "", self._sharper)[0].ends_us + SHIPPED_AFTER_US
        wanted = policy_wanted(plan, catalog, Featurizer(plan.task_names), wish.end_us)
        self._line = lineage(wanted, self._happened, shipped_us, self._names)
        self._trials = trials(self._happened, self._line.versions[1].id, self._sharper)
        self._policy = wanted.name
        regime = Regime(
            np.array(self._line.since_us), np.arange(3),
            (self._first, self._sharper, self._sharper), self._trials, (1, -1),
        )  # fmt: skip
        self.past = Past(cast, self._happened, regime, wish.decisions, wish.seed)
        self._frames: list[Frame] = []
        self._checkpoints: list[Checkpoint] = []
        self._bytes: dict[str, bytes] = {}

    def write(self, state_dir: Path, told: Callable[[int], None] = lambda _: None) -> Made:
        """Write it all; ``told`` hears of each day's decisions. Raises StorageError."""
        history = GeneratedHistory(state_dir)
        try:
            self._write(history, state_dir, told)
        except BaseException:
            history.abandon()
            raise
        return Made(dict(history.rows), write_truth(state_dir, self.truth()))

    def _write(
        self, history: GeneratedHistory, state_dir: Path, told: Callable[[int], None]
    ) -> None:
        wish, happened, names = self._wish, self._happened, self._names
        records, override_ids = overrides(self._cast, happened, names)
        waiting = [*records, *others(self._cast, happened, names), *self._begun()]
        chronicles = [Chronicle(each, names, PERSON) for each in self._trials]
        for each in chronicles:
            waiting += each.created()
        weights, reviewing = Weights(self.past, wish.seed), Reviewing(self._plan, names)
        marks = self._marks(override_ids)
        for number in range(wish.days):
            begins_us = happened.start_us + number * DAY_US
            day = self.past.day(number, marks)
            ends_us = begins_us + DAY_US
            waiting += weights.day(begins_us)
            waiting += refused(self._cast, day, reviewing)
            waiting += self._conducted(chronicles, day, ends_us)
            if ends_us >= happened.end_us:
                waiting.append(self._last(day))
            batches = batches_of([each for each in waiting if each is not None])
            for name in list(day.tables):
                parts = day.tables.pop(name)
                batches.setdefault(name, []).extend(batch_of(name, each) for each in parts)
                del parts
            waiting = []
            del day  # it stands in the batches; twice in memory is too much
            history.day(begins_us, batches)
            told(int(self.past.budget[number]))
        folder = state_dir / FOLDER
        folder.mkdir(exist_ok=True)
        for id_, data in self._bytes.items():
            (folder / f"{id_}.hgsn").write_bytes(data)
        history.publish(happened.end_us / 1e6)

    def _begun(self) -> list[Any]:
        """The versions, with the checkpoint that each began with and one each midnight."""
        line, happened = self._line, self._happened
        begun = [self._checkpoint(line, at, line.since_us[at]) for at in range(3)]
        tried = self._checkpoint(line, 1, line.versions[1].at_us)
        self._checkpoints = [*begun, tried]
        for at_us in range(happened.start_us + DAY_US, happened.end_us, DAY_US):
            live = int(np.searchsorted(np.array(line.since_us), at_us, side="right")) - 1
            made, _ = checkpoint(line.versions[live], at_us, self._names)
            self._checkpoints.append(made)  # its file would long have been pruned
        return [*line.versions, *self._checkpoints, *promotions(line, begun, self._names)]

    def _checkpoint(self, line: Lineage, version: int, at_us: int) -> Checkpoint:
        made, data = checkpoint(line.versions[version], at_us, self._names)
        self._bytes[made.id] = data
        return made

    def _last(self, day: Day) -> Checkpoint:
        """The newest checkpoint, so that a service that starts here learns the updates after."""
        times = np.sort(np.concatenate([day.ends.at_us[day.calls.row], day.ratings.at_us]))
        times = times[times < self._happened.end_us]
        at_us = int(times[max(len(times) - LEARNED_AT_START, 0)])
        at_us = max(at_us, self._checkpoints[-1].at_us + 1)
        return self._checkpoint(self._line, 2, at_us)

    def _marks(self, override_ids: tuple[str, ...]) -> Marks:
        known = sorted(self._checkpoints, key=lambda each: each.at_us)
        versions = [each.id for each in self._line.versions]
        return Marks(
            self._policy, tuple(versions), override_ids,
            tuple(
                (each.id, tuple(v.name for v in each.design.variants),
                 tuple(v.share for v in each.design.variants))
                for each in self._trials
            ),
            np.array([each.at_us for each in known]),
            np.array([versions.index(each.version_id) for each in known]),
            tuple(each.id for each in known),
        )  # fmt: skip

    # experiments ------------------------------------------------------------------------------

    def _conducted(self, chronicles: list[Chronicle], day: Day, ends_us: int) -> list[Any]:
        """The experiments' steps of a day; the harmful one ends when its guardrail sees it."""
        good, bad = chronicles
        found = [*good.until(ends_us), *bad.until(ends_us)]
        if good.running and good.trial.ends_us < ends_us:
            at_us, variant = good.trial.ends_us, good.trial.design.variants[1].name
            found += good.step(Step.STOP, at_us, PERSON, "its time is over")
            found += good.step(Step.SHIP, at_us + SHIPPED_AFTER_US, PERSON,
                               "better answers for the same money", (variant, None))  # fmt: skip
        if bad.running:
            found += self._watched(bad, day, ends_us)
        return found

    def _watched(self, bad: Chronicle, day: Day, ends_us: int) -> list[Any]:
        """Its guardrail judges at each midnight all that was seen; a person ends it otherwise."""
        trial = bad.trial
        variants = tuple(each.name for each in trial.design.variants)
        self._frames.append(trial_frame(day, 1, variants, trial.design.variants[0].share))
        verdict = _breached(trial, self._frames)
        if verdict is not None and ends_us <= trial.ends_us:
            trial.ends_us, trial.breached = ends_us, True
            standing = max((c for c in self._checkpoints if c.at_us < ends_us),
                           key=lambda each: each.at_us)  # fmt: skip
            cause = breach(trial, verdict, self._line.versions[2], standing.id)
            return bad.step(Step.ROLL_BACK, ends_us, HEADGATE, verdict.words, (None, cause))
        if trial.ends_us < ends_us:
            return bad.step(Step.ROLL_BACK, trial.ends_us, PERSON, "it costs too much")
        return []

    def truth(self) -> dict[str, Any]:
        """What was put in, in plain form: whom it befell, when, and how much."""
        cast, happened = self._cast, self._happened
        effects = {
            trial.id: {
                "metric": cast.told.metric, "effect_on_mean_quality": effect.value,
                "starts_us": trial.starts_us, "ends_us": trial.ends_us,
                "ended_by": HEADGATE if trial.breached else PERSON,
            }
            for trial, effect in zip(self._trials, self.past.effects, strict=True)
        }  # fmt: skip
        return {
            "made_with": asdict(self._wish),
            "deployments": list(cast.names),
            "tasks": list(cast.tasks),
            "quality_of_the_easiest": {
                name: dict(zip(cast.tasks, row, strict=True))
                for name, row in zip(cast.names, cast.quality.tolist(), strict=True)
            },
            "lost_on_the_hardest": dict(zip(cast.names, cast.slope.tolist(), strict=True)),
            "rating_rates": dict(zip(cast.tasks, cast.rating_rate.tolist(), strict=True)),
            "error_rates": dict(zip(cast.names, cast.errors.tolist(), strict=True)),
            "events": [
                _told(each, cast)
                for each in (happened.outage, happened.slow, happened.worse, happened.price)
            ],
            "experiments": effects,
            "versions": [each.id for each in self._line.versions],
        }


def _leader(cast: Cast, task: int) -> int:
    """Who gets most of a task, by the truth, at today's prices."""
    count = len(cast.prompts.difficulty[task])
    quality = cast.quality_of(np.full(count, task), cast.prompts.difficulty[task])
    tokens_in, long = cast.prompts.tokens_in[task], cast.prompts.tokens_out[task]
    cost = tokens_in[:, None] * cast.price[:, 0] + long[:, None] * cast.verbosity * cast.price[:, 1]
    waits = cast.first_token_s + long[:, None] * cast.verbosity * cast.token_s
    worth = quality - cost / 1e12 / cast.told.worth_usd - waits / cast.told.patience_s
    return int(np.bincount(worth.argmax(axis=1), cast.prompts.share[task]).argmax())


def _breached(trial: Trial, frames: list[Frame]) -> Verdict | None:
    joined = {name: np.concatenate([each[name] for each in frames]) for name in frames[0]}
    if not len(joined["unit"]):
        return None
    return next((each for each in judge(trial.design, joined) if each.breached), None)


def _told(event: Event, cast: Cast) -> dict[str, Any]:
    return {
        **asdict(event), "deployment": cast.names[event.deployment],
        "task": None if event.task < 0 else cast.tasks[event.task],
    }  # fmt: skip
