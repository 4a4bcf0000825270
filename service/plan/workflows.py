"""The plan's part on workflows: which there are, who may run them, how long runs are kept."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from service.plan.words import Strict

Kept = Annotated[float, Field(gt=0.0, le=2_592_000.0, allow_inf_nan=False)]
WorkflowName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$", max_length=64)]


class WorkflowsPlan(Strict):
    """``dir`` and ``files``: beside the plan file, where they are not absolute. ``allowed``: by the
    name of a key, which it may run; a key that is not named may run all. ``keep_s``: how long
    inputs, results and outputs of runs that are to survive their caller stay on disk.
    """

    library: bool = True
    dir: str | None = Field(default=None, min_length=1, max_length=1_000)
    files: list[Annotated[str, Field(min_length=1, max_length=1_000)]] = []
    allowed: dict[str, list[WorkflowName]] = {}
    keep_s: Kept = 86_400.0
    most_at_once: int = Field(default=100, ge=1, le=10_000)
    most_per_key: int = Field(default=20, ge=1, le=10_000)
