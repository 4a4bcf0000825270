"""Trials of a benchmark, and their tables: a row a prompt, a column a deployment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.errors import ExperimentError
from experiments.statistics.inputs import Floats


@dataclass(frozen=True, slots=True)
class Trial:
    """One prompt asked of one deployment, ended.

    ``score`` in [0, 1], None where the scorer could not say; ``failed``: no answer, by the
    deployment's doing. ``latency_s`` of the whole answer, ``ttft_s`` to its first content.
    ``cost_usd``: None where nobody tells, as of most calls that failed.
    """

    prompt: str
    task: str
    arm: str
    score: float | None
    failed: bool
    latency_s: float
    ttft_s: float | None
    cost_usd: float | None
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True, slots=True)
class Tables:
    """Means over the trials of each prompt (row) and arm (column), NaN where there are none.

    A prompt is one observation however often it is asked: its trials share its difficulty. In
    ``quality`` a failed answer is worth 0, as in the reward, but for prompts whose answers could
    not be scored; ``answered`` is the quality of what was answered alone. Latencies are of what was
    answered, costs of all whose cost is known.
    """

    arms: tuple[str, ...]
    prompts: tuple[str, ...]
    tasks: tuple[str, ...]  # of each prompt
    quality: Floats
    answered: Floats
    failed: Floats
    latency_s: Floats
    ttft_s: Floats
    cost_usd: Floats
    tokens_out: Floats
    trials: NDArray[np.int64]  # how many, of each prompt and arm

    @property
    def task_names(self) -> tuple[str, ...]:
        """Each task once, in order."""
        return tuple(sorted(set(self.tasks)))

    def rows(self, task: str | None) -> NDArray[np.intp]:
        """The rows of a task; None: of all."""
        if task is None:
            return np.arange(len(self.prompts))
        return np.flatnonzero(np.array([each == task for each in self.tasks], dtype=np.bool_))

    def column(self, arm: str) -> int:
        """Where an arm stands."""
        return self.arms.index(arm)


def tables(trials: Sequence[Trial], arms: Sequence[str]) -> Tables:
    """The tables of some trials; raises ExperimentError where they do not fit together."""
    tasks: dict[str, str] = {}
    for each in trials:
        if tasks.setdefault(each.prompt, each.task) != each.task:
            raise ExperimentError(
                f"prompt {each.prompt} stands in two tasks: {tasks[each.prompt]} and {each.task}"
            )
        if each.arm not in arms:
            raise ExperimentError(f"{each.arm} is none of the arms: {', '.join(arms)}")
        if each.score is not None and not 0.0 <= each.score <= 1.0:
            raise ExperimentError(f"score of {each.prompt} is {each.score!r}: give 0 to 1")
    row = {prompt: at for at, prompt in enumerate(sorted(tasks))}
    column = {arm: at for at, arm in enumerate(arms)}
    shape = (len(row), len(column))
    cells = np.array([row[t.prompt] * shape[1] + column[t.arm] for t in trials], np.int64)

    def means(values: list[float | None]) -> Floats:
        there = np.array([each is not None for each in values], np.bool_)
        kept = np.array([0.0 if each is None else each for each in values], np.float64)
        count = np.bincount(cells[there], minlength=shape[0] * shape[1])
        total = np.bincount(cells[there], weights=kept[there], minlength=shape[0] * shape[1])
        found = np.full(shape[0] * shape[1], np.nan)
        found[count > 0] = total[count > 0] / count[count > 0]
        return found.reshape(shape)

    quality = means([0.0 if t.failed else t.score for t in trials])
    answered = means([None if t.failed else t.score for t in trials])
    failed = means([float(t.failed) for t in trials])
    unscored = np.isnan(answered).all(1) & (np.nan_to_num(failed, nan=1.0) < 1.0).any(1)
    quality[unscored] = np.nan
    return Tables(
        tuple(arms),
        tuple(row),
        tuple(tasks[prompt] for prompt in row),
        quality,
        answered,
        failed,
        means([None if t.failed else t.latency_s for t in trials]),
        means([None if t.failed else t.ttft_s for t in trials]),
        means([t.cost_usd for t in trials]),
        means([None if t.failed else float(t.tokens_out) for t in trials]),
        np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape),
    )
