"""No path leads where it must not, and every step is answered for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from experiments.states import (
    LEGAL,
    RAMP,
    Signed,
    Standing,
    State,
    Step,
    Transition,
    TransitionError,
    replay,
)

VARIANTS = ("control", "cheaper")


def signed(at_us: int = 0) -> Signed:
    return Signed("ada", "because", at_us)


class Operating(RuleBasedStateMachine):
    """People do whatever comes to mind; a plain account of what ought to hold runs beside."""

    @initialize()
    def draft(self) -> None:
        self.standing = Standing(VARIANTS)
        self.steps_up, self.at_us, self.taken = 0, 0, 0
        self.ever_exposed = False

    @rule(step=st.sampled_from(Step), variant=st.sampled_from([None, *VARIANTS]))
    def anything(self, step: Step, variant: str | None) -> None:
        self.at_us += 1
        before = self.standing
        try:
            after = before.take(step, signed(self.at_us), variant)
        except TransitionError:
            fits = (variant is not None) == (step is Step.SHIP)
            assert step not in before.legal() or not fits
            assert self.standing is before
            return
        assert after.state is LEGAL[before.state, step]
        assert (variant is not None) == (step is Step.SHIP)
        self.standing, self.taken = after, self.taken + 1
        self.steps_up += step in (Step.START, Step.RAMP)
        self.ever_exposed |= after.exposed > 0

    @precondition(lambda self: self.standing.legal())
    @rule(data=st.data())
    def something_legal(self, data: st.DataObject) -> None:
        step = data.draw(st.sampled_from(self.standing.legal()))
        self.anything(step, "cheaper" if step is Step.SHIP else None)

    @invariant()
    def the_exposure_is_the_ramps(self) -> None:
        percent = RAMP[self.steps_up - 1] if self.steps_up else 0
        assert self.standing.percent == percent
        running = self.standing.state is State.RUNNING
        assert self.standing.exposed == (percent if running else 0)

    @invariant()
    def the_end_is_the_end(self) -> None:
        assert self.standing.state.final == (not self.standing.legal())
        assert (self.standing.shipped is not None) == (self.standing.state is State.SHIPPED)
        given_up = self.standing.state is State.ROLLED_BACK and not self.steps_up
        assert self.ever_exposed == (self.standing.state is not State.DRAFT and not given_up)

    @invariant()
    def the_history_is_whole(self) -> None:
        history = self.standing.history
        assert len(history) == self.taken
        states = [State.DRAFT, *(each.after for each in history)]
        assert [each.before for each in history] == states[:-1]
        assert states[-1] is self.standing.state
        assert replay(VARIANTS, history) == self.standing


TestOperating = Operating.TestCase
TestOperating.settings = settings(derandomize=True, max_examples=150, stateful_step_count=25)


def _path(*steps: Step) -> Standing:
    standing = Standing(VARIANTS)
    for step in steps:
        standing = standing.take(step, signed(), "cheaper" if step is Step.SHIP else None)
    return standing


REACHED = {
    State.DRAFT: _path(),
    State.RUNNING: _path(Step.START),
    State.PAUSED: _path(Step.START, Step.PAUSE),
    State.STOPPED: _path(Step.START, Step.STOP),
    State.SHIPPED: _path(Step.START, Step.STOP, Step.SHIP),
    State.ROLLED_BACK: _path(Step.START, Step.ROLL_BACK),
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("step", Step)
def test_each_step_in_each_state_is_legal_or_refused_with_what_is(state: State, step: Step) -> None:
    standing, variant = REACHED[state], "control" if step is Step.SHIP else None
    if (state, step) in LEGAL:
        assert standing.take(step, signed(), variant).state is LEGAL[state, step]
        return
    with pytest.raises(TransitionError, match=f"cannot {step} what is {state}; allowed is"):
        standing.take(step, signed(), variant)


def test_the_paths_are_these_and_no_others() -> None:
    """Shipped is only what was stopped, so that nobody ships what still gathers data; what was
    exposed can be rolled back from anywhere, shipped too, for it is still watched; nothing leads
    out of the end or back to the draft.
    """
    told = {(str(state), str(step), str(after)) for (state, step), after in LEGAL.items()}
    assert told == {
        ("draft", "start", "running"),
        ("draft", "roll back", "rolled back"),
        ("running", "ramp", "running"),
        ("running", "pause", "paused"),
        ("paused", "resume", "running"),
        ("running", "stop", "stopped"),
        ("paused", "stop", "stopped"),
        ("stopped", "ship", "shipped"),
        ("running", "roll back", "rolled back"),
        ("paused", "roll back", "rolled back"),
        ("stopped", "roll back", "rolled back"),
        ("shipped", "roll back", "rolled back"),
    }


def test_the_ramp_goes_up_to_everybody_and_no_further() -> None:
    standing, seen = _path(Step.START), []
    while Step.RAMP in standing.legal():
        seen.append(standing.exposed)
        standing = standing.take(Step.RAMP, signed())
    assert [*seen, standing.exposed] == [1, 5, 10, 25, 50, 100]
    with pytest.raises(TransitionError, match="running at 100 %"):
        standing.take(Step.RAMP, signed())


def test_a_pause_exposes_nobody_and_comes_back_where_it_was() -> None:
    paused = _path(Step.START, Step.RAMP, Step.PAUSE)
    assert paused.exposed == 0
    assert paused.take(Step.RESUME, signed()).exposed == 5


def test_a_watch_may_begin_whole_and_only_where_it_is_said() -> None:
    draft = Standing(VARIANTS)
    for percent in RAMP:
        assert draft.take(Step.START, signed(), percent=percent).exposed == percent
    whole = draft.take(Step.START, signed(), percent=100)
    assert Step.RAMP not in whole.legal()
    assert replay(VARIANTS, whole.history) == whole
    for percent in (0, 2, 101):
        with pytest.raises(TransitionError, match=f"percent is {percent} on start: name one"):
            draft.take(Step.START, signed(), percent=percent)
    running = _path(Step.START)
    with pytest.raises(TransitionError, match="percent is 50 on ramp"):
        running.take(Step.RAMP, signed(), percent=50)
    odd = replace(running.history[0], percent=3)
    with pytest.raises(TransitionError, match="percent is 3 on start"):
        replay(VARIANTS, [odd])


def test_what_was_shipped_and_rolled_back_is_nobodys_any_more() -> None:
    shipped = _path(Step.START, Step.STOP, Step.SHIP)
    assert shipped.shipped == "cheaper" and shipped.legal() == (Step.ROLL_BACK,)
    back = shipped.take(Step.ROLL_BACK, signed())
    assert back.state is State.ROLLED_BACK and back.shipped is None and not back.legal()
    assert back.state.final and not shipped.state.final


@pytest.mark.parametrize("field", ["author", "reason"])
def test_nobody_or_no_reason_is_refused(field: str) -> None:
    with pytest.raises(TransitionError, match=f"{field} is empty"):
        replace(signed(), **{field: "  "})


def test_time_does_not_run_backwards_and_only_a_variant_is_shipped() -> None:
    standing = Standing(VARIANTS).take(Step.START, signed(10))
    with pytest.raises(TransitionError, match="at_us is 9, before"):
        standing.take(Step.STOP, signed(9))
    stopped = standing.take(Step.STOP, signed(10))
    for variant in (None, "dearer"):
        with pytest.raises(TransitionError, match="ship one of control, cheaper"):
            stopped.take(Step.SHIP, signed(11), variant)
    assert stopped.take(Step.SHIP, signed(11), "control").shipped == "control"


def test_a_log_that_is_not_whole_is_refused() -> None:
    history = _path(Step.START, Step.RAMP, Step.STOP).history
    with pytest.raises(TransitionError, match="transition 2 was logged"):
        replay(VARIANTS, (history[0], replace(history[1], percent=100)))
    with pytest.raises(TransitionError, match="cannot ramp what is draft"):
        replay(VARIANTS, history[1:])
    jump = Transition(Step.STOP, State.PAUSED, State.STOPPED, 1, signed())
    with pytest.raises(TransitionError, match="transition 2 was logged"):
        replay(VARIANTS, (history[0], jump))
