"""Holds a plan against everything that is registered: what `headgate check` and the start say."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from learning.errors import LearningError
from learning.features import Featurizer
from learning.policies import registry
from learning.policies.base import PolicySetup
from learning.reward import RewardScale
from service.config import process_environment
from service.domain.errors import PlanInvalid, Problem
from service.domain.reachability import unreachable
from service.feedback.versions import arm_of
from service.orchestration.rubrics import SHIPPED
from service.orchestration.workflows.planned import workflow_problems
from service.plan.part_checks import part_problems
from service.plan.reading import Lines, load
from service.plan.refusals import SuggestionPlan
from service.plan.routing import RulePlan
from service.plan.whole import Plan
from service.providers.registry import PROVIDERS

OTLP = "opentelemetry.exporter.otlp.proto.http"
RESERVED = ("auto", "workflow")
Path_ = tuple[str | int, ...]


class _Findings:
    """Problems found, each at its line."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self.problems: list[Problem] = []

    def add(self, path: Path_, message: str, mend: str = "") -> None:
        key = ".".join(str(part) for part in path)
        self.problems.append(Problem(key, message, mend, self._lines.of(path)))


def load_checked(path: Path, secrets: bool = True) -> Plan:
    """A plan that can be served from; raises PlanInvalid with every problem."""
    plan, lines = load(path)
    problems = check(plan, lines, secrets)
    if problems:
        raise PlanInvalid(str(path), problems)
    return plan


def check(plan: Plan, lines: Lines, secrets: bool = True) -> list[Problem]:
    """Every problem of a plan whose form is right. ``secrets``: whether keys must be set."""
    found = _Findings(lines)
    _names(plan, found)
    _references(plan, found)
    _conditions(plan, found)
    _policy(plan, found)
    _budgets(plan, found)
    _prices(plan, found)
    _feedback(plan, found)
    for path, message, mend in part_problems(plan):
        found.add(path, message, mend)
    _judging(plan, found)
    _conversations(plan, found)
    found.problems += workflow_problems(plan, lines)
    if secrets:
        _notify(plan, found)
        _traces(plan, found)
        for index, variable in plan.missing_secrets(process_environment()):
            found.add(
                ("deployments", index, "api_key_env"),
                f"the environment variable {variable} is not set",
                f"export {variable}=... before starting",
            )
    return sorted(found.problems, key=lambda problem: problem.line or 0)


def _notify(plan: Plan, found: _Findings) -> None:
    environment = process_environment()
    for index, channel in enumerate(plan.alerts.channels):
        for key, variable in channel.variables:
            if not environment.get(variable):
                found.add(
                    ("alerts", "channels", index, key),
                    f"the environment variable {variable} is not set",
                    f"export {variable}=... before starting",
                )
    for key in ("webhook_env", "routing_key_env"):
        variable = getattr(plan.notify, key)
        if variable and not environment.get(variable):
            found.add(
                ("notify", key),
                f"the environment variable {variable} is not set",
                f"export {variable}=... before starting",
            )


def _traces(plan: Plan, found: _Findings) -> None:
    """What sends traces is there, and the collector's headers are set."""
    if plan.traces.endpoint is None:
        return
    if not _can_trace():
        found.add(
            ("traces", "endpoint"),
            "what sends traces is not installed",
            "install headgate[traces]",
        )
    variable = plan.traces.headers_env
    if variable is None:
        return
    text = process_environment().get(variable, "")
    try:
        plan.traces.headers(text)
    except ValueError as error:
        found.add(
            ("traces", "headers_env"), f"the environment variable {variable} {error}",
            "write it so, without line ends",
        )  # fmt: skip
    if not text:
        found.add(
            ("traces", "headers_env"),
            f"the environment variable {variable} is not set",
            f"export {variable}=... before starting",
        )


def _can_trace() -> bool:
    try:
        return all(find_spec(each) for each in ("opentelemetry.sdk", OTLP))
    except ModuleNotFoundError:
        return False


def _names(plan: Plan, found: _Findings) -> None:
    seen: dict[str, int] = {}
    for index, each in enumerate(plan.deployments):
        if each.name in seen:
            found.add(("deployments", index, "name"), f"{each.name} is given twice", "rename one")
        seen[each.name] = index
        if each.name.split(":")[0] in RESERVED:
            found.add(("deployments", index, "name"), f"{each.name} is reserved", "rename it")
        if each.dialect not in PROVIDERS:
            found.add(
                ("deployments", index, "dialect"),
                f"no dialect {each.dialect!r}",
                f"known: {', '.join(PROVIDERS)}",
            )
        days = [price.from_date for price in each.price]
        if len(set(days)) < len(days):
            found.add(("deployments", index, "price"), "two prices from the same day", "drop one")
    tasks: set[str] = set()
    for index, task in enumerate(plan.tasks):
        if task.name in tasks:
            found.add(("tasks", index, "name"), f"{task.name} is given twice", "rename one")
        tasks.add(task.name)


def _references(plan: Plan, found: _Findings) -> None:
    deployments = {each.name for each in plan.deployments}
    tasks = set(plan.task_names)
    for index, each in enumerate(plan.deployments):
        _known(found, ("deployments", index, "tasks"), each.tasks, tasks, "task")
        if each.similar_to:
            at_similar: Path_ = ("deployments", index, "similar_to")
            _known(found, at_similar, [each.similar_to], deployments, "deployment")
    _resemblances(plan, found)
    _dials(plan, found)
    _refusals(plan, found)
    for index, rule in enumerate(plan.rules):
        at = ("rules", index)
        if rule.task is not None:
            _known(found, (*at, "task"), [rule.task], tasks, "task")
        _known(found, (*at, "use"), rule.use, deployments, "deployment")
        _known(found, (*at, "exclude"), rule.exclude, deployments, "deployment")
    _fallbacks(plan, found)
    _demands(plan, found)
    if plan.safe_deployment:
        _known(found, ("safe_deployment",), [plan.safe_deployment], deployments, "deployment")
    if plan.experiments.holdout_on:
        named = [plan.experiments.holdout_on]
        _known(found, ("experiments", "holdout_on"), named, deployments, "deployment")
    for task in tasks:
        if not any(not each.tasks or task in each.tasks for each in plan.deployments):
            place = next((i for i, t in enumerate(plan.tasks) if t.name == task), None)
            path: Path_ = ("deployments",) if place is None else ("tasks", place, "name")
            found.add(path, f"no deployment serves the task {task}", "add it to a deployment")


def _resemblances(plan: Plan, found: _Findings) -> None:
    """Following similar_to from a deployment must never lead back to it."""
    similar = {each.name: each.similar_to for each in plan.deployments}
    for index, each in enumerate(plan.deployments):
        at: Path_ = ("deployments", index, "similar_to")
        if each.similar_to == each.name:
            found.add(at, f"{each.name} resembles itself", "name another, or remove it")
            continue
        way = [each.name]
        while (following := similar.get(way[-1])) and following not in way:
            way.append(following)
        if following == each.name:
            found.add(at, f"goes in a circle: {' -> '.join([*way, following])}", "remove one")


def _fallbacks(plan: Plan, found: _Findings) -> None:
    """Every tier names deployments that exist, each in one tier of a task's ladder."""
    deployments, tasks = {each.name for each in plan.deployments}, set(plan.task_names)
    _known(found, ("resilience", "hedging", "tasks"), plan.resilience.hedging.tasks, tasks, "task")
    given: set[str | None] = set()
    for index, ladder in enumerate(plan.fallbacks):
        at: Path_ = ("fallbacks", index)
        if ladder.task is not None:
            _known(found, (*at, "task"), [ladder.task], tasks, "task")
        if ladder.task in given:
            what = f"the task {ladder.task}" if ladder.task else "the tasks without their own"
            found.add(at, f"{what} has two lists of tiers", "keep one")
        given.add(ladder.task)
        seen: set[str] = set()
        for place, tier in enumerate(ladder.tiers):
            where = (*at, "tiers", place, "use")
            _known(found, where, tier.use, deployments, "deployment")
            for name in seen.intersection(tier.use):
                found.add(where, f"{name} stands in an earlier tier already", "name it once")
            seen.update(tier.use)


def _demands(plan: Plan, found: _Findings) -> None:
    """Every requirement is one that somebody meets; strengths are of tasks that there are."""
    tasks, catalog = set(plan.task_names), plan.catalog({})
    for index, each in enumerate(plan.deployments):
        _known(found, ("deployments", index, "strengths"), list(each.strengths), tasks, "task")
    for index, wanted in enumerate(plan.requirements):
        if wanted.task is not None:
            _known(found, ("requirements", index, "task"), [wanted.task], tasks, "task")
        if all(wanted.demand.unmet(each) for each in catalog):
            found.add(
                ("requirements", index), "no deployment meets this requirement",
                "give region and data_policy of the deployments that do",
            )  # fmt: skip


def _dials(plan: Plan, found: _Findings) -> None:
    for tier in plan.dials.tiers:
        _known(found, ("dials", "tiers", tier), [tier], set(plan.tiers), "tier")


def _refusals(plan: Plan, found: _Findings) -> None:
    at: Path_ = ("refusals", "review_tiers")
    _known(found, at, plan.refusals.review_tiers or (), set(plan.tiers), "tier")
    for index, each in enumerate(plan.refusals.suggestions):
        if each.task is not None:
            at = ("refusals", "suggestions", index, "task")
            _known(found, at, [each.task], set(plan.task_names), "task")


def _known(found: _Findings, path: Path_, names: Sequence[str], known: set[str], what: str) -> None:
    for name in names:
        if name not in known:
            mend = f"known: {', '.join(sorted(known))}" if known else f"the plan has no {what}s"
            found.add(path, f"no {what} {name!r}", mend)


def _conditions(plan: Plan, found: _Findings) -> None:
    conditional = [(i, task) for i, task in enumerate(plan.tasks) if task.when]
    for at, why in unreachable([task.condition for _, task in conditional]):
        found.add(("tasks", conditional[at][0], "when"), why, "change or remove it")
    _reached(found, ("rules",), plan.rules)
    _reached(found, ("refusals", "suggestions"), plan.refusals.suggestions)


def _reached(found: _Findings, path: Path_, entries: Sequence[RulePlan | SuggestionPlan]) -> None:
    """Of entries of which the first that holds decides: each must get its turn."""
    by_task: dict[str | None, list[int]] = {}
    for index, each in enumerate(entries):
        by_task.setdefault(each.task, []).append(index)
    for task, indices in by_task.items():
        # An entry for every task stands before the entries of one task that come after it.
        group = indices if task is None else sorted(indices + by_task.get(None, []))
        for at, why in unreachable([entries[i].condition for i in group]):
            if group[at] in indices:
                found.add((*path, group[at]), why, "change, reorder or remove it")


def _policy(plan: Plan, found: _Findings) -> None:
    featurizer = Featurizer(plan.task_names)
    setup = PolicySetup(
        tuple(arm_of(each, 0) for each in plan.catalog({})),
        featurizer.names,
        RewardScale(plan.reward.worth_usd, plan.reward.patience_s),
    )
    try:
        registry.build(plan.policy.kind, setup, plan.policy.parameters)
    except (LearningError, ValueError, TypeError) as error:
        found.add(("policy",), str(error))
        return
    if plan.budgets.usd_per_request is not None:
        pacing = [kind for kind, policy in registry.POLICIES.items() if policy.takes_budget]
        if plan.policy.kind not in pacing:
            found.add(
                ("budgets", "usd_per_request"),
                f"the policy kind {plan.policy.kind} does not pace spend",
                f"use one of {', '.join(pacing)}, or drop the budget",
            )


def _judging(plan: Plan, found: _Findings) -> None:
    """Judges exist, rubrics are known, and a score fits the metric's scale."""
    asked = plan.judging
    names = {each.name for each in plan.deployments}
    _known(found, ("judging", "judges"), asked.judges, names, "deployment")
    own = [each.name for each in asked.rubrics]
    if asked.rubric:
        known = {each.name for each in SHIPPED} | set(own)
        _known(found, ("judging", "rubric"), [asked.rubric], known, "rubric")
    for index, each in enumerate(asked.rubrics):
        at: Path_ = ("judging", "rubrics", index)
        _known(found, (*at, "tasks"), each.tasks, set(plan.task_names), "task")
        if each.name in own[:index]:
            found.add((*at, "name"), f"{each.name} is given twice", "rename one")
    metric = plan.feedback.metrics.get(asked.metric or plan.reward.metric)
    if asked.metric and metric is None:
        _known(found, ("judging", "metric"), [asked.metric], set(plan.feedback.metrics), "metric")
    if asked.judges and metric is not None and metric.scale == "labels":
        found.add(("judging", "metric"), "a score is a number, and the metric has labels",
                  "name a metric of scale unit or stars")  # fmt: skip


def _conversations(plan: Plan, found: _Findings) -> None:
    """Who sums up exists, and keys that keep unasked are not named in vain."""
    asked, at = plan.conversations, "conversations"
    if asked.summary is not None:
        names = {each.name for each in plan.deployments}
        _known(found, (at, "summary", "deployment"), [asked.summary.deployment], names,
               "deployment")  # fmt: skip
    if asked.keys and not asked.enabled:
        found.add((at, "keys"), "no conversation is kept while enabled is false",
                  "set enabled: true, which stores prompts and answers")  # fmt: skip


def _budgets(plan: Plan, found: _Findings) -> None:
    """Each budget has a name of its own, is of something that there is, and can do what it says."""
    known = {"deployment": {each.name for each in plan.deployments}, "task": set(plan.task_names)}
    seen: set[str] = set()
    for index, each in enumerate(plan.budgets.named):
        at: Path_ = ("budgets", "named", index)
        if each.name in seen:
            found.add((*at, "name"), f"{each.name} is given twice", "rename one")
        seen.add(each.name)
        if each.of is not None and each.scope in known:
            _known(found, (*at, "of"), [each.of], known[each.scope], each.scope)
        if each.at_cap == "queue" and not plan.queue.enabled:
            found.add((*at, "at_cap"), "the plan has no queue", "set queue.enabled, or refuse")
        if each.at_soft == "queue" and not plan.queue.enabled:
            found.add((*at, "at_soft"), "the plan has no queue", "set queue.enabled, or tell")
        if each.at_cap == "pace" and plan.policy.kind in ("uniform", "fixed"):
            found.add(
                (*at, "at_cap"),
                f"the policy kind {plan.policy.kind} does not weigh costs, so it cannot pace",
                "use linear, or refuse",
            )


def _prices(plan: Plan, found: _Findings) -> None:
    """What is taken from a cache is never dearer than what is not."""
    for index, each in enumerate(plan.deployments):
        for place, price in enumerate(each.price):
            cached = price.cached_input_usd_per_mtok
            if cached is not None and cached > price.input_usd_per_mtok:
                found.add(
                    ("deployments", index, "price", place, "cached_input_usd_per_mtok"),
                    f"{cached:g} is more than the input's {price.input_usd_per_mtok:g}",
                    "is it the price of writing to the cache? that is cache_write_usd_per_mtok",
                )


def _feedback(plan: Plan, found: _Findings) -> None:
    metrics = plan.feedback.metrics
    if plan.reward.metric not in metrics:
        found.add(
            ("reward", "metric"),
            f"no feedback metric {plan.reward.metric!r}",
            f"known: {', '.join(metrics)}",
        )
    elif metrics[plan.reward.metric].scale == "labels":
        found.add(("reward", "metric"), "a metric of labels cannot be quality", "use a number")
    for name, metric in metrics.items():
        if (metric.scale == "labels") != bool(metric.labels):
            found.add(
                ("feedback", "metrics", name),
                "labels and scale: labels go together",
                "give both or neither",
            )
