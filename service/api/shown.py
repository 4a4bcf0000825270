"""Records as callers, analysts and operators see them."""

from __future__ import annotations

from datetime import UTC, datetime
from math import isnan
from typing import Any

from learning.reward import Reward, RewardScale, value
from service.domain.clock import response_id
from service.domain.plan_standing import PlanStanding
from service.domain.prediction import Predicted
from service.domain.records import Decision, Weight
from service.domain.staying import Stay
from service.feedback.credit import rated_quality
from service.feedback.refit import QualityStanding
from service.monitoring.live import Standing
from service.monitoring.responses import Responses
from service.orchestration.panel import Panel
from service.routing.fleet import Standing as Health
from service.routing.retries import RetryBudget
from service.runtime import Runtime
from service.storage.cases import Case


def when(microseconds: int) -> str:
    """A time as ISO 8601, UTC, to the millisecond."""
    moment = datetime.fromtimestamp(microseconds / 1e6, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def judging(panel: Panel) -> dict[str, Any]:
    """The panel of judges as it stands."""
    told = panel.standing()
    for each in told["judges"]:
        if each["check"] is not None:
            each["check"]["at"] = when(each["check"].pop("at_us"))
    return told


def decision(record: Decision) -> dict[str, Any]:
    """Why this deployment: candidates with their parts, who left before the draw, the draw."""
    c = record.candidates
    candidates = []
    for i, name in enumerate(c.names):
        entry: dict[str, Any] = {"deployment": name, "propensity": c.propensities[i]}
        if c.utility:
            entry["score"] = {
                "quality": c.quality[i],
                "cost_usd": c.cost_usd[i],
                "latency_s": c.latency_s[i],
                "error_rate": c.error_rate[i],
                "utility": c.utility[i],
            }
        candidates.append(entry)
    shown = {
        "decision_id": record.id,
        "response_id": response_id(record.id),
        "at": when(record.at_us),
        "deployment": record.deployment,
        "propensity": record.propensity,
        "mode": record.mode.value,
        "reason": record.reason,
        "task": record.task,
        "task_confidence": record.task_confidence,
        "task_source": record.task_source,
        **_classes(record),
        "candidates": candidates,
        "disqualified": [
            {"deployment": each.deployment, "reason": each.reason} for each in record.disqualified
        ],
        "draw": record.draw,
        "policy": {
            "name": record.policy.name,
            "version": record.policy.version_id,
            "checkpoint": record.policy.checkpoint_id,
            "update_seq": record.policy.update_seq,
        },
        "override_id": record.override_id,
        "session_decision_id": record.session_decision_id,
        "experiments": [
            {"experiment": a.experiment, "variant": a.variant, "probability": a.probability}
            for a in record.assigned
        ],
        "tokens_in_estimate": record.tokens_in,
        "stream": record.stream,
    }
    if record.stay is not None:
        shown["session"] = stay(record.stay)
    if record.predicted is not None:
        shown["prediction"] = predicted(record.predicted)
    return shown


def stay(record: Stay) -> dict[str, Any]:
    """Whether the session should leave: the expected gain against the cache that is lost."""
    return {
        "verdict": record.verdict,
        "probability": record.probability,
        "held": record.held,
        "best": record.best,
        "gain_per_turn": record.gain,
        "spread": record.spread,
        "turns_expected": record.turns,
        "prefix_tokens": record.prefix_tokens,
        "cached_share": record.cached_share,
        "cache_usd": record.cache_usd,
        "reread_s": record.reread_s,
        "lost": record.lost,
        "value": record.value,
        "session_decision_id": record.session_decision_id,
    }


def predicted(record: Predicted) -> dict[str, Any]:
    """What was foreseen: the scores, each deployment's chance, and what was done by them."""
    return {
        "state": record.state,
        "model": record.model_id or None,
        "complexity": record.complexity,
        "ambiguity": record.ambiguity,
        "difficulty": record.difficulty,
        "acceptable": dict(zip(record.deployments, record.chances, strict=True)),
        "act": record.act or None,
        "probability": record.probability,
        "taken_out": list(record.taken_out),
    }


def _classes(record: Decision) -> dict[str, Any]:
    """What the classifier thought, where it is still known."""
    guess = record.guess
    if guess is None:
        return {}
    return {"task_classes": guess.top(), "task_classifier": guess.version}


def case(found: Case, scale: RewardScale, metric: str) -> dict[str, Any]:
    """A decision with its attempts, outcome, ratings, and the reward they make so far."""
    shown = decision(found.decision)
    shown["attempts"] = [
        {
            "number": a.number,
            "deployment": a.deployment,
            "provider": a.provider,
            "role": a.role.value,
            "status": a.status,
            "error_kind": a.error_kind and a.error_kind.value,
            "ttft_s": a.ttft_s,
            "latency_s": a.latency_s,
            "tokens_in": a.usage.tokens_in,
            "tokens_out": a.usage.tokens_out,
            "cost_usd": a.usage.cost_micro_usd / 1e6,
            "estimated": a.usage.estimated,
        }
        for a in found.attempts
    ]
    o = found.outcome
    shown["outcome"] = o and {
        "deployment": o.deployment,
        "mode": o.mode.value,
        "status": o.status,
        "error_kind": o.error_kind and o.error_kind.value,
        "latency_s": o.latency_s,
        "ttft_s": o.ttft_s,
        "overhead_s": o.overhead_s,
        "cost_usd": o.usage.cost_micro_usd / 1e6,
        "tokens_in": o.usage.tokens_in,
        "tokens_out": o.usage.tokens_out,
    }
    quality = rated_quality(found.feedback, metric)
    failed = o is not None and o.status >= 500
    parts = Reward(quality, o.usage.cost_micro_usd / 1e6, o.latency_s, None, failed) if o else None
    shown["reward"] = parts and {
        "value": value(parts, scale),
        "quality": quality,
        "cost_usd": parts.cost_usd,
        "latency_s": parts.latency_s,
        "failed": failed,
        "worth_usd": scale.worth_usd,
        "patience_s": scale.patience_s,
    }
    shown["feedback"] = [
        {
            "feedback_id": f.id,
            "at": when(f.at_us),
            "metric": f.metric,
            "kind": f.kind,
            "value": f.label if f.value is None else f.value,
            "revises": f.revises,
        }
        for f in found.feedback.values()
    ]
    return shown


def weight(record: Weight) -> dict[str, Any]:
    """A weight with the parts that move it."""
    return {
        "task": record.task,
        "deployment": record.deployment,
        "share": record.share,
        "quality": record.quality,
        "cost_usd": record.cost_usd,
        "latency_s": record.latency_s,
        "error_rate": record.error_rate,
        "utility": record.utility,
        "contexts": record.contexts,
        "update_seq": record.update_seq,
        "why": record.why,
        "state": record.state,
    }


def responses(found: Responses) -> dict[str, Any]:
    """Who rates: the verdict, each deployment's rate, and what its ratings leave open."""
    report = found.report
    return {
        "verdict": report.verdict.value,
        "reason": report.reason,
        "e_value": report.e_value,
        "rates": [
            {
                "deployment": rate.deployment,
                "answers": rate.answers,
                "rated": rate.rated,
                "rate": rate.interval.estimate,
                "low": rate.interval.low,
                "high": rate.interval.high,
            }
            for rate in report.rates
        ],
        "quality": [
            {
                "deployment": each.deployment,
                "mean_rating": None if isnan(each.bounds.estimate) else each.bounds.estimate,
                "least": each.bounds.low,
                "greatest": each.bounds.high,
                "weighted_by_task": each.weighted,
            }
            for each in found.qualities
        ],
    }


def standing(record: Standing, state: str) -> dict[str, Any]:
    """A deployment over the last minutes, and the state in which the policy holds it."""
    return {
        "deployment": record.deployment,
        "state": state,
        "calls": record.calls,
        "errors": record.errors,
        "p50_s": record.p50_s,
        "p95_s": record.p95_s,
        "cost_usd": record.cost_micro_usd / 1e6,
        "last_error": record.last_error,
    }


def health(standing: Health) -> dict[str, Any]:
    """A deployment's breaker and limits; ``bar``: why it is sent nothing now, null when it is."""
    return {
        "deployment": standing.deployment,
        "breaker": standing.state,
        "bar": standing.bar or None,
        "why": standing.why or None,
        "free_in_s": round(standing.free_in_s, 3),
        "ejections": standing.ejections,
        "in_flight": standing.in_flight,
        "limit": standing.limit,
        "throttled": round(standing.throttled, 4),
    }


def retries(budget: RetryBudget, now_s: float) -> dict[str, Any]:
    """The budget of extra calls: how many may be made now, were made, were not allowed."""
    left = round(budget.balance(now_s), 1)
    return {"left": left, "spent": budget.spent, "refused": budget.refused}


def quality(standing: QualityStanding, now_us: int) -> dict[str, Any]:
    """The quality model in use, how it has done since, and the last refit that came to nothing."""
    shown: dict[str, Any] = {"model": None, "since": None, "setback": None}
    if standing.online is not None:
        figures = standing.online.model.figures
        shown["model"] = {
            "id": standing.model_id,
            "age_s": max(0.0, (now_us - standing.since_us) / 1e6),
            "rows": figures.rows,
            "held_out": figures.held_out,
            "error": figures.error,
            "means_error": figures.means_error,
            "ece": figures.ece,
        }
        errors = standing.online.errors
        if errors is not None:
            plain, corrected = errors
            ratings = standing.online.ratings
            shown["since"] = {"ratings": ratings, "error": plain, "corrected_error": corrected}
    if standing.setback is not None:
        each = standing.setback
        shown["setback"] = {"act": each.act, "at": when(each.at_us), "reason": each.reason}
    return shown


def plan(standing: PlanStanding) -> dict[str, Any]:
    """Which plan is in force since when, and the last reload if that one was refused."""
    refused = standing.refused
    return {
        "sha256": standing.digest or None,
        "loaded_at": when(standing.loaded_us),
        "reloads": standing.reloads,
        "refused": refused and {"at": when(refused.at_us), "problems": list(refused.problems)},
    }


def troubles(runtime: Runtime) -> list[str]:
    """What an operator should be told of the plan and of what had to be left out."""
    told = []
    refused, in_force = runtime.plan_standing.refused, runtime.plan_standing.digest
    if refused is not None:
        told.append(
            f"the last reload was refused at {when(refused.at_us)}; the plan {in_force} stays in "
            f"force: {'; '.join(refused.problems)}"
        )
    log, learner = runtime.kept.log, runtime.learner
    if log.dropped or learner.dropped or log.refused:
        told.append(
            f"since the start {log.dropped} records were dropped for want of room while the log "
            f"could not be written, {learner.dropped} outcomes were not learned for want of room, "
            f"and {log.refused} rows could not be stored; none of them was acknowledged"
        )
    for name, failure in runtime.scheduler.failures.items():
        told.append(f"the job {name} fails now ({failure}); it is tried again at its next turn")
    return told
