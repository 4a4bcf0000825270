"""What is wrong with a plan's taxonomy: what it names that is not there, or that overlaps."""

from __future__ import annotations

from collections.abc import Iterator

from learning.taxonomies import default
from service.plan.taxonomy import LEAST_EXAMPLES
from service.plan.whole import Plan
from service.plan.words import OTHER

Found = tuple[tuple[str | int, ...], str, str]  # where, what, and the mend


def taxonomy_problems(plan: Plan) -> Iterator[Found]:
    """Every problem of it."""
    if plan.taxonomy is None:
        for index, task in enumerate(plan.tasks):
            if task.examples or task.like:
                yield (
                    ("tasks", index, "examples" if task.examples else "like"),
                    "is read by the taxonomy's classifier, and the plan has no taxonomy",
                    "add a taxonomy section",
                )
        return
    yield from _section(plan)
    yield from _tasks(plan)


def _section(plan: Plan) -> Iterator[Found]:
    wish = plan.taxonomy
    assert wish is not None
    known = [each.name for each in plan.deployments]
    told = f"known: {', '.join(known)}"
    for name in wish.safe:
        if name not in known:
            yield ("taxonomy", "safe"), f"no deployment {name!r}", told
    if not wish.safe and not plan.safe_deployment:
        yield (
            ("taxonomy",), "does not say by whom a request goes on whose task is not sure",
            f"add safe: [deployments]; {told}",
        )  # fmt: skip
    if wish.ask is not None and wish.ask.deployment not in known:
        yield ("taxonomy", "ask", "deployment"), f"no deployment {wish.ask.deployment!r}", told
    asked = plan.review.classification
    if (
        wish.threshold is not None and asked is not None
        and "threshold" in asked.model_fields_set and asked.threshold != wish.threshold
    ):  # fmt: skip
        yield (
            ("taxonomy", "threshold"),
            f"is {wish.threshold:g}, and review.classification.threshold is {asked.threshold:g}",
            "there is one threshold: give it in one place",
        )
    if wish.use == "plan" and not plan.tasks:
        yield ("taxonomy", "use"), "the plan has no tasks", "add tasks, or use: default"


def _tasks(plan: Plan) -> Iterator[Found]:
    wish = plan.taxonomy
    assert wish is not None
    taken = {task.name: task.name for task in plan.tasks if task.name in default.NAMES}
    told: dict[str, str] = {}
    for index, task in enumerate(plan.tasks):
        at = ("tasks", index)
        for like in task.like:
            if like not in default.NAMES:
                yield (*at, "like"), f"the default taxonomy has no task {like!r}", _known()
            elif taken.setdefault(like, task.name) != task.name:
                yield (
                    (*at, "like"), f"{like} falls under {taken[like]} already",
                    "no request may be of two tasks: remove one",
                )  # fmt: skip
        for text in task.examples:
            if told.setdefault(text.strip().lower(), task.name) != task.name:
                yield (
                    (*at, "examples"), f"an example of {told[text.strip().lower()]} is given again",
                    "no request may be of two tasks: remove one",
                )  # fmt: skip
        from_default = task.like or task.name in default.NAMES
        few = len(task.examples) < LEAST_EXAMPLES and not from_default
        if few and (task.examples or (wish.use == "plan" and not task.when and task.name != OTHER)):
            yield (
                at, f"{task.name} has {len(task.examples)} examples and is like no task of the "
                "default's",
                f"give at least {LEAST_EXAMPLES} examples, or like: [tasks]; {_known()}",
            )  # fmt: skip


def _known() -> str:
    return f"known: {', '.join(default.NAMES)}"
