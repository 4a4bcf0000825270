"""Experiments and their steps, read back at the start and kept in memory; rows of the log."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from experiments.design import Experiment
from experiments.design_json import from_json
from experiments.errors import ExperimentError
from experiments.states import Signed, Standing, State, Step, Transition, replay
from service.domain.experiments import ExperimentRecord, ExperimentStep
from service.storage.cases import rows_of, us
from service.storage.database import Database

log = logging.getLogger("headgate.experiments")

HOLDING = ("guardrail.holds", "guardrail.cools_down", "experiment.invalid")  # acts
_HELD = (
    "SELECT subject, reason FROM acts WHERE act IN "
    f"({', '.join(repr(each) for each in HOLDING)}) ORDER BY log_seq"
)


@dataclass(frozen=True, slots=True)
class Conducted:
    """An experiment: as it was made, what it asks, where it stands, and how it came there."""

    record: ExperimentRecord
    design: Experiment
    standing: Standing
    steps: tuple[ExperimentStep, ...] = field(default=())

    @property
    def id(self) -> str:
        """Its slug and version."""
        return self.record.id

    @property
    def holds_buckets(self) -> bool:
        """Whether its place in the layer is taken: until its end is decided."""
        return self.standing.state not in (State.SHIPPED, State.ROLLED_BACK)

    @property
    def started_us(self) -> int | None:
        """When it was started, microseconds since the epoch; None where it never was."""
        return next((each.at_us for each in self.steps if each.step == Step.START), None)

    def after(self, step: ExperimentStep) -> Conducted:
        """With one more step, checked against the rules."""
        standing = replay(
            tuple(each.name for each in self.design.variants),
            [*self.standing.history, transition_of(step)],
        )
        return Conducted(self.record, self.design, standing, (*self.steps, step))


class ExperimentStore:
    """All experiments by id, in the order in which they were made. ``held``: why the service had
    said, when it ended, that some of them may expose nobody more.
    """

    def __init__(self, database: Database) -> None:
        cursor = database.cursor()
        self.known: dict[str, Conducted] = {}
        self.held: dict[str, str] = {}
        for row in rows_of(cursor, "SELECT * FROM experiments ORDER BY log_seq"):
            record = ExperimentRecord(
                row["id"], us(row["ts"]), row["slug"], row["version"], row["layer"],
                row["first"], row["stop"], row["design"], row["author"], row["reason"],
            )  # fmt: skip
            try:
                self.put(made(record))
            except ExperimentError as error:  # of a build that knew more: the others must go on
                log.error("experiment %s cannot be read and is left out: %s", record.id, error)
        taken: set[str] = set()
        for row in rows_of(cursor, "SELECT * FROM experiment_steps ORDER BY log_seq"):
            step = ExperimentStep(
                row["id"], row["experiment"], us(row["ts"]), row["step"], row["before"],
                row["after"], row["percent"], row["variant"], row["author"], row["reason"],
                row["cause"],
            )  # fmt: skip
            if step.experiment in self.known and step.id not in taken:
                taken.add(step.id)  # logged twice where it was not known whether it had been kept
                self._take(step)
        for row in rows_of(cursor, _HELD):
            found = self.known.get(row["subject"])
            if found is not None and found.holds_buckets:
                self.held[found.id] = row["reason"]

    def _take(self, step: ExperimentStep) -> None:
        """A step that the rules do not allow must not keep the service from starting."""
        try:
            self.put(self.known[step.experiment].after(step))
        except ExperimentError as error:
            log.error("a step of %s is left out: %s", step.experiment, error)
            self.held[step.experiment] = f"its log is not whole: {error}"

    def put(self, conducted: Conducted) -> None:
        """An experiment as it stands now."""
        self.known[conducted.id] = conducted

    def versions_of(self, slug: str) -> list[Conducted]:
        """The versions of an experiment, oldest first."""
        return [each for each in self.known.values() if each.record.slug == slug]


def made(record: ExperimentRecord) -> Conducted:
    """A draft of what was recorded."""
    design = from_json(record.design)
    return Conducted(record, design, Standing(tuple(each.name for each in design.variants)))


def transition_of(step: ExperimentStep) -> Transition:
    """A logged step as the rules know it."""
    return Transition(
        Step(step.step), State(step.before), State(step.after), step.percent,
        Signed(step.author, step.reason, step.at_us), step.variant,
    )  # fmt: skip
