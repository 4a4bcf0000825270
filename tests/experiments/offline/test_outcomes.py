"""Recorded outcomes are read whole, or refused with what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.errors import CannotSay
from experiments.offline.outcomes import of_frame, read, read_rows
from tests.experiments.offline.recorded import COSTS, MODELS, frame


def test_a_file_is_read(tmp_path: Path) -> None:
    frame().to_parquet(tmp_path / "o.parquet")
    found = read(tmp_path / "o.parquet")
    assert found.names == MODELS and found.reward.shape == (400, 3)
    assert found.scored.sum() == 300 and len(found.prompts) == 400
    assert found.tokens_in.min() >= 1
    assert read(tmp_path / "o.parquet", ["large", "small"]).names == ("large", "small")


def test_the_prices_give_the_mean_cost_back() -> None:
    found = of_frame(frame())
    mean_in = found.tokens_in.mean()
    cost = (found.price_input_usd_mtok * mean_in + found.price_output_usd_mtok * 300.0) * 1e-6
    assert cost == pytest.approx(np.array(COSTS) * np.exp(0.02), rel=0.08)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: f.drop(columns="cost_usd"), "lack the columns cost_usd"),
        (lambda f: f.assign(reward=f.reward + 1.0), "reward must lie"),
        (lambda f: f.drop(index=[5]), "every prompt needs"),
        (lambda f: f[f.model == "small"], "at least two models"),
        (lambda f: f.iloc[[*range(len(f)), 0]], "two rows"),
        (lambda f: f.head(30), "at least ten"),
    ],
)
def test_what_cannot_be_replayed_is_refused(spoil: object, message: str) -> None:
    with pytest.raises(CannotSay, match=message):
        of_frame(spoil(frame()))  # type: ignore[operator]


def test_a_missing_or_broken_file_and_an_unknown_model_are_named(tmp_path: Path) -> None:
    with pytest.raises(CannotSay, match="is not there"):
        read(tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"nothing")
    with pytest.raises(CannotSay, match="cannot be read"):
        read(tmp_path / "bad.parquet")
    with pytest.raises(CannotSay, match="no outcomes of huge"):
        of_frame(frame(), ["huge", "small"])


def test_without_a_split_the_first_quarter_is_unscored() -> None:
    assert of_frame(frame().drop(columns="split")).scored.sum() == 300


def test_rows_are_read_where_not_every_model_answered(tmp_path: Path) -> None:
    path, whole = tmp_path / "rows.parquet", frame()
    whole.drop(index=[5]).drop(columns="cost_usd").to_parquet(path)
    assert len(read_rows(path)) == len(whole) - 1
    for spoiled, message in (
        (whole.drop(columns="prompt"), "lack the columns prompt"),
        (whole.assign(reward=whole.reward + 1.0), "reward must lie"),
        (whole.assign(reward=np.nan), "every row needs a finite reward"),
        (whole.iloc[[0, 0]], "two rows"),
        (whole.iloc[:0], "no rows"),
    ):
        spoiled.to_parquet(path)
        with pytest.raises(CannotSay, match=message):
            read_rows(path)
