"""Who may be drawn, and the plain reason for everybody else."""

from __future__ import annotations

from service.domain.records import Override
from service.domain.will import will_for
from service.routing.eligibility import Eligibility
from service.routing.fleet import Fleet
from tests.service.routing.world import CATALOG, ask


def reasons(text: str = "hi", task: str = "other", **more: object) -> dict[str, str]:
    eligibility = Eligibility(CATALOG, Fleet(CATALOG))
    _, out = eligibility.split(ask(text, **more), task, 0.0)
    return {each.deployment: each.reason for each in out}


IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]


def test_each_leaves_for_its_own_reason() -> None:
    assert reasons() == {"coder": "task"}
    assert reasons(task="code") == {}
    assert reasons("word " * 1_500) == {
        "coder": "task", "small": "context_window", "slow-lane": "rate_limit",
    }  # fmt: skip
    found = reasons(messages=IMAGE)
    assert {k for k, v in found.items() if v == "lacks images"} == {
        "small", "wide", "coder", "slow-lane",
    }  # fmt: skip


def test_the_answers_room_counts_towards_the_window() -> None:
    assert "small" in reasons("x" * 3_000, max_tokens=400)
    assert "small" not in reasons("x" * 2_000, max_tokens=10)


def override(action: str, name: str, task: str = "") -> Override:
    return Override(f"{action}-{name}-{task}", 0, action, name, task, "", "", 0, 0)


def test_exclusions_add_up_and_the_narrower_then_the_later_force_holds() -> None:
    holding = [
        override("force", "wide", "code"), override("force", "small"),
        override("exclude", "small"), override("exclude", "coder", "code"),
        override("force", "seeing", "code"),
    ]  # fmt: skip
    code, other = will_for("code", holding), will_for("other", holding)
    assert set(code.excluded) == {"small", "coder"} and set(other.excluded) == {"small"}
    assert code.forced is not None and code.forced.deployment == "seeing"
    assert other.forced is not None and other.forced.deployment == "small"
    assert will_for("code", []).forced is None
