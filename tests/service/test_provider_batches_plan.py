"""What a plan may say of providers' batches, and what is wrong with it, with its line and mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.check import check
from service.domain.errors import PlanInvalid
from service.plan.reading import load

PLAN = """deployments:
  - name: only
    base_url: http://127.0.0.1:9/v1
    model: m
    price: {input_usd_per_mtok: 1, output_usd_per_mtok: 2, batch_factor: 0.5}
    batch: {window_s: 7200, cancel_s: 600}
policy: {kind: fixed, parameters: {arm: only}}
batches: {longest_s: 172800}
"""


def problems(tmp_path: Path, *change: tuple[str, str]) -> list[tuple[str, int | None, str]]:
    text = PLAN
    for old, new in change:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "plan.yaml"
    path.write_text(text, "utf-8")
    plan, lines = load(path)
    return [(each.key, each.line, f"{each.message}; {each.mend}") for each in check(plan, lines)]


def test_a_plan_whose_provider_offers_batches_is_taken(tmp_path: Path) -> None:
    assert problems(tmp_path) == []
    path = tmp_path / "plan.yaml"
    offer = load(path)[0].catalog({})[0].batch
    assert offer is not None and (offer.window_s, offer.cancel_s, offer.needs_s) == (
        7200.0, 600.0, 7800.0,
    )  # fmt: skip


def test_what_goes_without_saying_serves_a_batch_of_a_day(tmp_path: Path) -> None:
    as_usual = ("{window_s: 7200, cancel_s: 600}", "{}"), ("{longest_s: 172800}", "{}")
    assert problems(tmp_path, *as_usual) == []


@pytest.mark.parametrize(
    ("change", "where", "line", "words"),
    [
        ((", batch_factor: 0.5", ""), "deployments.0.batch", 6, "price.batch_factor"),
        (("\nbatches: {longest_s: 172800}", ""), "deployments.0.batch", 6, "section batches"),
        (("172800", "7200"), "deployments.0.batch.window_s", 6, "raise batches.longest_s"),
        (("    model: m", "    model: m\n    dialect: gemini"), "deployments.0.batch", 7, "gemini"),
    ],
    ids=["factor", "section", "longest", "dialect"],
)
def test_what_contradicts_itself_is_said(
    tmp_path: Path, change: tuple[str, str], where: str, line: int, words: str
) -> None:
    ((path, at, told),) = problems(tmp_path, change)
    assert (path, at) == (where, line) and words in told


def test_only_chats_go_to_a_providers_batch(tmp_path: Path) -> None:
    second = """  - name: vectors
    base_url: http://127.0.0.1:9/v1
    model: v
    modality: embedding
    price: {input_usd_per_mtok: 1, batch_factor: 0.5}
    batch: {window_s: 7200}
policy"""
    ((path, at, told),) = problems(tmp_path, ("policy", second))
    assert (path, at) == ("deployments.1.batch", 12) and "embedding" in told


def test_a_bad_off_peak_window_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(PlanInvalid) as found:
        problems(tmp_path, ("{longest_s", '{windows: ["03:00-26:00 Europe/Berlin"], longest_s'))
    (problem,) = found.value.problems
    assert problem.key.startswith("batches.windows") and problem.line == 8
