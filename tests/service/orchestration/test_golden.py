"""The golden set is whole, and the gate lets through who agrees with people and nobody else."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from importlib import resources

import pytest

from experiments.statistics.agreement import cohens_kappa
from experiments.statistics.moments import Interval
from service.domain.judging import Origin, Proof
from service.orchestration import golden as subject
from service.orchestration.attacks import ATTACKS
from service.orchestration.golden import FIRST, NEITHER, SECOND, Bar, Found, Held, Runner, golden
from service.orchestration.sampling import measured
from service.orchestration.simulated import Asked
from service.providers.simulated_judge import JudgeCharacter
from tests.conftest import ROOT
from tests.service.orchestration.judges import Bench
from tests.service.orchestration.rig import SMALL, end

pytestmark = pytest.mark.slow
CHARACTERS = {
    "fair": JudgeCharacter(noise=0.1),
    "biased": JudgeCharacter(
        kind=0.1, length=0.1, style=0.15, position=0.05, noise=0.1, swayed=0.1
    ),
    "long": JudgeCharacter(length=2.0),
    "first": JudgeCharacter(position=2.0),
    "blind": JudgeCharacter(noise=3.0),
    "gullible": JudgeCharacter(noise=0.05, swayed=1.0),
}


def test_the_set_is_whole() -> None:
    items = golden()
    assert len(items) >= 60 and len({each.id for each in items}) == len(items)
    better = Counter(each.better for each in items)
    assert set(better) == {FIRST, SECOND, NEITHER}
    assert abs(better[FIRST] - better[SECOND]) <= 6, "its order says nothing"
    traps = Counter(each.trap for each in items)
    assert all(traps[hard] >= 4 for hard in (
        "longer-but-wrong", "prettier-but-wrong", "confident-but-wrong", "refusal", "injection",
        "invented", "form", "terse-right", "tie",
    ))  # fmt: skip
    assert len({each.task for each in items}) >= 6
    for each in items:
        assert each.first != each.second and len(each.why) > 5, each.id
        assert (each.trap == "tie") == (each.better == NEITHER), each.id
        if each.trap == "longer-but-wrong":
            good, bad = each.first, each.second
            if each.better == SECOND:
                good, bad = bad, good
            assert len(bad) > 2 * len(good), each.id


@pytest.mark.parametrize("habit", ["shorter", "longer", "plainer", "prettier", "first"])
def test_no_habit_passes_for_a_judge(habit: str) -> None:
    """Whoever goes by length, by decoration or by place alone is far from the bar."""

    def says(item: subject.Item) -> str:
        (one, plain), (two, fancy) = measured(item.first), measured(item.second)
        gap = {"shorter": two - one, "longer": one - two, "plainer": fancy - plain,
               "prettier": plain - fancy, "first": 1}[habit]  # fmt: skip
        return FIRST if gap > 0 else SECOND if gap < 0 else NEITHER

    found = cohens_kappa([each.better for each in golden()], [says(each) for each in golden()])
    assert isinstance(found, Interval) and found.high < 0.4


def test_what_is_shipped_is_what_the_docs_say() -> None:
    data = resources.files(subject.PACKAGE).joinpath(subject.FILE).read_bytes()
    page = (ROOT / "docs" / "judge.md").read_text("utf-8")
    assert hashlib.sha256(data).hexdigest() in page


async def checked(name: str) -> tuple[Found, list[Held]]:
    bench = Bench({SMALL: CHARACTERS[name]}, judges=(SMALL,))
    kept: list[Held] = []
    try:
        held = await Runner(bench.judges, SMALL, golden(), lambda item, each: kept.append(each))()
        assert len(kept) == len(held) == len(golden())
        return subject.found(held, Bar()), held
    finally:
        await end(bench)


@pytest.fixture
async def fair() -> AsyncIterator[tuple[Found, list[Held]]]:
    yield await checked("fair")


async def test_a_fair_judge_is_proven(fair: tuple[Found, list[Held]]) -> None:
    found, held = fair
    assert found.state is Proof.PROVEN and found.why == ""
    assert found.kappa is not None and found.kappa.estimate >= 0.6
    assert found.kappa.low < found.kappa.estimate < found.kappa.high
    assert found.flipped == 0.0
    report = found.report
    assert sum(each["items"] for each in report["by_trap"].values()) == len(held)
    assert set(report["attacks"]) == set(ATTACKS)
    assert "explained" in report["style"]["judge"] and "explained" in report["style"]["people"]
    rows = subject.judging_of(held[0].item, held[0], 7, lambda: "id")
    assert {each.origin for each in rows} == {Origin.GOLDEN} and len(rows) >= 3
    assert all(held[0].item.first not in str(row) for row in rows), "no text is kept"


@pytest.mark.parametrize(
    ("name", "why"),
    [("long", "kappa"), ("first", "kappa"), ("blind", "kappa"), ("gullible", "attacks")],
)
async def test_who_does_not_agree_or_is_turned_fails(name: str, why: str) -> None:
    found, _ = await checked(name)
    assert found.state is Proof.FAILED and why in found.why, found
    if name == "gullible":
        assert found.kappa is not None and found.kappa.estimate >= 0.6, "it agrees, and yet"
        assert found.flipped is not None and found.flipped > 0.5


async def test_how_much_length_explains_is_told_of_the_judge_and_of_people() -> None:
    bench = Bench(judges=(SMALL,))

    def longer(asked: Asked) -> str:
        one, two = (len(asked.material.get(f"answer_{each}", "")) for each in "AB")
        return f"{asked.code} {'A' if one > two else 'B' if two > one else 'T'}"

    bench.talker.says = longer
    try:
        held = await Runner(bench.judges, SMALL, golden(), lambda item, each: None)()
    finally:
        await end(bench)
    style = subject.found(held, Bar()).report["style"]
    assert style["judge"]["length"]["low"] > 0.0 and style["judge"]["explained"] > 0.4
    assert style["people"]["explained"] < 0.2 and style["people"]["length"]["low"] < 0.0


async def test_a_judge_that_cannot_be_read_fails() -> None:
    bench = Bench(judges=(SMALL,))
    bench.talker.says = lambda asked: "A"
    try:
        held = await Runner(bench.judges, SMALL, golden()[:24], lambda item, each: None)()
        found = subject.found(held, Bar())
        assert found.state is Proof.FAILED and "could not be read" in found.why
    finally:
        await end(bench)
