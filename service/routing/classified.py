"""A request's task as it is told: the source, every probability, and how it would go on."""

from __future__ import annotations

from typing import Any

from service.routing.asked import Asked
from service.routing.finding import TaskFinder

AUTO, REVIEW = "auto", "review"


def told(asked: Asked, finder: TaskFinder | None) -> dict[str, Any]:
    """What was found, and what follows: ``auto`` it is routed as of its task, ``review`` it goes on
    by ``safe`` and a copy goes to a person. Without a taxonomy nothing follows.
    """
    guess = asked.guess
    probabilities = {} if guess is None else guess.top(len(guess.tasks))
    return {
        "task": asked.task,
        "confidence": asked.confidence,
        "source": asked.source,
        "threshold": finder.threshold if finder is not None else None,
        "goes": REVIEW if asked.unsure else AUTO,
        "safe": list(finder.safe) if finder is not None and asked.unsure else [],
        "classifier": guess.version if guess is not None else None,
        "probabilities": probabilities,
        "note": _note(finder),
    }


def _note(finder: TaskFinder | None) -> str:
    if finder is None:
        return "the plan has no taxonomy: only callers and conditions name tasks"
    if finder.current is None:
        why = f" ({finder.setback})" if finder.setback else ""
        return f"the classifier is not there yet{why}: only callers and conditions name tasks"
    return ""
