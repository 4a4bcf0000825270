"""The designs that a monthly review proposes, as files that `headgate experiment create` takes."""

from __future__ import annotations

from experiments.reviewing.finding import Review


def texts(review: Review) -> dict[str, str]:
    """File names and contents; empty where nothing is proposed."""
    return {
        f"{name}.yaml": str(text) for name, text in sorted(review.figures.get("designs", {}).items())
    }
