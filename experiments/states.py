"""Where an experiment stands, and who moved it there and why: draft, running, stopped, decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from experiments.errors import ExperimentError

RAMP = (1, 5, 10, 25, 50, 100)  # per cent of the allocated units


class TransitionError(ExperimentError):
    """A step that the state does not allow, or that nobody answers for."""


class State(StrEnum):
    """Where an experiment can stand."""

    DRAFT = "draft"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    SHIPPED = "shipped"
    ROLLED_BACK = "rolled back"

    @property
    def final(self) -> bool:
        """Whether nothing can follow."""
        return self is State.ROLLED_BACK


class Step(StrEnum):
    """What can be done to an experiment."""

    START = "start"
    RAMP = "ramp"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    SHIP = "ship"
    ROLL_BACK = "roll back"


# A draft that nobody wants is given up, and exposes nobody for that. A guardrail must not wait
# for a stop: rolling back is allowed from wherever units were exposed. What was shipped is still
# watched for a while: harm that shows only then is rolled back as well.
LEGAL: Mapping[tuple[State, Step], State] = {
    (State.DRAFT, Step.START): State.RUNNING,
    (State.DRAFT, Step.ROLL_BACK): State.ROLLED_BACK,
    (State.RUNNING, Step.RAMP): State.RUNNING,
    (State.RUNNING, Step.PAUSE): State.PAUSED,
    (State.RUNNING, Step.STOP): State.STOPPED,
    (State.RUNNING, Step.ROLL_BACK): State.ROLLED_BACK,
    (State.PAUSED, Step.RESUME): State.RUNNING,
    (State.PAUSED, Step.STOP): State.STOPPED,
    (State.PAUSED, Step.ROLL_BACK): State.ROLLED_BACK,
    (State.STOPPED, Step.SHIP): State.SHIPPED,
    (State.STOPPED, Step.ROLL_BACK): State.ROLLED_BACK,
    (State.SHIPPED, Step.ROLL_BACK): State.ROLLED_BACK,
}


@dataclass(frozen=True, slots=True)
class Signed:
    """Who takes a step and why, and when (microseconds since 1970)."""

    author: str
    reason: str
    at_us: int

    def __post_init__(self) -> None:
        for field in ("author", "reason"):
            if not getattr(self, field).strip():
                raise TransitionError(f"{field} is empty: every transition has one")


@dataclass(frozen=True, slots=True)
class Transition:
    """A step that was taken: from, to, the per cent of units exposed after it, and by whom.

    ``variant`` is the one that was shipped, otherwise None.
    """

    step: Step
    before: State
    after: State
    percent: int
    signed: Signed
    variant: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the experiment with these variants stands, and every transition that led here."""

    variants: tuple[str, ...]
    state: State = State.DRAFT
    percent: int = 0
    history: tuple[Transition, ...] = ()

    @property
    def exposed(self) -> int:
        """Per cent of the allocated units that are in the experiment now."""
        return self.percent if self.state is State.RUNNING else 0

    @property
    def shipped(self) -> str | None:
        """The variant that everybody gets, once one was shipped."""
        return self.history[-1].variant if self.state is State.SHIPPED else None

    def legal(self) -> tuple[Step, ...]:
        """The steps that can be taken now."""
        found = [step for state, step in LEGAL if state is self.state]
        if self.percent == RAMP[-1] and Step.RAMP in found:
            found.remove(Step.RAMP)
        return tuple(found)

    def take(
        self, step: Step, signed: Signed, variant: str | None = None, percent: int | None = None
    ) -> Standing:
        """The standing after a step; a new one, this one stays as it is.

        Start exposes the first step of RAMP, or the ``percent`` of RAMP that is named, for a watch
        over what everybody has already; ramp goes up one step, never down, so that nobody is
        moved out: who wants fewer pauses or rolls back. Ship names the variant.
        """
        if step not in self.legal():
            allowed = ", ".join(self.legal()) or "nothing: start a new version"
            full = " at 100 %" if self.percent == RAMP[-1] and step is Step.RAMP else ""
            raise TransitionError(
                f"step: cannot {step} what is {self.state}{full}; allowed is {allowed}"
            )
        if self.history and signed.at_us < self.history[-1].signed.at_us:
            raise TransitionError(
                f"at_us is {signed.at_us}, before the last transition at "
                f"{self.history[-1].signed.at_us}: give the time of this step"
            )
        if (variant is None) != (step is not Step.SHIP) or variant not in (None, *self.variants):
            raise TransitionError(
                f"variant is {variant!r} on {step}: "
                f"ship one of {', '.join(self.variants)}, and name none otherwise"
            )
        if percent is not None and (step is not Step.START or percent not in RAMP):
            raise TransitionError(
                f"percent is {percent!r} on {step}: name one on start alone, of "
                f"{', '.join(map(str, RAMP))}"
            )
        exposed = self._percent_after(step, percent)
        after = LEGAL[self.state, step]
        taken = Transition(step, self.state, after, exposed, signed, variant)
        return replace(self, state=after, percent=exposed, history=(*self.history, taken))

    def _percent_after(self, step: Step, named: int | None) -> int:
        if step is Step.START:
            return RAMP[0] if named is None else named
        if step is Step.RAMP:
            return RAMP[RAMP.index(self.percent) + 1]
        return self.percent


def replay(variants: tuple[str, ...], transitions: Iterable[Transition]) -> Standing:
    """The standing that logged transitions lead to; each is checked against the rules again."""
    standing = Standing(variants)
    for number, logged in enumerate(transitions, start=1):
        named = logged.percent if logged.step is Step.START else None
        standing = standing.take(logged.step, logged.signed, logged.variant, named)
        if standing.history[-1] != logged:
            raise TransitionError(
                f"transition {number} was logged as {logged.before} to {logged.after} at "
                f"{logged.percent} %, but {logged.step} led from {standing.history[-1].before} to "
                f"{standing.state} at {standing.percent} %: the log is not whole"
            )
    return standing
