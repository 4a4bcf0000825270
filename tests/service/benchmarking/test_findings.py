"""Findings of runs whose truth is known: intervals cover, the true order is not contradicted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from service.benchmarking.findings import (
    Found,
    Setting,
    analysed,
    cells,
    in_words,
    version_of,
)
from service.benchmarking.fragment import fragment
from service.benchmarking.journal import Answer, Journal, Scored
from service.benchmarking.pages import account, markdown, page, span
from service.benchmarking.planning import Candidate, order
from service.benchmarking.prompts import PromptFile
from service.benchmarking.pupils import Pupils, truths
from service.benchmarking.running import Ended
from service.check import load_checked
from service.providers.simulated import CHARACTERS, Stream, Weather
from tests.conftest import plan_text
from tests.service.benchmarking.rig import ARMS, begun, prompts

WHO = {c.model: Candidate(c.model, 0.7, 0.3, c.price_in, c.price_out) for c in CHARACTERS}
SETTING = Setting(WHO, ("code", "maths", "other"), 0.05, False, {}, 7.0)


def pupils(seed: int, file: PromptFile) -> Pupils:
    """The simulated world, mill much worse than it was."""
    world = Pupils(Stream(seed=seed), file.items)
    world.set_weather("mill", Weather(quality_shift=-0.4))
    return world


def play(state: Path, file: PromptFile, seed: int, setting: Setting = SETTING) -> Found:
    """A run without a service: the simulated world's own answers into a journal."""
    journal = begun(state, file, run_id=f"run-{seed}")
    fill(journal, file, seed)
    found = analysed(journal, file.items, setting)
    journal.close()
    assert found is not None
    return found


def fill(journal: Journal, file: PromptFile, seed: int) -> None:
    world = pupils(seed, file)
    items = {each.id: each for each in file.items}
    for each in order(journal.design):
        item = items[each.prompt]
        shown = world.answer(each.deployment, str(item.messages[0]["content"]), 20)
        if shown.status != 200:
            journal.answered(Answer(each.key, "failed", why="upstream_unavailable"))
            continue
        cost = WHO[each.deployment].cost_usd(20, shown.tokens_out)
        journal.answered(
            Answer(each.key, "answered", "", shown.latency_s, shown.latency_s / 2, 20,
                   shown.tokens_out, round(cost * 1e6))
        )  # fmt: skip
        journal.scored(Scored(each.key, float(world.right(each.deployment, item))))


@pytest.mark.slow
def test_intervals_cover_the_truth_and_the_order_is_not_contradicted(tmp_path: Path) -> None:
    """40 benchmarks of 50 prompts at two tasks. Own intervals: 5 % may miss. Differences of all
    pairs and tasks together: 5 % of the benchmarks may miss one; both up to three standard errors.
    """
    file, missed, told, wrong = prompts(25), 0, 0, 0
    for seed in range(40):
        found = play(tmp_path, file, seed)
        truth = truths(pupils(seed, file), file.items)
        contradicted = False
        for shown in found.shown[1:]:
            assert shown.task is not None
            for each in shown.measured:
                assert each.answered is not None
                told += 1
                real = truth[each.arm, shown.task]
                missed += not each.answered.low <= real <= each.answered.high
            for pair in shown.pairs:
                assert pair.quality is not None
                gap = truth[pair.one, shown.task] - truth[pair.other, shown.task]
                contradicted |= pair.quality.low > 0 > gap or pair.quality.high < 0 < gap
        wrong += contradicted
    assert missed / told <= 0.05 + 3.0 * np.sqrt(0.05 * 0.95 / told)
    assert wrong / 40 <= 0.05 + 3.0 * np.sqrt(0.05 * 0.95 / 40)


def test_what_is_told_of_a_run_is_whole(tmp_path: Path) -> None:
    found = play(tmp_path, prompts(12), 3)
    told = found.content
    assert told["n"] == 24 and told["trials"] == 96 and told["deployments"] == list(ARMS)
    assert [each["task"] for each in told["by_task"]] == ["code", "maths"]
    assert {r["figure"] for r in told["design_against_reality"]} == {
        "quality", "latency_s", "cost_usd"
    }  # fmt: skip
    assert told["projections"]["mix"] == "the benchmark's own"
    assert any("people may rate otherwise" in each for each in told["cannot_be_said"])
    design, result = in_words(found)
    assert "24 prompts of code, maths" in design and "all: " in result
    made = cells(found)
    assert len(made) == 8 and {each["n"] for each in made} == {12}
    one = next(c for c in made if (c["deployment"], c["task"]) == ("mill", "code"))
    mine = [t for t in found.trials if (t.arm, t.task) == ("mill", "code")]
    scores = [t.score for t in mine if t.score is not None]
    assert one["quality_mean"] == pytest.approx(np.mean(scores))
    assert one["quality_var"] == pytest.approx(np.var(scores, ddof=1))


def test_todays_traffic_is_the_mix_where_there_is_some(tmp_path: Path) -> None:
    traffic = {("code", "mill"): 300, ("maths", "fall"): 100, ("other", "brook"): 100}
    setting = Setting(WHO, SETTING.tasks, 0.05, True, traffic, 7.0)
    found = play(tmp_path, prompts(12), 4, setting).content
    told = found["projections"]
    assert told["mix"] == "today's traffic" and told["covered"] == 0.8
    assert told["weights"] == {"code": 0.75, "maths": 0.25} and told["against"] == "as served now"
    ways = {each["name"]: each for each in told["ways"]}
    assert (
        ways["all by brook"]["against_usd"]["high"] < 0 < ways["all by fall"]["against_usd"]["low"]
    )
    assert told["requests_per_day"] == pytest.approx(500 / 7)
    assert any("learns from pins" in each for each in found["cannot_be_said"])


def test_rules_can_be_pasted_into_the_plan(tmp_path: Path) -> None:
    setting = Setting(WHO, SETTING.tasks, 10.0, False, {}, 7.0)
    found = play(tmp_path, prompts(150), 5, setting)
    text = fragment(found.rules, "run-5")
    assert text.count("- task:") >= 1 and "prior_quality" in text, text
    plan = tmp_path / "plan.yaml"
    plan.write_text(f"{plan_text('http://127.0.0.1:9')}\n{text}", "utf-8")
    rules = load_checked(plan).rules
    kept = [r for r in found.rules if r.kind != "prior_quality"]
    assert [(r.task, tuple(r.use or r.exclude)) for r in rules] == [(r.task, r.arms) for r in kept]
    assert fragment((), "run-5") == ""


def test_the_pages_tell_it_all_and_escape(tmp_path: Path) -> None:
    found = play(tmp_path, prompts(12), 6)
    content = {**found.content, "cannot_be_said": ["<script>alert(1)</script> | x"]}
    parts = account(content, fragment(found.rules, "r"))
    text, made = markdown(parts), page(parts, "a <title>")
    for head in ("All tasks together", "Design against reality", "Revised rules", "Projections",
                 "What cannot be said"):  # fmt: skip
        assert f"## {head}" in text and f"<h2>{head}</h2>" in made
    assert "<script>" not in made and "&lt;script&gt;" in made and "a &lt;title&gt;" in made
    assert "Verdict: " in text and " | brook | " not in text.replace("| brook |", "")
    brief = account(content, "", brief=True)
    assert len(brief.made) < len(parts.made)
    assert span({"estimate": 0.5, "low": 0.4, "high": None}, 100, "%") == "50.0% [40.0, -]"


def test_what_ended_early_is_told(tmp_path: Path) -> None:
    file = prompts(4)
    journal = begun(tmp_path, file)
    assert analysed(journal, file.items, SETTING) is None
    fill(journal, file, 7)
    unable = next(iter(journal.known.answers))
    journal.answered(Answer(unable, "unable", why="capability_missing"))
    ended = Ended(5, True, "the key ended", {"mill": "10 failures in a row"})
    found = analysed(journal, file.items, SETTING, ended)
    assert found is not None and len(found.trials) == 31
    told = "; ".join(found.content["cannot_be_said"])
    for words in ("mill was asked no more", "the money was spent", "the key ended",
                  "none of what a deployment does"):  # fmt: skip
        assert words in told
    assert version_of(journal).startswith(file.digest[:12])
    journal.close()
