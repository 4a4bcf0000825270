"""Shadows: versions that decide beside the live one, at no cost to any request."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from service.domain.acting import Person
from service.domain.clock import Clock, new_id
from service.domain.errors import Conflict, NotFound, Unprocessable
from service.domain.experiments import Shadow, ShadowDecision, ShadowEnd
from service.domain.live import LivePolicy, Published
from service.domain.records import Act, Decision, Mode
from service.feedback.apply import context_of
from service.feedback.promoting import Signature
from service.orchestration.mirror import Mirror
from service.orchestration.spend import day_of
from service.storage.event_log import EventLog
from service.storage.shadows import ShadowStore

log = logging.getLogger("headgate.shadow")

MOST_SHADOWS = 8
MOST_WAITING = 5_000
MOST_A_TURN = 500  # over all shadows
TRY_AGAIN_S = 10.0
MOST_QUEUED = 20_000  # records that wait for the log: beyond, what is served comes first

Follow = Callable[[str, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ShadowParts:
    """What the shadows stand on. ``want`` has a version learn beside the live one for somebody,
    and ``release`` lets go of it.
    """

    store: ShadowStore
    log: EventLog
    live: Callable[[], LivePolicy]
    mirror: Mirror
    clock: Clock
    want: Follow
    release: Follow
    deployments: Callable[[], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A shadow that somebody wants, as ``Shadow``; ``key_id``: with which key."""

    version_id: str
    share: float
    mirror_share: float
    usd_per_day: float
    judge: str
    author: str
    reason: str
    key_id: str
    who: Person | None = None


class Shadows:
    """Started and stopped by people on the event loop; what they decide is decided in a thread."""

    def __init__(self, parts: ShadowParts) -> None:
        self._parts, self.store = parts, parts.store
        self._waiting: deque[Decision] = deque()
        self._changing = asyncio.Lock()
        self.dropped = 0
        self._counts: dict[str, Counter[str]] = {}
        self._tried_s: dict[str, float] = {}
        self._wished: set[str] = set()
        self.troubles: dict[str, str] = {}  # by version: what kept it from being followed

    @property
    def active(self) -> Mapping[str, Shadow]:
        """Those that run, by version."""
        return self._parts.store.active

    @property
    def waiting(self) -> int:
        """Decisions that are still to be decided beside."""
        return len(self._waiting)

    def counts(self, version_id: str) -> dict[str, int]:
        """What came of the decisions offered to a shadow, since the start."""
        return dict(sorted(self._counts.get(version_id, Counter()).items()))

    # started and stopped ----------------------------------------------------------------------

    def resume(self) -> None:
        """Go on with those that ran; blocks on reads of the log, once, at the start."""
        for shadow in self.active.values():
            self._begin(shadow, self._spent(shadow))

    async def follow(self) -> None:
        """Have every version followed that is not, or not for its shadow: after a restart, and
        whatever else has come between. Nothing is decided for it until it is.
        """
        live, now_s = self._parts.live(), self._parts.clock.monotonic_s()
        for version_id, shadow in list(self.active.items()):
            if version_id in self._wished and live.of(version_id) is not None:
                self.troubles.pop(version_id, None)
            elif now_s - self._tried_s.get(version_id, -TRY_AGAIN_S) >= TRY_AGAIN_S:
                self._tried_s[version_id] = now_s
                try:
                    await self._parts.want(version_id, _who(shadow))
                    self._wished.add(version_id)
                except Exception as error:
                    log.warning("version %s cannot be followed now: %s", version_id, error)
                    self.troubles[version_id] = str(error) or type(error).__name__

    async def start(self, asked: Asked) -> Shadow:
        """Durable, then in effect from the next decision on."""
        async with self._changing:
            await self._check(asked)
            shadow = Shadow(
                new_id(), self._parts.clock.wall_us(), asked.version_id, asked.share,
                asked.mirror_share, round(asked.usd_per_day * 1e6), asked.judge, asked.author,
                asked.reason,
            )  # fmt: skip
            spent = await asyncio.to_thread(self._spent, shadow)
            await self._parts.want(shadow.version_id, _who(shadow))
            detail = {
                "key": asked.key_id, "shadow": shadow.id, "share": shadow.share,
                "mirror_share": shadow.mirror_share, "usd_per_day": asked.usd_per_day,
                "judge": shadow.judge,
            }  # fmt: skip
            by = Signature(asked.author, asked.reason, who=asked.who)
            act = self._act("shadow.started", shadow, by, detail)
            try:
                await asyncio.wrap_future(self._parts.log.append_durable(shadow, act))
            except BaseException:
                await self._let_go(shadow)
                raise
            self._parts.store.put(shadow)
            self._wished.add(shadow.version_id)
            self._begin(shadow, spent)
            return shadow

    async def stop(
        self, version_id: str, author: str, reason: str, key_id: str, who: Person | None = None
    ) -> ShadowEnd:
        """Durable; no further call is made for it."""
        async with self._changing:
            shadow = self.active.get(version_id)
            if shadow is None:
                raise NotFound("no shadow of that version runs; see GET /admin/shadows")
            end = ShadowEnd(shadow.id, self._parts.clock.wall_us(), author, reason)
            detail = {"key": key_id, "shadow": shadow.id}
            act = self._act("shadow.stopped", shadow, Signature(author, reason, who=who), detail)
            await asyncio.wrap_future(self._parts.log.append_durable(end, act))
            self._parts.store.remove(version_id)
            self._parts.mirror.forget(version_id)
            self._set_pick()
            self.troubles.pop(version_id, None)
            self._wished.discard(version_id)
            await self._let_go(shadow)
            return end

    async def _let_go(self, shadow: Shadow) -> None:
        """What is durable by now stands, also where the learner cannot park the version yet."""
        try:
            await self._parts.release(shadow.version_id, _who(shadow))
        except Exception as error:
            log.warning("version %s cannot be let go of: %s", shadow.version_id, error)

    async def _check(self, asked: Asked) -> None:
        if not await asyncio.to_thread(self._parts.store.knows, asked.version_id):
            raise Unprocessable(
                "there is no version of that id; the live one and others stand in the table "
                "versions", param="version_id",
            )  # fmt: skip
        if asked.version_id == self._parts.live().current.mark.version_id:
            raise Unprocessable(
                "that version is the live one; give another to decide beside it",
                param="version_id",
            )
        if asked.version_id in self.active:
            raise Conflict("a shadow of that version runs; stop it first", param="version_id")
        if len(self.active) >= MOST_SHADOWS:
            raise Conflict(f"{MOST_SHADOWS} shadows run, which is the most; stop one first")
        if asked.mirror_share and not asked.usd_per_day:
            raise Unprocessable(
                "mirrored calls cost money: give usd_per_day above 0, or mirror_share 0",
                param="usd_per_day",
            )
        if asked.judge and not asked.mirror_share:
            raise Unprocessable(
                "a judge compares mirrored answers: give mirror_share above 0, or no judge",
                param="mirror_share",
            )
        names = self._parts.deployments()
        if asked.judge and asked.judge not in names:
            raise Unprocessable(
                f"no deployment of that name; known: {', '.join(names)}", param="judge"
            )

    def _spent(self, shadow: Shadow) -> int:
        today_us = day_of(self._parts.clock.wall_us())
        return self._parts.store.spent_micro_usd(shadow.version_id, today_us)

    def _begin(self, shadow: Shadow, spent_micro_usd: int) -> None:
        self._counts[shadow.version_id] = Counter()
        if shadow.mirror_share:
            self._parts.mirror.watch(shadow, spent_micro_usd)
        self._set_pick()

    def _set_pick(self) -> None:
        mirrors = any(each.mirror_share for each in self.active.values())
        self._parts.mirror.pick = self.mirrored_by if mirrors else None

    def _act(self, act: str, shadow: Shadow, by: Signature, detail: Mapping[str, object]) -> Act:
        running, stopped = {"state": "running"}, {"state": "stopped"}
        changed = (None, running) if act == "shadow.started" else (running, stopped)
        by = replace(by, cause=json.dumps(detail))
        return by.act(act, shadow.version_id, self._parts.clock.wall_us(), changed)

    # decided beside ---------------------------------------------------------------------------

    def offer(self, decision: Decision) -> None:
        """A decision was made; on the request path, so it is only put aside."""
        if not self._parts.store.active or decision.mode is not Mode.RANDOMISED:
            return
        if len(self._waiting) >= MOST_WAITING:
            self.dropped += 1
        else:
            self._waiting.append(decision)

    def mirrored_by(self, decision: Decision) -> Shadow | None:
        """The shadow that mirrors this decision's call: at most one, by hashes of the ids."""
        if decision.stream or decision.mode is not Mode.RANDOMISED:
            return None
        drawn = [
            (hashed(decision.id, shadow.version_id, "mirror"), shadow)
            for shadow in self.active.values()
            if shadow.mirror_share and _sampled(decision, shadow)
        ]
        drawn = [(number, shadow) for number, shadow in drawn if number < shadow.mirror_share]
        return min(drawn, key=lambda each: each[0])[1] if drawn else None

    async def turn(self) -> None:
        """Decide what waits, in a thread, and hand what is to be mirrored to the mirror."""
        await self.follow()
        chosen = await asyncio.to_thread(self.decide_waiting) if self._waiting else []
        self._parts.mirror.turn(chosen)

    def decide_waiting(self) -> list[ShadowDecision]:
        """Decide as the followed versions would; those to be mirrored. Bounded in its work, for
        it takes the interpreter from the event loop.
        """
        chosen, tried = [], 0
        live = self._parts.live()
        for _ in range(len(self._waiting)):
            if tried >= MOST_A_TURN:
                break
            decision = self._waiting[0]
            picked = self.mirrored_by(decision)
            for version_id, shadow in self.active.items():
                if not _sampled(decision, shadow):
                    continue
                tried += 1
                made = self._beside(decision, shadow, live.of(version_id), picked)
                if made is not None and made.mirrored:
                    chosen.append(made)
            self._waiting.popleft()  # only now: what is under way still waits
        return chosen

    def _beside(
        self, decision: Decision, shadow: Shadow, published: Published | None, picked: Shadow | None
    ) -> ShadowDecision | None:
        counts = self._counts.setdefault(shadow.version_id, Counter())
        if published is None:
            counts["not followed yet"] += 1
            return None
        if not self._parts.log.healthy or self._parts.log.queued > MOST_QUEUED:
            counts["no room in the log"] += 1
            return None
        at_us = self._parts.clock.wall_us()
        if published.width not in (0, len(decision.features)):
            counts["reads other features"] += 1
            return None
        try:
            made = decided(decision, published, at_us, picked is shadow)
        except Exception:
            if not counts["stumbled"]:
                log.exception("version %s stumbled", shadow.version_id)
            counts["stumbled"] += 1
            return None
        if made is None:
            counts["knows none of them"] += 1
            return None
        counts["decided"] += 1
        counts["alike"] += made.deployment == decision.deployment
        self._parts.log.append(made)
        return made


def decided(
    decision: Decision, published: Published, at_us: int, mirrored: bool = False
) -> ShadowDecision | None:
    """What a published version would decide: over those of the eligible that it knows, with a draw
    of its own that the decision's id fixes. None where it knows none of them.
    """
    chooser, version_id = published.chooser, published.mark.version_id
    index = {name: at for at, name in enumerate(chooser.arms)}
    names = tuple(name for name in decision.candidates.names if name in index)
    if not names:
        return None
    draw = hashed(decision.id, version_id, "draw")
    eligible = [index[name] for name in names]
    choice, probabilities, scores = chooser.choose(context_of(decision), eligible, draw)
    return ShadowDecision(
        decision_id=decision.id,
        at_us=at_us,
        version_id=version_id,
        update_seq=published.mark.update_seq,
        deployment=choice.arm,
        propensity=choice.propensity,
        eligible=names,
        propensities=tuple(probabilities.tolist()),
        draw=draw,
        quality=tuple(scores.quality.tolist()),
        cost_usd=tuple(scores.cost_usd.tolist()),
        mirrored=mirrored,
    )


def hashed(decision_id: str, version_id: str, what: str) -> float:
    """A number in [0, 1) that the ids and the purpose fix (BLAKE2b)."""
    text = "\x1f".join((what, version_id, decision_id)).encode()
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) * 2.0**-53


def _sampled(decision: Decision, shadow: Shadow) -> bool:
    """Whether a shadow decides beside this decision; not where it decided it itself."""
    if decision.policy.version_id == shadow.version_id:
        return False
    return hashed(decision.id, shadow.version_id, "share") < shadow.share


def _who(shadow: Shadow) -> str:
    return f"shadow {shadow.id}"
