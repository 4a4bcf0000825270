"""What was refused is remembered for its time, across restarts, until a reviewer allows it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from service.domain.clock import new_id
from service.domain.refusals import Refusal, Review, ReviewDecision
from service.storage.database import Database
from service.storage.event_log import EventLog
from service.storage.refusals import RefusalMemory, refusals_since
from tests.conftest import HandClock

REMEMBER_S = 3_600.0
NAMES = st.sampled_from(["p1/x", "p1/y", "p2/x"])


def refusal(name: str = "p/x", at_us: int = 0, **more: object) -> Refusal:
    """A refusal of the request ``name``: its prompt before the slash."""
    made = Refusal(new_id(), at_us, new_id(), name.split("/")[0], name, "key", "acme", "premium",
                   "unit", "code", "a", "of-a", "refusal")  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


def review(of: Refusal, within_s: float = 60.0) -> Review:
    """A review of a refusal."""
    return Review(new_id(), of.at_us, of.id, of.decision_id, of.request_hash, of.key_id,
                  of.tenant, of.tier, of.unit, of.task, of.deployment, of.provider, of.word,
                  of.at_us + int(within_s * 1e6))  # fmt: skip


class Memory(RuleBasedStateMachine):
    """Refuse, allow, let time pass, jump the wall clock, restart; a dictionary knows the truth."""

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.database = HandClock(), Database(None)
        self.log = EventLog(self.database)
        self.log.start()
        self.memory = RefusalMemory(self.clock, REMEMBER_S)
        self.truth: dict[str, tuple[Refusal, float]] = {}

    def teardown(self) -> None:
        self.log.stop()
        self.database.close()

    @rule(name=NAMES)
    def refused(self, name: str) -> None:
        made = refusal(name, self.clock.wall_us())
        repeat = refusal(name, self.clock.wall_us(), repeat_of=made.id)
        self.log.append_durable(made, repeat).result(5)
        self.memory.add(made)
        self.truth[name] = made, self.clock.monotonic_s() + REMEMBER_S

    @rule(name=NAMES, verdict=st.sampled_from(["allow", "uphold", "dismiss"]))
    def decided(self, name: str, verdict: str) -> None:
        if name in self.truth:
            opened = review(self.truth[name][0])
            ruling = ReviewDecision(opened.id, self.clock.wall_us(), verdict, "ann", "looked at")
            self.log.append_durable(opened, ruling).result(5)
            if verdict == "allow":
                self.memory.forget(name)
                del self.truth[name]

    @rule(seconds=st.integers(1, 2_000))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(days=st.sampled_from([-1, 1]))
    def the_wall_clock_jumps_and_comes_back(self, days: int) -> None:
        self.clock.wall += days * 86_400_000_000
        self.only_what_should_be_is_remembered()
        self.clock.wall -= days * 86_400_000_000

    @rule()
    def restart(self) -> None:
        self.memory = RefusalMemory(self.clock, REMEMBER_S)
        self.memory.load(self.database.cursor())

    @invariant()
    def only_what_should_be_is_remembered(self) -> None:
        now_s = self.clock.monotonic_s()
        for name in ("p1/x", "p1/y", "p2/x"):
            made, ends_s = self.truth.get(name, (None, 0.0))
            expected = made if ends_s > now_s else None
            found = self.memory.find(name)
            assert found == expected
            assert found is None or self.memory.knows_prompt(found.prompt_hash)
        if not len(self.memory):
            assert not self.memory._prompts


Memory.TestCase.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, derandomize=True
)
TestMemory = Memory.TestCase


def test_memory_is_bounded_and_lets_go_of_the_oldest() -> None:
    memory = RefusalMemory(HandClock(), REMEMBER_S, most=3)
    for number in range(5):
        memory.add(refusal(f"p{number}/x"))
    assert len(memory) == 3 and memory.find("p1/x") is None and memory.find("p4/x") is not None
    assert not memory.knows_prompt("p1") and memory.knows_prompt("p2")


def test_nothing_is_remembered_where_the_plan_says_so() -> None:
    memory = RefusalMemory(HandClock(), 0.0)
    memory.add(refusal())
    assert len(memory) == 0 and memory.find("p/x") is None


def test_a_wall_clock_set_back_while_it_was_down_prolongs_nothing() -> None:
    clock, database = HandClock(), Database(None)
    log = EventLog(database)
    log.start()
    log.append_durable(refusal(at_us=clock.wall_us())).result(5)
    clock.wall -= 86_400_000_000
    memory = RefusalMemory(clock, REMEMBER_S)
    memory.load(database.cursor())
    assert memory.find("p/x") is not None
    clock.advance(REMEMBER_S)
    assert memory.find("p/x") is None
    log.stop()
    database.close()


def test_the_refusals_of_known_users_come_back_as_they_were() -> None:
    database = Database(None)
    log = EventLog(database)
    log.start()
    kept = [refusal(at_us=2_000_000), refusal(at_us=3_000_000)]
    others = [refusal(at_us=1), refusal(at_us=3_000_000, unit=""),
              refusal(at_us=3_000_000, repeat_of="x")]  # fmt: skip
    log.append_durable(*kept, *others).result(5)
    assert refusals_since(database.cursor(), 2_000_000) == kept
    log.stop()
    database.close()
