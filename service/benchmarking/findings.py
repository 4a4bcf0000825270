"""What came of a run: its journal, analysed; as JSON holds it, for reports and for the service."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.benchmarking.projecting import Mix, Shares, mix_of, projected
from experiments.benchmarking.reality import Declared, beside, dominated, performers
from experiments.benchmarking.revising import Revision, revisions, served_by
from experiments.benchmarking.stating import more_needed
from experiments.benchmarking.trials import Tables, Trial, tables
from experiments.benchmarking.verdicts import Difficulty, Shown, by_task, overall
from experiments.plain import plain
from experiments.statistics.moments import Moments
from service.benchmarking.journal import Journal
from service.benchmarking.planning import Candidate, order
from service.benchmarking.prompts import Item
from service.benchmarking.running import Ended

SCORERS_VERSION = "scorers-1"
DETECT = 0.05


@dataclass(frozen=True, slots=True)
class Setting:
    """What the service says that benchmarks start from. ``traffic``: requests answered by task and
    deployment in ``days``; empty where there are none.
    """

    candidates: Mapping[str, Candidate]
    tasks: tuple[str, ...]
    worth_usd: float | None
    learns_from_pins: bool
    traffic: Mapping[tuple[str, str], int]
    days: float
    judges: tuple[str, ...] = ()

    @property
    def panel(self) -> tuple[Candidate, ...]:
        """The judges, with their prices."""
        return tuple(self.candidates[name] for name in self.judges if name in self.candidates)


def setting_of(content: Mapping[str, Any]) -> Setting:
    """Of what GET /admin/benchmarks/setting answered."""
    return Setting(
        {
            each["name"]: Candidate(
                each["name"], each["prior_quality"], each["prior_latency_s"],
                each["input_usd_per_mtok"], each["output_usd_per_mtok"],
            )
            for each in content["deployments"]
        },
        tuple(content["tasks"]),
        content["worth_usd"],
        bool(content["learns_from_pins"]),
        {(s["task"], s["deployment"]): s["requests"] for s in content["traffic"]["served"]},
        float(content["traffic"]["days"]),
        tuple(content.get("judges", ())),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """A run's analysis. ``shown``: first all tasks together, then each."""

    trials: tuple[Trial, ...]
    tables: Tables
    shown: tuple[Shown, ...]
    rules: tuple[Revision, ...]
    content: Mapping[str, Any]  # as JSON holds it


def trials_of(journal: Journal, items: Mapping[str, Item]) -> list[Trial]:
    """The trials that ended; what a deployment does not do at all is none."""
    known, made = journal.known, []
    for each in order(journal.design):
        answer = known.answers.get(each.key)
        if answer is None or answer.status == "unable":
            continue
        failed = answer.status == "failed"
        score = known.scores.get(each.key)
        if not failed and score is None:
            continue
        made.append(
            Trial(
                each.prompt, items[each.prompt].task, each.deployment,
                None if failed or score is None else score.value, failed, answer.latency_s,
                answer.ttft_s,
                None if failed and not answer.cost_micro_usd else answer.cost_micro_usd / 1e6,
                answer.tokens_in, answer.tokens_out,
            )
        )  # fmt: skip
    return made


def analysed(
    journal: Journal, items: Sequence[Item], setting: Setting, ended: Ended | None = None
) -> Found | None:
    """The findings; None where nothing has ended. ``items``: of the whole prompt file."""
    design = journal.design
    by_id = {each.id: each for each in items}
    made = trials_of(journal, by_id)
    if not made:
        return None
    arms = [name for name in design.deployments if any(t.arm == name for t in made)]
    found = tables(made, arms)
    tasks = by_task(found, design.seed, _difficulty(items, found))
    whole = overall(found, design.seed)
    declared = _declared(made, setting, arms)
    told = beside(whole, declared)
    known = [each for each in tasks if each.task in setting.tasks]
    rules = revisions(known, told, setting.worth_usd)
    content = {
        "run_id": design.run_id,
        "prompts": {"source": design.source, "digest": design.prompts},
        "version": version_of(journal),
        "seed": design.seed,
        "deployments": arms,
        "tasks": list(found.task_names),
        "n": len(found.prompts),
        "repeats": design.repeats,
        "trials": len(made),
        "spent_usd": journal.known.spent_usd,
        "overall": _shown(whole, arms),
        "by_task": [_shown(each, arms) for each in tasks],
        "design_against_reality": [
            {**plain(each), "off": each.off, "better": each.better} for each in told
        ],
        "over_performers": list(performers(told)[0]),
        "under_performers": list(performers(told)[1]),
        "dominated": plain([d for each in (whole, *tasks) for d in dominated(each)]),
        "rules": plain(rules),
        "projections": _projections(found, tasks, rules, setting),
        "cannot_be_said": _unsaid(journal, (whole, *tasks), made, setting, ended),
    }
    return Found(tuple(made), found, (whole, *tasks), rules, content)


def version_of(journal: Journal) -> str:
    """Of what was asked, and how it was scored."""
    return f"{journal.design.prompts[:12]}+{SCORERS_VERSION}"


def cells(found: Found) -> list[dict[str, Any]]:
    """What enters the matrix, a deployment and task each."""
    made = []
    for task in found.tables.task_names:
        for arm in found.tables.arms:
            mine = [t for t in found.trials if t.task == task and t.arm == arm]
            if not mine:
                continue
            quality = _moments([t.score for t in mine if t.score is not None])
            latency = _moments([t.latency_s for t in mine if not t.failed])
            cost = _moments([t.cost_usd * 1e6 for t in mine if t.cost_usd is not None])
            made.append(
                {
                    "deployment": arm, "task": task, "n": len(mine),
                    "quality_mean": quality[0], "quality_var": quality[1],
                    "latency_mean_s": latency[0], "latency_var": latency[1],
                    "cost_mean_micro_usd": cost[0], "cost_var": cost[1],
                    "error_rate": sum(t.failed for t in mine) / len(mine),
                }
            )  # fmt: skip
    return made


def in_words(found: Found) -> tuple[str, str]:
    """The design and the result, each in some sentences, for the knowledge base."""
    content = found.content
    design = (
        f"{content['n']} prompts of {', '.join(content['tasks'])}, each asked of "
        f"{', '.join(content['deployments'])}, {content['trials']} trials, prompts "
        f"{content['prompts']['digest'][:12]}"
    )
    told = [f"{each.task or 'all'}: {each.verdict.words}" for each in found.shown]
    return design[:2_000], "; ".join(told)[:2_000]


def _moments(values: Sequence[float]) -> tuple[float | None, float | None]:
    if not values:
        return None, None
    moments = Moments.of(np.array(values, np.float64))
    return moments.mean, moments.variance if moments.count > 1 else None


def _difficulty(items: Sequence[Item], found: Tables) -> Difficulty:
    """What the file says of difficulty, or how long the prompt is; of the file's whole tasks."""
    said = all(each.difficulty is not None for each in items)
    hard = {
        each.id: float(each.difficulty or 0.0) if said else math.log1p(each.words)
        for each in items
    }  # fmt: skip
    known = {
        task: Moments.of(np.array([hard[i.id] for i in items if i.task == task], np.float64))
        for task in found.task_names
    }
    return Difficulty(hard, known)


def _declared(
    made: Sequence[Trial], setting: Setting, arms: Sequence[str]
) -> Mapping[str, Declared]:
    declared = {}
    for arm in arms:
        who = setting.candidates.get(arm)
        mine = [t for t in made if t.arm == arm and not t.failed]
        if who is None:
            continue
        listed = [who.cost_usd(t.tokens_in, t.tokens_out) for t in mine]
        mean = math.fsum(listed) / len(listed) if listed else None
        declared[arm] = Declared(who.prior_quality, who.prior_latency_s, mean)
    return declared


def _shown(each: Shown, arms: Sequence[str]) -> dict[str, Any]:
    stability = None
    if each.stability is not None:
        order_ = [arms[at] for at in each.stability.order]
        stability = {
            "order": order_, "held": each.stability.held,
            "first": dict(zip(arms, each.stability.first, strict=True)),
            "above_the_next": list(each.stability.neighbours),
            "resamples": each.stability.resamples,
        }  # fmt: skip
    return {
        "task": each.task,
        "measured": plain(each.measured),
        "pairs": [{**plain(pair), "separated": pair.separated} for pair in each.pairs],
        "verdict": plain(each.verdict),
        "stability": stability,
        "level": each.level,
    }


def _projections(
    found: Tables, tasks: Sequence[Shown], rules: Sequence[Revision], setting: Setting
) -> dict[str, Any]:
    """Ways to route at today's mix, or the benchmark's where there is no traffic."""
    by_name: dict[str, float] = {}
    for (task, _), count in setting.traffic.items():
        by_name[task] = by_name.get(task, 0.0) + count
    mix = mix_of(by_name, found.task_names, setting.days)
    at = "today's traffic"
    if not mix.weights:
        counts = {task: float(found.tasks.count(task)) for task in found.task_names}
        mix, at = mix_of(counts, found.task_names, None), "the benchmark's own"
    ways: dict[str, Shares] = {
        f"all by {arm}": {task: {arm: 1.0} for task in found.task_names} for arm in found.arms
    }
    now = _served_now(found, setting, mix)
    if now is not None:
        ways["as served now"] = now
    if any(rule.kind != "prior_quality" for rule in rules):
        ways["by the rules below"] = served_by(tasks, rules, found.arms)
        even = served_by(tasks, (), found.arms)
        ways.setdefault("even shares", even)
    against = "as served now" if now is not None else None
    return {
        "mix": at,
        "weights": dict(mix.weights),
        "covered": mix.covered,
        "requests_per_day": mix.requests_per_day,
        "against": against,
        "ways": plain(projected(found, ways, mix, against)),
    }


def _served_now(found: Tables, setting: Setting, mix: Mix) -> Shares | None:
    """Today's shares of the measured deployments; None where others, or none, served."""
    shares: dict[str, Mapping[str, float]] = {}
    for task in mix.weights:
        counts = {d: n for (t, d), n in setting.traffic.items() if t == task}
        if not counts or set(counts) - set(found.arms):
            return None
        whole = sum(counts.values())
        shares[task] = {name: count / whole for name, count in counts.items()}
    return shares or None


def _by_several(journal: Journal, tasks: Mapping[str, str]) -> list[str]:
    """Where more than one judge scored a task: whose answers are whose, as judges differ."""
    found: dict[str, dict[str, set[str]]] = {}
    for key, score in journal.known.scores.items():
        prompt, arm, _ = key.split("|")
        if score.judge and score.value is not None and prompt in tasks:
            found.setdefault(tasks[prompt], {}).setdefault(score.judge, set()).add(arm)
    return [
        f"{task}: "
        + "; ".join(f"{judge} scored {', '.join(sorted(who))}" for judge, who in sorted(by.items()))
        + ", as nobody judges kin; part of a difference between them may be the judges'"
        for task, by in sorted(found.items()) if len(by) > 1
    ]  # fmt: skip


def _unsaid(
    journal: Journal,
    shown: Sequence[Shown],
    made: Sequence[Trial],
    setting: Setting,
    ended: Ended | None,
) -> list[str]:
    """What the run cannot say, and what would take it to say it."""
    told = []
    for each in shown:
        name = each.task or "all tasks together"
        if len(each.verdict.tied) > 1:
            best, other = each.verdict.tied[:2]
            pair = each.pair(best, other)
            if pair.sd is not None:
                needed = more_needed(pair.sd, DETECT, each.level)
                told.append(
                    f"{name}: whether {best} or {other} is better; a difference of 5 points takes "
                    f"about {needed} prompts, there were {pair.prompts}"
                )
    unscored = sum(t.score is None and not t.failed for t in made)
    if unscored:
        notes = Counter(s.note for s in journal.known.scores.values() if s.value is None)
        why = ", ".join(note for note, _ in notes.most_common(3) if note)
        told.append(f"{unscored} answers could not be scored ({why}) and count in no quality")
    told += _by_several(journal, {t.prompt: t.task for t in made})
    unable = sum(a.status == "unable" for a in journal.known.answers.values())
    if unable:
        told.append(f"{unable} prompts are none of what a deployment does; they count in nothing")
    strange = sorted({t.task for t in made} - set(setting.tasks))
    if strange:
        told.append(f"rules for {', '.join(strange)}: the plan has no such task")
    if setting.learns_from_pins:
        told.append("the plan learns from pins, so the benchmark's latencies and costs taught it")
    if ended is not None:
        told += [f"{name} was asked no more: {why}" for name, why in sorted(ended.out.items())]
        if ended.short:
            told.append("the money was spent before the end: the same command with more goes on")
        if ended.reason:
            told.append(f"it ended early: {ended.reason}")
    told.append(
        "quality here is what the scorers count, on these prompts; people may rate otherwise"
    )
    return told
