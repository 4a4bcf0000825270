"""Experiments, versions and promotions as they are shown."""

from __future__ import annotations

import json
from typing import Any

from service.api.shown import when
from service.domain.experiments import Evaluation, Promotion
from service.domain.records import Version
from service.runtime import Runtime
from service.storage.experiments import Conducted

MOST_CHECKPOINTS = 50


def experiment(found: Conducted, runtime: Runtime, whole: bool = False) -> dict[str, Any]:
    """An experiment as it stands; ``whole``: with its design and every step."""
    record, standing, desk = found.record, found.standing, runtime.experiments.desk
    told: dict[str, Any] = {
        "id": found.id,
        "slug": record.slug,
        "version": record.version,
        "state": standing.state.value,
        "percent": standing.percent,
        "exposed": standing.exposed,
        "shipped": standing.shipped,
        "layer": record.layer,
        "buckets": [record.first, record.stop],
        "hypothesis": found.design.hypothesis,
        "variants": {each.name: each.share for each in found.design.variants},
        "goals": list(found.design.goals),
        "guardrails": [each.metric for each in found.design.guardrails],
        "next_steps": [each.value.replace(" ", "") for each in standing.legal()],
        "held": desk.holds.get(found.id),
        "made_at": when(record.at_us),
        "author": record.author,
        "reason": record.reason,
    }
    if whole:
        told["design"] = json.loads(record.design)
        told["steps"] = [
            {
                "at": when(each.at_us), "step": each.step, "before": each.before,
                "after": each.after, "percent": each.percent, "variant": each.variant,
                "author": each.author, "reason": each.reason, "cause": json.loads(each.cause),
            }
            for each in found.steps
        ]  # fmt: skip
        told["verdicts"] = [each.to_dict() for each in runtime.experiments.guard.verdicts(found.id)]
    return told


def version(found: Version, runtime: Runtime, whole: bool = False) -> dict[str, Any]:
    """A version; ``whole``: with its parameters, checkpoints and promotions."""
    experiments = runtime.experiments
    store = experiments.versions.store
    told: dict[str, Any] = {
        "id": found.id,
        "made_at": when(found.at_us),
        "policy": found.policy,
        "kind": found.kind,
        "live": found.id == runtime.live.current.mark.version_id,
        "followed_for": list(experiments.followers.wanted.get(found.id, ())),
        "parent": found.parent,
        "author": found.author,
        "reason": found.reason,
        "rollbacks": experiments.desk.rollbacks(found.id),
    }
    if whole:
        told["parameters"] = json.loads(found.parameters)
        kept = store.checkpoints_of(found.id)
        told["checkpoints"] = [
            {
                "id": each.id, "at": when(each.at_us), "update_seq": each.update_seq,
                "sha256": each.sha256, "size_bytes": each.size_bytes,
            }
            for each in kept[-MOST_CHECKPOINTS:]
        ]  # fmt: skip
        found_worth = experiments.gate.latest(found.id)
        told["evaluation"] = None if found_worth is None else evaluation(found_worth)
        told["promotions"] = [
            promotion(each)
            for each in store.promotions
            if found.id in (each.version_id, each.from_version_id)
        ]
    return told


def evaluation(found: Evaluation) -> dict[str, Any]:
    """What a version would have earned, and whether it may be exposed."""
    return {
        "id": found.id,
        "at": when(found.at_us),
        "version": found.version_id,
        "since": when(found.since_us),
        "until": when(found.until_us),
        "passed": found.passed,
        "reason": found.reason,
        "report": json.loads(found.report),
    }


def promotion(found: Promotion) -> dict[str, Any]:
    """A promotion or rollback."""
    return {
        "id": found.id,
        "at": when(found.at_us),
        "how": found.how,
        "version": found.version_id,
        "from_version": found.from_version_id,
        "checkpoint": found.checkpoint_id,
        "restored_checkpoint": found.restored_id,
        "author": found.author,
        "reason": found.reason,
        "cause": json.loads(found.cause),
    }
