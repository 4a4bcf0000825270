"""`headgate policy teach` and `taught` against a running service, as an operator types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from service.cli import teaching
from tests.service.cli.test_commands import run
from tests.service.experimentation.rig import Site, site

WHY = ("--reason", "rated in our evaluation", "--author", "ann")
MAP = ("--map", "big=mill", "--map", "small=brook")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("teaching") / "state") as found:
        yield found


def recorded(path: Path, prompts: int = 12, word: str = "kite", **more: Any) -> str:
    """A file of outcomes; not every model answered every prompt."""
    rows = [
        {"prompt_id": at, "prompt": f"Describe a {word}, number {at}.", "model": model,
         "reward": reward, "cost_usd": 0.001, "split": "train", "tokens_out": 50 if at else None}
        for at in range(prompts)
        for model, reward in (("big", 0.9), ("small", 0.2), ("other", 0.5))
        if at or model != "small"
    ]  # fmt: skip
    pd.DataFrame(rows).assign(**more).to_parquet(path)
    return str(path)


def test_taught_listed_and_passed_over(
    here: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, at = recorded(tmp_path / "rated.parquet"), ("--url", here.url)
    code, out, _ = run("policy", "teach", file, *MAP, "--only-known", "--dry-run", *WHY, *at)
    assert code == 0 and "nothing was sent" in out and "other (12)" in out
    assert here.get("/admin/evidence")["evidence"] == []
    monkeypatch.setattr(teaching, "MOST_ANSWERS", 9)
    teach = ("policy", "teach", file, *MAP, "--only-known", *WHY, *at)
    code, out, _ = run(*teach, "--json")
    told = json.loads(out)
    assert code == 0 and told["deployments"] == {
        "brook": {"answers": 11, "quality": pytest.approx(0.2)},
        "mill": {"answers": 12, "quality": pytest.approx(0.9)},
    }
    parts = [each["answers"] for each in told["taken"]]
    assert parts == [9, 8, 6] and told["taken_before"] == [], "whole prompts together"
    code, out, _ = run(*teach)
    assert code == 0 and out.count("passed over") == 3 and "taken before, as " in out
    assert "0 answers of rated.parquet were taken, in 0 parts" in out
    listed = here.get("/admin/evidence")["evidence"]
    assert [each["answers"] for each in listed] == [6, 8, 9]
    code, out, _ = run("policy", "taught", *at)
    assert code == 0 and listed[0]["evidence_id"] in out and "rated.parquet" in out
    assert "mill 3 at 0.900" in out


def test_a_bar_is_shown_at_a_terminal(
    here: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teaching, "err", Console(stderr=True, force_terminal=True, width=100))
    file = recorded(tmp_path / "long.parquet", word="barge")
    code, out, err = run("policy", "teach", file, *MAP, "--only-known", *WHY, "--source", "barges",
                         "--url", here.url)  # fmt: skip
    assert code == 0 and "23 answers of barges were taken, in 1 parts" in out
    assert "teaching, parts" in err and "teaching, parts" not in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (MAP, "no deployments: other; known: brook"),
        ((), "no deployments: big, other, small; known: brook"),
        (("--only-known",), "nothing is left"),
        ((*MAP, "--map", "other=mill"), "several models are mapped to mill"),
        (("--map", "big"), "--map takes model=deployment"),
        (("--map", "huge=mill"), "has no huge; it has big, other, small"),
    ],
)
def test_misuse_is_told(here: Site, tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    file = recorded(tmp_path / "rated.parquet", 2, "wrong")
    code, _, err = run("policy", "teach", file, *arguments, *WHY, "--url", here.url)
    assert code == 2 and told in " ".join(err.split())


def test_a_wrong_file_is_told(here: Site, tmp_path: Path) -> None:
    at = (*MAP, *WHY, "--url", here.url)
    code, _, err = run("policy", "teach", str(tmp_path / "none.parquet"), *at)
    assert code == 2 and "is not there" in " ".join(err.split())
    file = recorded(tmp_path / "wrong.parquet", reward=1.5)
    code, _, err = run("policy", "teach", file, *at)
    assert code == 2 and "reward must lie in [0, 1]" in err
    file = recorded(tmp_path / "empty.parquet", reward=None)
    code, _, err = run("policy", "teach", file, *at)
    assert code == 2 and "every row needs a finite reward" in err
