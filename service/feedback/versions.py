"""The live version: made from the plan, resumed from its checkpoint and the updates after."""

from __future__ import annotations

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
from service.domain.catalog import Deployment, asked_micro_usd_mtok
from service.domain.clock import new_id
from service.domain.experiments import How, Promotion
from service.domain.records import Version
from service.feedback.apply import apply, fits
from service.feedback.fold import checkpoint_of
from service.storage.database import Cursor
from service.storage.event_log import EventLog
from service.storage.updates import last_update_us, logged_updates
from service.storage.versions import VersionStore

log = logging.getLogger("headgate.learning")

PLAN = "plan"  # the author of versions that the plan file asks for


@dataclass(frozen=True, slots=True)
class Wanted:
    """The policy that is asked for: by the plan, or by the person who promoted it."""

    name: str
    kind: str
    parameters: dict[str, Any]
    setup: PolicySetup
    author: str = PLAN

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
        asked_micro_usd_mtok(deployment, price) / 1e6,
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
        version = version_of(wanted, None, "first start", now_us)
        return Resumed(policy, version, True, "", 0, now_us, 0)
    was = restored(live, store, cursor)
    wanted = wanted_now(wanted, store)
    return was if is_of(live, wanted) else changed(was, wanted, now_us)


def wanted_now(wanted: Wanted, store: VersionStore) -> Wanted:
    """What the plan asks for, seen with what people did since: the policy that somebody promoted
    or rolled back to stays, on today's deployments, until the plan's own policy changes.
    """
    live, last = store.live, store.promotions[-1] if store.promotions else None
    of_plan = next((each for each in reversed(store.versions) if each.author == PLAN), None)
    if live is None or last is None or of_plan is None:
        return wanted
    author = live.author if live.author != PLAN else last.author
    if last.how == How.PLAN and author == PLAN:
        return wanted
    content = json.loads(of_plan.parameters)
    asked = (of_plan.policy, of_plan.kind, content["parameters"])
    if (wanted.name, wanted.kind, wanted.parameters) != asked:
        return wanted
    parameters = json.loads(live.parameters)["parameters"]
    return Wanted(live.policy, live.kind, parameters, wanted.setup, author)


def is_of(version: Version, wanted: Wanted) -> bool:
    """Whether a version is what the plan asks for."""
    described = (version.policy, version.kind, version.parameters)
    return described == (wanted.name, wanted.kind, wanted.description())


def changed(was: Resumed, wanted: Wanted, now_us: int) -> Resumed:
    """A new version, not durable yet, that knows what the old one knew where both know it."""
    policy = registry.build(wanted.kind, wanted.setup, wanted.parameters)
    if was.version.kind == wanted.kind:
        policy.thaw(was.policy.freeze())
    reason = "the plan changed"
    if wanted.author != PLAN:
        reason = f"{was.version.id} carried over to today's deployments"
    version = version_of(wanted, was.version.id, reason, now_us)
    return replace(was, policy=policy, version=version, is_new=True, checkpoint_id="")


def version_of(wanted: Wanted, parent: str | None, reason: str, now_us: int) -> Version:
    """A version of what is wanted, not durable yet."""
    return Version(
        new_id(), now_us, wanted.name, wanted.kind, wanted.description(), parent, wanted.author,
        reason,
    )  # fmt: skip


def restored(
    version: Version,
    store: VersionStore,
    cursor: Callable[[], Cursor],
    through_seq: int | None = None,
    standing_on: str | None = None,
    after: int = 0,
) -> Resumed:
    """A version's policy from its nearest checkpoint and the logged updates after it, in order.

    ``through_seq`` stops after that update; without it all are taken. ``standing_on``: the
    checkpoint that a decision was made on; later ones are passed by, for after a rollback a
    version is at the same update twice, in two states. ``after``: of the updates none before that.
    """
    policy = policy_of(version)
    checkpoint_id, seq, last_at_us = "", 0, version.at_us
    skipped: list[str] = []
    of_version = store.checkpoints_of(version.id)
    known = [each.id for each in of_version]
    if standing_on in known:
        of_version = of_version[: known.index(standing_on) + 1]
    for checkpoint in reversed(of_version):
        if through_seq is not None and checkpoint.update_seq > through_seq:
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
    told = fold_in(policy, store, cursor, max(seq, after), through_seq)
    seq, last_at_us = told.seq, told.last_at_us or last_at_us
    if not told.replayed and checkpoint_id:
        last_at_us = last_update_us(cursor(), seq, last_at_us)
    return Resumed(
        policy, version, False, checkpoint_id, seq, last_at_us, told.replayed, told.passed_over,
        tuple(skipped),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Folded:
    """How far updates were folded in; ``last_at_us``: the last one's time, None without any."""

    seq: int
    last_at_us: int | None
    replayed: int
    passed_over: int


def fold_in(
    policy: Policy, store: VersionStore, cursor: Callable[[], Cursor], after: int,
    through: int | None,
) -> Folded:  # fmt: skip
    """Tell a policy the logged updates between two numbers, in order."""
    seq, last_at_us = after, None
    replayed = passed_over = 0
    for update, decision in logged_updates(cursor(), after, through):
        seq, last_at_us = update.seq, update.at_us
        if not fits(policy, update, decision):
            passed_over += 1
            continue
        try:
            apply(policy, update, decision, store.models.prior)
        except LearningError as error:
            log.warning("update %s is passed over: %s", update.seq, error)
            passed_over += 1
            continue
        replayed += 1
    return Folded(seq, last_at_us, replayed, passed_over)


def promoted(resumed: Resumed, store: VersionStore, log_: EventLog) -> Resumed:
    """Make a new version durable together with its first checkpoint, so that a kill right after
    it finds what was carried over.
    """
    data = resumed.policy.freeze()
    version = resumed.version
    first, _ = checkpoint_of(version.id, data, resumed.update_seq, version.at_us)
    before = store.live.id if store.live else None
    promotion = Promotion(
        new_id(), version.at_us, version.id, before, first.id, None, How.PLAN, version.author,
        version.reason, "{}",
    )  # fmt: skip
    store.write(first, data)  # the file first: a row without its file would lose the state
    log_.append_durable(version, first, promotion).result(timeout=30)
    store.versions.append(version)
    store.promotions.append(promotion)
    return replace(resumed, checkpoint_id=first.id)
