"""The live version: made from the plan, resumed from its checkpoint and the updates after."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from learning.errors import LearningError, SnapshotError
from learning.interaction import Arm
from learning.policies import registry
from learning.policies.base import Policy, PolicySetup
from learning.reward import RewardScale
from service.domain.catalog import Deployment
from service.domain.clock import new_id
from service.domain.records import Checkpoint, Version
from service.feedback.apply import apply, fits
from service.storage.database import Cursor
from service.storage.event_log import EventLog
from service.storage.updates import last_update_us, logged_updates
from service.storage.versions import VersionStore

log = logging.getLogger("headgate.learning")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The policy that the plan asks for."""

    name: str
    kind: str
    parameters: dict[str, Any]
    setup: PolicySetup

    def description(self) -> str:
        """Everything that makes two versions different, as JSON."""
        content = {
            "parameters": self.parameters,
            "arms": [asdict(arm) for arm in self.setup.arms],
            "features": list(self.setup.features),
            "scale": {
                "worth_usd": self.setup.scale.worth_usd,
                "patience_s": self.setup.scale.patience_s,
            },
        }
        return json.dumps(content, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Resumed:
    """A policy as it stood, the version it runs under, and how far it has learned."""

    policy: Policy
    version: Version
    is_new: bool
    checkpoint_id: str
    update_seq: int
    last_at_us: int
    replayed: int
    passed_over: int = 0
    skipped: tuple[str, ...] = ()  # checkpoints that were damaged or gone


def arm_of(deployment: Deployment, at_us: int) -> Arm:
    """A deployment as the learner sees it, at the price in force at ``at_us``."""
    price = deployment.price_at(at_us)
    return Arm(
        deployment.name,
        price.input_micro_usd_mtok / 1e6,
        price.output_micro_usd_mtok / 1e6,
        deployment.prior_quality,
        deployment.prior_latency_s,
        deployment.similar_to,
    )


def policy_of(version: Version) -> Policy:
    """An untaught policy as a version describes it."""
    content = json.loads(version.parameters)
    setup = PolicySetup(
        arms=tuple(Arm(**arm) for arm in content["arms"]),
        features=tuple(content["features"]),
        scale=RewardScale(**content["scale"]),
    )
    return registry.build(version.kind, setup, content["parameters"])


def resume(
    wanted: Wanted,
    store: VersionStore,
    cursor: Callable[[], Cursor],
    now_us: int,
) -> Resumed:
    """The live policy: exactly as it stood, and carried over when the plan has changed since."""
    live = store.live
    if live is None:
        policy = registry.build(wanted.kind, wanted.setup, wanted.parameters)
        version = _version(wanted, None, "first start", now_us)
        return Resumed(policy, version, True, "", 0, now_us, 0)
    was = restored(live, store, cursor)
    return was if is_of(live, wanted) else changed(was, wanted, now_us)


def is_of(version: Version, wanted: Wanted) -> bool:
    """Whether a version is what the plan asks for."""
    described = (version.policy, version.kind, version.parameters)
    return described == (wanted.name, wanted.kind, wanted.description())


def changed(was: Resumed, wanted: Wanted, now_us: int) -> Resumed:
    """A new version, not durable yet, that knows what the old one knew where both know it."""
    policy = registry.build(wanted.kind, wanted.setup, wanted.parameters)
    if was.version.kind == wanted.kind:
        policy.thaw(was.policy.freeze())
    version = _version(wanted, was.version.id, "the plan changed", now_us)
    return replace(was, policy=policy, version=version, is_new=True, checkpoint_id="")


def _version(wanted: Wanted, parent: str | None, reason: str, now_us: int) -> Version:
    return Version(
        new_id(), now_us, wanted.name, wanted.kind, wanted.description(), parent, "plan", reason
    )


def restored(
    version: Version,
    store: VersionStore,
    cursor: Callable[[], Cursor],
    through_seq: int | None = None,
) -> Resumed:
    """A version's policy from its nearest checkpoint and the logged updates after it, in order.

    ``through_seq`` stops after that update; without it all are taken.
    """
    policy = policy_of(version)
    checkpoint_id, seq, last_at_us = "", 0, version.at_us
    skipped: list[str] = []
    for checkpoint in reversed(store.checkpoints):
        beyond = through_seq is not None and checkpoint.update_seq > through_seq
        if checkpoint.version_id != version.id or beyond:
            continue
        data = store.read(checkpoint)
        try:
            if data is None:
                skipped.append(checkpoint.id)
                continue
            policy.thaw(data)
        except SnapshotError as error:
            log.warning("checkpoint %s is passed over: %s", checkpoint.id, error)
            skipped.append(checkpoint.id)
            policy = policy_of(version)
            continue
        checkpoint_id, seq = checkpoint.id, checkpoint.update_seq
        break
    replayed = passed_over = 0
    for update, decision in logged_updates(cursor(), version.id, seq, through_seq):
        seq, last_at_us = update.seq, update.at_us
        if not fits(policy, update, decision):
            passed_over += 1
            continue
        try:
            apply(policy, update, decision, store.models.read)
        except LearningError as error:
            log.warning("update %s is passed over: %s", update.seq, error)
            passed_over += 1
            continue
        replayed += 1
    if not replayed and checkpoint_id:
        last_at_us = last_update_us(cursor(), seq, last_at_us)
    return Resumed(
        policy, version, False, checkpoint_id, seq, last_at_us, replayed, passed_over,
        tuple(skipped),
    )  # fmt: skip


def promoted(resumed: Resumed, store: VersionStore, log_: EventLog) -> Resumed:
    """Make a new version durable together with its first checkpoint, so that a kill right after
    it finds what was carried over.
    """
    data = resumed.policy.freeze()
    first = Checkpoint(
        new_id(),
        resumed.version.at_us,
        resumed.version.id,
        resumed.update_seq,
        hashlib.sha256(data).hexdigest(),
        len(data),
    )
    store.write(first, data)  # the file first: a row without its file would lose the state
    log_.append_durable(resumed.version, first).result(timeout=30)
    store.versions.append(resumed.version)
    return replace(resumed, checkpoint_id=first.id)
