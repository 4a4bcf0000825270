"""The designs that a monthly review proposes, as files that `headgate experiment create` takes."""

from __future__ import annotations

from typing import Any

import yaml

from experiments.reviewing.finding import Review


def texts(review: Review) -> dict[str, str]:
    """File names and contents; empty where nothing is proposed."""
    designs = review.figures.get("designs", {})
    return {f"{name}.yaml": _text(name, each) for name, each in sorted(designs.items())}


def _text(name: str, placed: dict[str, Any]) -> str:
    told = yaml.safe_dump(placed["design"], sort_keys=False, allow_unicode=True, width=96)
    return (
        "# Proposed by the monthly review; nothing starts before you approve it:\n"
        f"# headgate experiment create {name}.yaml --layer {placed['layer']} "
        f'--share {placed["share"]:g} --reason "..."\n'
        f"{told}"
    )
