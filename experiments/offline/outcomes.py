"""Recorded outcomes: what every deployment did with every prompt, as a table read from Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import nnls

from experiments.errors import CannotSay

RATED = ("prompt_id", "prompt", "model", "reward")
COLUMNS = (*RATED, "cost_usd")
UNSCORED_SPLITS = ("train", "val")
UNSCORED_SHARE = 0.25  # where the file has no split
CHARACTERS_A_TOKEN = 4
USUAL_TOKENS = 300.0
LEAST_OUTPUT_SHARE = 0.1

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """A row a prompt, a column a deployment.

    ``reward`` [n, K] in [0, 1], ``cost_usd`` [n, K], ``tokens_in`` [n], ``scored`` [n] (false for
    prompts that come first and are not counted), and the prices [K] in US dollars per million
    tokens, as a price list would tell them.
    """

    names: tuple[str, ...]
    prompts: tuple[str, ...]
    reward: Matrix
    cost_usd: Matrix
    scored: NDArray[np.bool_]
    price_input_usd_mtok: NDArray[np.float64]
    price_output_usd_mtok: NDArray[np.float64]

    @property
    def tokens_in(self) -> NDArray[np.int64]:
        """Prompt tokens, at four characters each."""
        return np.array([max(1, len(prompt) // CHARACTERS_A_TOKEN) for prompt in self.prompts])


def read(path: Path, only: Sequence[str] = ()) -> Outcomes:
    """The outcomes of a Parquet file; raises CannotSay that names what is wrong with it."""
    return of_frame(_frame(path), only)


def read_rows(path: Path) -> pd.DataFrame:
    """The rows of a Parquet file as they stand, where not every model need have answered every
    prompt and nobody need know what that cost; raises CannotSay that names what is wrong with it.
    """
    frame = _frame(path)
    _check_columns(frame, RATED)
    _check_once(frame)
    reward = frame["reward"].to_numpy(dtype=float)
    if not len(reward):
        raise CannotSay("there are no rows")
    if not np.isfinite(reward).all():
        raise CannotSay("every row needs a finite reward")
    _check_range(reward)
    return frame


def _frame(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise CannotSay(f"{path} is not there")
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise CannotSay(f"{path} cannot be read as Parquet") from error


def _check_columns(frame: pd.DataFrame, columns: Sequence[str] = COLUMNS) -> None:
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise CannotSay(f"the outcomes lack the columns {', '.join(missing)}")


def _check_once(frame: pd.DataFrame) -> None:
    if frame.duplicated(["prompt_id", "model"]).any():
        raise CannotSay("some prompt has two rows for one model")


def _check_range(reward: Matrix, cost: Matrix | float = 0.0) -> None:
    if reward.min() < 0.0 or reward.max() > 1.0 or np.min(cost) < 0.0:
        raise CannotSay("reward must lie in [0, 1] and cost_usd must not be negative")


def of_frame(frame: pd.DataFrame, only: Sequence[str] = ()) -> Outcomes:
    """The outcomes of a frame with a row for each prompt and model."""
    _check_columns(frame)
    known = list(dict.fromkeys(frame["model"].astype(str)))
    names = list(only) or known
    unknown = [name for name in names if name not in known]
    if unknown:
        raise CannotSay(f"no outcomes of {', '.join(unknown)}; there are: {', '.join(known)}")
    if len(names) < 2:
        raise CannotSay("at least two models are needed")
    frame = frame[frame["model"].isin(names)]
    _check_once(frame)
    reward = frame.pivot(index="prompt_id", columns="model", values="reward")[names]
    cost = frame.pivot(index="prompt_id", columns="model", values="cost_usd")[names]
    values, costs = reward.to_numpy(dtype=float), cost.to_numpy(dtype=float)
    if not (np.isfinite(values).all() and np.isfinite(costs).all()):
        raise CannotSay("every prompt needs a finite reward and cost_usd for every model")
    _check_range(values, costs)
    first = frame.drop_duplicates("prompt_id").set_index("prompt_id").loc[reward.index]
    prompts = tuple(first["prompt"].astype(str))
    scored = _scored(first)
    if scored.sum() < 10 or (~scored).sum() < 10:
        raise CannotSay("at least ten scored and ten unscored prompts are needed")
    price_in, price_out = _prices(prompts, costs, ~scored)
    return Outcomes(tuple(names), prompts, values, costs, scored, price_in, price_out)


def _scored(first: pd.DataFrame) -> NDArray[np.bool_]:
    if "split" in first.columns and first["split"].isin(UNSCORED_SPLITS).any():
        return ~first["split"].isin(UNSCORED_SPLITS).to_numpy()
    return np.arange(len(first)) >= UNSCORED_SHARE * len(first)


def _prices(
    prompts: Sequence[str], cost: Matrix, use: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What a price list would have said: the part of cost that follows the prompt's length, and
    the rest as the price of ``USUAL_TOKENS`` output tokens. Non-negative least squares.
    """
    tokens = np.array([len(prompt) / CHARACTERS_A_TOKEN for prompt in prompts])[use]
    price_in, price_out = np.zeros(cost.shape[1]), np.zeros(cost.shape[1])
    for at in range(cost.shape[1]):
        paid = cost[use, at] * 1e6
        (slope, level), _ = nnls(np.stack([tokens, np.ones(len(tokens))], axis=1), paid)
        least = LEAST_OUTPUT_SHARE * float(paid.mean())
        if level < least:
            level, slope = least, (1.0 - LEAST_OUTPUT_SHARE) * float(paid.mean() / tokens.mean())
        price_in[at], price_out[at] = slope, max(level / USUAL_TOKENS, 1e-9)
    return price_in, price_out
