"""Versions made, promoted and rolled back while the service runs: all in the learner's thread."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from learning.errors import LearningError
from learning.policies import registry
from service.domain.acting import Person, Told, act_of
from service.domain.clock import Clock, new_id
from service.domain.errors import Conflict, NotFound, StorageUnavailable
from service.domain.experiments import How, Promotion
from service.domain.records import Act, Checkpoint, Version
from service.feedback.catching_up import CatchUp, Ready
from service.feedback.fold import Fold, checkpoint_of
from service.feedback.learner import Learner
from service.feedback.versions import Wanted, fold_in, policy_of, restored, version_of
from service.storage.database import Cursor
from service.storage.versions import VersionStore

T = TypeVar("T")
Changed = tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]
TAUGHT = 20_000  # logged updates that a new version learns from at its making
CAUGHT_UP = 50_000  # updates that a parked version catches up with
NEAR = 2_000  # so many the learner's own thread folds in without being missed
MOST = 8  # versions that learn beside the live one: each costs the learner as much as that


@dataclass(frozen=True, slots=True)
class Signature:
    """Who does it and why; ``cause``: JSON of what the service saw, when it does so itself;
    ``who``: the person, when one does.
    """

    author: str
    reason: str
    cause: str = "{}"
    who: Person | None = None

    def act(self, act: str, subject: str, at_us: int, changed: Changed = (None, None)) -> Act:
        """As it is logged; ``changed``: what it was before, and what it is after."""
        told = Told(act, subject, self.reason, self.author, json.loads(self.cause), *changed)
        return act_of(self.who, at_us, told)


@dataclass(frozen=True, slots=True)
class Drafted:
    """A version that somebody asks for; without a kind, the live one's."""

    kind: str | None
    parameters: dict[str, Any]
    name: str | None = None


class VersionDesk:
    """Every method gives a future; the learner comes to it before the updates that wait."""

    def __init__(
        self,
        learner: Learner,
        cursor: Callable[[], Cursor],
        clock: Clock,
        catch_up: CatchUp | None = None,
    ) -> None:
        self._learner, self._cursor, self._clock = learner, cursor, clock
        self._catch_up = catch_up
        self._aside = ThreadPoolExecutor(1, "headgate-catching-up")

    @property
    def store(self) -> VersionStore:
        """The versions, their checkpoints and promotions."""
        return self._learner.parts.versions

    def find(self, version_id: str) -> Version:
        """A version by its id or the beginning of it that no other has; raises NotFound."""
        found = [each for each in self.store.versions if each.id.startswith(version_id)]
        exact = self.store.find(version_id)
        if exact is not None or (len(found) == 1 and version_id):
            return exact or found[0]
        some = "several versions begin" if found else "no version begins"
        raise NotFound(
            f"{some} with {version_id[:40]!r}; see headgate policy list", param="version"
        )

    def flush(self) -> Future[int]:
        """All that was logged so far is durable."""
        return self._learner.parts.log.flush()

    def create(self, draft: Drafted, by: Signature) -> Future[Version]:
        """A new version, taught from what is known: of the live one's kind it takes over all that
        was learned, of another it learns the log's last updates.
        """
        live = self._learner.version
        kind = draft.kind or live.kind
        try:
            setup = self._learner.policy.setup
            wanted = Wanted(draft.name or live.policy, kind, draft.parameters, setup, by.author)
            registry.build(kind, setup, draft.parameters)  # or it is refused at once
        except Exception as error:
            refused: Future[Version] = Future()
            refused.set_exception(error)
            return refused
        version = version_of(wanted, live.id, by.reason, self._clock.wall_us())
        if kind == live.kind:
            return self._learner.ask(lambda: self._create(version, True, None, by))
        after = max(0, self._learner.seq - TAUGHT)
        return self._caught_up(version, after, lambda r: self._create(version, False, r, by))

    def follow(self, version_id: str) -> Future[None]:
        """Let a version learn beside the live one, caught up with what it missed."""
        return self._known_up(version_id, lambda ready: self._follow(version_id, ready))

    def leave(self, version_id: str) -> Future[None]:
        """Park a version that learned beside."""
        return self._learner.ask(lambda: self._learner.let_go(version_id))

    def promote(self, version_id: str, how: How, by: Signature) -> Future[Promotion]:
        """Let a version decide for everybody, with what it knows now."""
        return self._known_up(version_id, lambda ready: self._promote(version_id, how, by, ready))

    def _known_up(self, version_id: str, act: Callable[[Ready | None], T]) -> Future[T]:
        version = self.store.find(version_id)
        if version is None or version_id in (self._learner.version.id, *self._learner.others):
            return self._learner.ask(lambda: act(None))
        return self._caught_up(version, max(0, self._learner.seq - CAUGHT_UP), act)

    def _caught_up(
        self, version: Version, after: int, act: Callable[[Ready | None], T]
    ) -> Future[T]:
        """Do something in the learner's thread, after a version that missed much has caught up in
        a child: the learner itself takes only what came meanwhile.
        """
        known = self.store.checkpoints_of(version.id)
        missed = self._learner.seq - max(after, known[-1].update_seq if known else 0)
        catch_up = self._catch_up
        if catch_up is None or missed <= NEAR:
            return self._learner.ask(lambda: act(None))
        done: Future[T] = Future()

        def run() -> None:
            try:
                self._settled()
                ready = catch_up(version, self.store, after)
                done.set_result(self._learner.ask(lambda: act(ready)).result())
            except Exception as error:
                done.set_exception(error)

        self._aside.submit(run)
        return done

    def roll_back(
        self, by: Signature, to: str | None = None, checkpoint: str | None = None,
        before_us: int | None = None,
    ) -> Future[Promotion]:  # fmt: skip
        """Return to the version before the live one (or ``to``) with its last good checkpoint:
        ``checkpoint``, else its last one, else its last ``before_us`` (when the harm began).
        """
        return self._learner.ask(lambda: self._roll_back(by, to, checkpoint, before_us))

    # in the learner's thread ------------------------------------------------------------------

    def _create(self, version: Version, alike: bool, ready: Ready | None, by: Signature) -> Version:
        learner, seq = self._learner, self._learner.seq
        if alike and learner.version.kind == version.kind:
            fold = Fold(version, policy_of(version), "", -1)
            fold.policy.thaw(learner.policy.freeze())
        else:
            fold = self._taught(version, max(0, seq - TAUGHT), ready)
        first, data = fold.checkpoint(seq, version.at_us)
        self.store.write(first, data)
        made = {"policy": version.policy, "kind": version.kind, "parent": version.parent}
        self._log(version, first, by.act("policy.created", version.id, version.at_us, (None, made)))
        self.store.versions.append(version)
        return version

    def _taught(self, version: Version, after: int, ready: Ready | None) -> Fold:
        self._settled()
        if ready is not None:
            policy = policy_of(version)
            policy.thaw(ready.data)
            fold_in(policy, self.store, self._cursor, ready.seq, self._learner.seq)
            return Fold(version, policy, "", -1)
        found = restored(version, self.store, self._cursor, self._learner.seq, after=after)
        return Fold(version, found.policy, found.checkpoint_id, -1)

    def _follow(self, version_id: str, ready: Ready | None) -> None:
        learner = self._learner
        if version_id == learner.version.id or version_id in learner.others:
            return
        if len(learner.others) >= MOST:
            raise Conflict(
                f"{MOST} versions learn beside the live one already; end an experiment or a "
                "shadow first",
                code="too_many_versions",
            )
        version = self.store.find(version_id)
        if version is None:
            raise NotFound("no version of that id", param="version")
        fold = self._taught(version, max(0, learner.seq - CAUGHT_UP), ready)
        learner.save(fold)
        learner.beside(fold)

    def _promote(self, version_id: str, how: How, by: Signature, ready: Ready | None) -> Promotion:
        learner = self._learner
        if version_id == learner.version.id:
            raise Conflict("this version is live already", code="already_live")
        version = self.find(version_id)
        fold = learner.others.get(version.id)
        if fold is None:
            fold = self._taught(version, max(0, learner.seq - CAUGHT_UP), ready)
        now_us = self._clock.wall_us()
        if fold.policy.setup != learner.policy.setup:
            fold = self._carried(version, fold.policy.freeze(), by)
        first, data = fold.checkpoint(learner.seq, now_us)
        return self._go_live(fold, (first, data), None, how, by)

    def _roll_back(
        self, by: Signature, to: str | None, checkpoint: str | None, before_us: int | None
    ) -> Promotion:
        learner, store = self._learner, self.store
        target = store.find(to) if to else self.before_live()
        if target is None:
            raise Conflict(
                "there is no version before the live one to return to", code="nothing_before"
            )
        good, data = self._good(target, checkpoint, before_us)
        now_us = self._clock.wall_us()
        policy = policy_of(target)
        policy.thaw(data)
        if policy.setup == learner.policy.setup:
            if hashlib.sha256(policy.freeze()).hexdigest() != good.sha256:
                raise StorageUnavailable(f"checkpoint {good.id} does not come back as it was")
            fold = Fold(target, policy, "", -1)
        else:
            fold = self._carried(target, data, by)
            data = fold.policy.freeze()
        first, data = checkpoint_of(fold.version.id, data, learner.seq, now_us)
        return self._go_live(fold, (first, data), good.id, How.ROLLED_BACK, by)

    def before_live(self) -> Version | None:
        """The version that a rollback returns to."""
        last = self.store.promotions[-1] if self.store.promotions else None
        if last is None or last.from_version_id is None:
            return None
        return self.store.find(last.from_version_id)

    def _good(
        self, version: Version, checkpoint_id: str | None, before_us: int | None
    ) -> tuple[Checkpoint, bytes]:
        known = self.store.checkpoints_of(version.id)
        if version.id == self._learner.version.id and checkpoint_id is None and before_us is None:
            raise Conflict(
                "this version is live: say to which of its checkpoints", code="already_live"
            )
        if checkpoint_id is not None:
            known = [each for each in known if each.id == checkpoint_id]
        if before_us is not None:
            known = [each for each in known if each.at_us < before_us] or known[:1]
        for each in reversed(known):
            data = self.store.read(each)
            if data is not None:
                return each, data
        raise NotFound(
            f"no checkpoint of {version.id} is kept that would do; see headgate policy show",
            param="checkpoint",
        )

    def _carried(self, version: Version, data: bytes, by: Signature) -> Fold:
        """On today's deployments: a version of its own, that knows what both know."""
        learner = self._learner
        old = policy_of(version)
        parameters = parameters_of(version)
        wanted = Wanted(version.policy, version.kind, parameters, learner.policy.setup, by.author)
        reason = f"{version.id} carried over to today's deployments"
        new = version_of(wanted, version.id, reason, self._clock.wall_us())
        policy = policy_of(new)
        try:
            old.thaw(data)
            policy.thaw(data)
        except LearningError as error:
            raise StorageUnavailable(f"what {version.id} knew cannot be read: {error}") from error
        return Fold(new, policy, "", -1)

    def _go_live(
        self, fold: Fold, first: tuple[Checkpoint, bytes], restored_id: str | None, how: How,
        by: Signature,
    ) -> Promotion:  # fmt: skip
        learner, store, version = self._learner, self.store, fold.version
        learner.save(learner.fold)  # a rollback of this comes back to exactly that
        checkpoint, data = first
        promotion = Promotion(
            new_id(), checkpoint.at_us, version.id, learner.version.id, checkpoint.id,
            restored_id, how, by.author, by.reason, by.cause,
        )  # fmt: skip
        store.write(checkpoint, data)  # the file first: a row without it would lose the state
        changed = {"live": learner.version.id}, {"live": version.id, "checkpoint": checkpoint.id}
        name = f"policy.{how.value.replace(' ', '_')}"
        act = by.act(name, version.id, checkpoint.at_us, changed)
        new = () if store.find(version.id) else (version,)
        self._log(*new, checkpoint, promotion, act)
        store.versions.extend(new)
        store.promotions.append(promotion)
        fold.saved(checkpoint)
        learner.go_live(fold)
        return promotion

    def _settled(self) -> None:
        """Everything that was learned so far is readable in the log."""
        self._learner.parts.log.flush().result(timeout=30)

    def _log(self, *records: object) -> None:
        try:
            self._learner.parts.log.append_durable(*records).result(timeout=30)
        except TimeoutError:
            raise StorageUnavailable(
                "this is not durable yet; try again", retry_after_s=5.0
            ) from None


def parameters_of(version: Version) -> dict[str, Any]:
    """The parameters that a version was made with."""
    parameters: dict[str, Any] = json.loads(version.parameters)["parameters"]
    return parameters
