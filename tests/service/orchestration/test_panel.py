"""The panel whole: a check begun, kept, resumed; who teaches, and what operators are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.domain.errors import Conflict, Unprocessable
from service.domain.judging import Proof
from service.orchestration.golden import Bar, golden
from service.orchestration.judging import NOBODY
from service.orchestration.panel import Panel, PanelRules
from service.orchestration.sampling import Sampler
from service.orchestration.standing import Agreement
from service.providers.simulated_judge import JudgeCharacter
from service.storage.cases import rows_of
from service.storage.judgings import JudgingStore
from tests.service.orchestration.judges import SAID, Bench
from tests.service.orchestration.rig import SMALL, WIDE, end
from tests.service.orchestration.test_sampling import Setting

GOOD, BAD = JudgeCharacter(noise=0.05), JudgeCharacter(noise=3.0)


class Whole:
    """A panel over a setting, as the bootstrap joins one."""

    def __init__(self, of: JudgeCharacter) -> None:
        self.setting = Setting()
        self.bench: Bench = self.setting.bench
        self.bench.talker.judges = {SMALL: of, WIDE: of}
        self.store = JudgingStore(self.bench.database.cursor)
        self.panel = self.again()

    def again(self) -> Panel:
        sampler: Sampler = self.setting.sampler
        made = Panel(self.bench.judges, sampler, self.store, self.bench.log, self.bench.clock)
        made.items = golden()[:40]
        made.rules = PanelRules(Bar(), auto=False)
        made.resume()
        return made

    async def checked(self, judge: str = SMALL) -> dict[str, Any]:
        self.panel.begin(judge, "mara")
        async with asyncio.timeout(60):
            while self.panel.progress is not None:
                await asyncio.sleep(0.01)
        return next(j for j in self.panel.standing()["judges"] if j["judge"] == judge)


@pytest.fixture
async def whole(request: pytest.FixtureRequest) -> AsyncIterator[Whole]:
    made = Whole(getattr(request, "param", GOOD))
    yield made
    await made.panel.stop()
    await end(made.bench)


async def test_a_check_is_kept_and_known_after_a_restart(whole: Whole) -> None:
    assert whole.panel.state(SMALL) is Proof.UNPROVEN and not whole.panel.proven(SMALL)
    found = await whole.checked()
    assert found["state"] == "proven" and found["teaches"] and found["check"]["author"] == "mara"
    assert whole.panel.proven(SMALL) and not whole.panel.proven(WIDE), "each for itself"
    resumed = whole.again()
    assert resumed.proven(SMALL) and resumed.store.checks()[0].items == 40
    whole.bench.log.flush().result(5)
    rows = rows_of(whole.bench.database.cursor(), "SELECT * FROM judgings")
    assert {row["origin"] for row in rows} == {"golden"} and len(rows) >= 120
    spent = whole.store.spent_micro_usd(0)
    assert spent == whole.bench.judges.spend.spent_micro_usd == found["check"]["cost_usd"] * 1e6
    text = str(rows)
    assert all(each.first not in text for each in golden()[:40] if len(each.first) > 20)


async def test_another_rubric_or_view_is_unproven(whole: Whole) -> None:
    await whole.checked()
    whole.bench.rule(style_blind=False, share=1.0)
    assert whole.panel.state(SMALL) is Proof.UNPROVEN
    whole.bench.rule(share=1.0)
    assert whole.panel.state(SMALL) is Proof.PROVEN, "as it was proven"
    whole.bench.rule(golden="another set", share=1.0)
    assert whole.panel.state(SMALL) is Proof.UNPROVEN


@pytest.mark.parametrize("whole", [BAD], indirect=True)
async def test_who_fails_does_not_teach_and_operators_are_told(whole: Whole) -> None:
    found = await whole.checked()
    assert found["state"] == "failed" and not found["teaches"]
    (warning,) = whole.panel.warnings()
    assert SMALL in warning and "kappa" in warning


async def test_a_check_that_could_not_be_asked_changes_nothing(whole: Whole) -> None:
    spend = whole.bench.judges.spend
    cap, spend.cap_micro_usd = spend.cap_micro_usd, 0
    found = await whole.checked()
    assert found["state"] == "unproven" and found["check"] is None
    assert found["no_end"] == "40 of 40 items were not asked: the day's cap"
    spend.cap_micro_usd = cap
    assert (await whole.checked())["no_end"] is None and whole.panel.proven(SMALL)
    whole.bench.rule(share=1.0)  # nothing is remembered
    spend.cap_micro_usd = 0
    found = await whole.checked()
    assert found["state"] == "proven" and found["no_end"], "what it was it stays"


async def test_a_proven_judge_that_people_disagree_with_here_steps_aside(whole: Whole) -> None:
    await whole.checked()
    whole.panel._live[whole.panel.digest(SMALL)] = Agreement(80, None, False)
    assert not whole.panel.proven(SMALL)
    assert "no more than chance" in whole.panel.warnings()[0]


async def test_one_check_at_a_time_and_of_the_panel_alone(whole: Whole) -> None:
    with pytest.raises(Unprocessable, match="no judge"):
        whole.panel.begin("seeing", "mara")
    whole.panel.begin(SMALL, "mara")
    with pytest.raises(Conflict):
        whole.panel.begin(WIDE, "mara")
    await whole.panel.stop()
    assert whole.panel.state(SMALL) is Proof.UNPROVEN, "one that was cut off is not kept"


async def test_by_the_clock_each_judge_is_checked_once(whole: Whole) -> None:
    whole.panel.rules = PanelRules(Bar(), auto=True)
    for _ in range(2):
        await whole.panel.turn()
        async with asyncio.timeout(60):
            while whole.panel.progress is not None:
                await asyncio.sleep(0.01)
    assert whole.panel.proven(SMALL) and whole.panel.proven(WIDE)
    asked = len(whole.bench.talker.questions)
    await whole.panel.turn()
    assert whole.panel.progress is None and len(whole.bench.talker.questions) == asked


async def test_a_score_by_hand(whole: Whole) -> None:
    with pytest.raises(Unprocessable, match="rubric"):
        await whole.panel.score(SAID, "Mars", "none", NOBODY)
    assert (await whole.panel.score(SAID, "Mars", "code", NOBODY)).rubric == "code"
    whole.bench.rule(judges=())
    with pytest.raises(Unprocessable, match="no judges"):
        await whole.panel.score(SAID, "Mars", "", NOBODY)
