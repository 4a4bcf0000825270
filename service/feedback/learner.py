"""The learner: takes rewards to the policy off the request path, publishes, checkpoints."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import TypeVar

import numpy as np

from learning.errors import LearningError
from learning.online import OnlineCorrection
from learning.policies.base import Policy
from service.domain.errors import StorageUnavailable
from service.domain.live import LivePolicy
from service.domain.records import Decision, Feedback, Update, Version
from service.feedback.apply import PRIOR, TICK, apply, fits, prior, tick
from service.feedback.credit import CreditRules, Ratings, from_feedback, from_outcome
from service.feedback.fold import Fold
from service.feedback.learner_parts import LearnerParts, Prediction
from service.feedback.versions import Resumed, Wanted, changed, promoted
from service.storage.cases import Case

T = TypeVar("T")
log = logging.getLogger("headgate.learning")

PUBLISH_S = 0.1
TICK_S = 1.0
TICKS_AFTER_S = 3_600.0
MAX_ROUND = 5_000
MAX_WAITING = 60_000
CHECKPOINT_S = 10.0
CHECKPOINT_UPDATES = 5_000


class Learner:
    """One thread. The order in which it takes updates is their sequence, and it is logged."""

    def __init__(self, resumed: Resumed, parts: LearnerParts) -> None:
        saved_seq = resumed.update_seq if resumed.checkpoint_id else -1
        self.fold = Fold(resumed.version, resumed.policy, resumed.checkpoint_id, saved_seq)
        self.others: dict[str, Fold] = {}  # versions that learn beside the live one, by id
        self.seq = resumed.update_seq
        self._parts = parts
        self._last_at_us = resumed.last_at_us
        self._last_news_us = resumed.last_at_us
        self._at_s = parts.clock.monotonic_s()
        self._published_seq = -1
        self._saved_s = parts.clock.monotonic_s()
        self._published_s = 0.0
        self.checkpoint_s = CHECKPOINT_S
        self._queue: deque[Callable[[], None]] = deque()
        self._urgent: deque[Callable[[], None]] = deque()
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, name="headgate-learner", daemon=True)
        self.passed_over = resumed.passed_over
        self.dropped = 0
        self.skipped = resumed.skipped
        self.prediction: Prediction | None = None
        self.failure = ""

    # from the request path --------------------------------------------------------------------

    def ended(self, case: Case, late: bool = False) -> None:
        """A request has ended: learn from what its calls showed. ``late``: a freeze is over."""
        if not late and self._parts.freeze.takes(case):
            return
        if len(self._queue) >= MAX_WAITING:
            self.dropped += 1
            return
        self._queue.append(lambda: self._outcome(case))

    def rated(self, case: Case, feedback: Feedback, late: bool = False) -> None:
        """A durable rating came in."""
        if not late and self._parts.freeze.takes(case, feedback):
            return
        ratings = Ratings(case.feedback, case.weights)  # as they are now: the loop goes on
        self._queue.append(lambda: self._feedback(case, feedback, ratings))

    def caught_up(self) -> Future[None]:
        """When all that came in so far has been learned."""
        done: Future[None] = Future()

        def reached() -> None:
            if not done.cancelled():
                done.set_result(None)

        self._queue.append(reached)
        return done

    def adopt(self, model_id: str, kind: str = PRIOR) -> None:
        """An accepted quality model, what the matrix says, or evidence is told to the policy."""
        self._queue.append(lambda: self._adopt(model_id, kind))

    def judge_by(self, rules: CreditRules) -> None:
        """From here on other rules say what is learned from which."""
        self._queue.append(lambda: self._judge_by(rules))

    def change(
        self, wanted: Wanted, live: LivePolicy, instead_of: str | None = None
    ) -> Future[None]:
        """Go on under a new version that publishes into ``live``, as a restart would: what came
        before is learned under the old one, what comes after under the new. The future fails,
        and all stays as it was, when the new version cannot be made durable, or when the live one
        is no longer ``instead_of``: what was asked for rested on that.
        """
        done: Future[None] = Future()
        self._queue.append(lambda: self._change(wanted, live, done, instead_of))
        return done

    def ask(self, act: Callable[[], T]) -> Future[T]:
        """Do something in the learner's thread, before anything else that waits."""
        done: Future[T] = Future()

        def run() -> None:
            if not done.set_running_or_notify_cancel():
                return
            try:
                done.set_result(act())
            except Exception as error:
                done.set_exception(error)

        self._urgent.append(run)
        return done

    @property
    def policy(self) -> Policy:
        """The live version's policy."""
        return self.fold.policy

    @property
    def version(self) -> Version:
        """The live version."""
        return self.fold.version

    @property
    def parts(self) -> LearnerParts:
        """What the learner stands on now."""
        return self._parts

    def learns_from(self, case: Case, feedback: Feedback) -> bool:
        """Whether the rules let the policy learn from a rating of this case."""
        arm = case.answered_by if case.outcome else case.decision.deployment
        fitting = case.decision.features.shape[0] == len(self.policy.setup.features)
        return (
            fitting
            and arm is not None
            and self.policy.knows(arm)
            and self._parts.rules.teaches(case.learned_as, feedback.metric)
        )

    @property
    def frozen(self) -> bool:
        """Whether nothing is learned because the log cannot be written: the state is a fold over
        logged updates, so what cannot be logged must not be learned.
        """
        return not self._parts.log.healthy

    @property
    def waiting(self) -> int:
        """How much is still to be learned."""
        return len(self._queue)

    def start(self) -> None:
        """Start learning."""
        self._thread.start()

    def stop(self) -> None:
        """Learn what is queued, save, and end."""
        self._halt.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    @property
    def alive(self) -> bool:
        """Whether the learner runs."""
        return self._thread.is_alive()

    # the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        stopping = False
        while not stopping:
            try:
                stopping = self._round()
            except Exception as error:  # a learner that ends in silence is worse than one late
                self.failure = type(error).__name__
                log.exception("the learner stumbled and goes on")
        try:
            self._publish()
            self._save()
        except Exception:
            log.exception("the last checkpoint could not be written")

    def _round(self) -> bool:
        """Take what has come in since the last turn, publish when due; whether all is done.

        Nobody wakes the learner: a thread woken by every request would cost each of them a
        switch. It looks by itself, as often as it publishes.
        """
        return self._take_in(self._halt.wait(PUBLISH_S))

    def turn(self) -> bool:
        """A round by who drives the learner in place of its thread; whether anything had come."""
        waits = bool(self._queue or self._urgent)
        return waits and not self._take_in(False)

    def _take_in(self, halting: bool) -> bool:
        for _ in range(MAX_ROUND):
            while self._urgent:
                self._urgent.popleft()()
            if not self._queue or self.frozen:
                break
            try:
                self._queue[0]()
            finally:
                self._queue.popleft()  # only now: what is under way still counts as waiting
        if halting:
            return not self._queue or self.frozen
        if self.frozen:
            self._publish()
            return False
        self._tick()
        now_s = self._parts.clock.monotonic_s()
        if now_s - self._published_s >= PUBLISH_S:
            self._publish()
        behind = self.seq - self.fold.saved_seq
        if behind and (now_s - self._saved_s >= self.checkpoint_s or behind >= CHECKPOINT_UPDATES):
            self._save()
        return False

    def _outcome(self, case: Case) -> None:
        if case.outcome is None:
            return
        for update in from_outcome(case.decision, case.attempts, case.outcome, self.version.id):
            self._take(update, case.decision)

    def _feedback(self, case: Case, feedback: Feedback, ratings: Ratings) -> None:
        told = ratings.weighed(self._parts.rules.metric)
        update = from_feedback(case, feedback, told, self._parts.rules, self.version.id)
        if update is not None and self._take(update, case.decision):
            assert update.quality is not None
            case.learned[update.arm], case.weighed[update.arm] = update.quality, update.weight

    def _adopt(self, model_id: str, kind: str = PRIOR) -> None:
        now_us = self._parts.clock.wall_us()
        taken = self._take(prior(now_us, model_id, self.version.id, kind), None)
        if taken and kind == PRIOR:
            model = self._parts.versions.models.read(model_id)
            self.prediction = Prediction(model_id, OnlineCorrection(model))

    def _judge_by(self, rules: CreditRules) -> None:
        self._parts = replace(self._parts, rules=rules)

    def _change(
        self, wanted: Wanted, live: LivePolicy, done: Future[None], instead_of: str | None
    ) -> None:
        if not done.set_running_or_notify_cancel():
            return
        if instead_of not in (None, self.version.id):
            late = StorageUnavailable("another version became live; try again", retry_after_s=1.0)
            done.set_exception(late)
            return
        was = Resumed(
            self.policy, self.version, False, self.fold.checkpoint_id, self.seq,
            self._last_at_us, 0,
        )  # fmt: skip
        try:
            self.save(self.fold)  # a rollback comes back to exactly this
            new = changed(was, wanted, self._parts.clock.wall_us())
            new = promoted(new, self._parts.versions, self._parts.log)
        except Exception as error:
            late = StorageUnavailable("the new version is not durable yet", retry_after_s=5.0)
            done.set_exception(late if isinstance(error, TimeoutError) else error)
            return
        told, self.prediction = self.prediction, None
        self.others.pop(self.version.id, None)
        self.fold = Fold(new.version, new.policy, new.checkpoint_id, self.seq)
        self._parts = replace(self._parts, live=live)
        self._published_seq = -1
        try:
            if told is not None:
                self._adopt(told.model_id)
            self._publish()
        finally:
            done.set_result(None)

    # in the thread, for those who ask ---------------------------------------------------------

    def beside(self, fold: Fold) -> None:
        """Let a version learn beside the live one, from the next update on, and publish it."""
        self.others[fold.version.id] = fold
        self._publish(anew=True)

    def let_go(self, version_id: str) -> None:
        """Park a version that learned beside, with a last checkpoint where that can be kept."""
        fold = self.others.pop(version_id, None)
        if fold is None:
            return
        self._publish(anew=True)
        try:
            self.save(fold)
        except Exception as error:
            log.warning("version %s is parked as last saved: %s", version_id, error)

    def go_live(self, fold: Fold) -> None:
        """Let a version decide for everybody; the one before learns on beside it."""
        before = self.fold
        self.others.pop(fold.version.id, None)
        if before.version.id != fold.version.id:
            self.others[before.version.id] = before
        self.fold = fold
        self._publish(anew=True)

    def save(self, fold: Fold) -> None:
        """A checkpoint of what a version knows now, if it has none; raises if it is not durable."""
        if fold.saved_seq == self.seq and fold.checkpoint_id:
            return
        checkpoint, data = fold.checkpoint(self.seq, self._parts.clock.wall_us())
        self._parts.log.append_durable(checkpoint).result(timeout=30)
        self._parts.versions.write(checkpoint, data)
        fold.saved(checkpoint)

    @property
    def last_at_us(self) -> int:
        """The time of the last update."""
        return self._last_at_us

    def _take(self, update: Update, decision: Decision | None) -> bool:
        """Log an update under the next number and apply it; in this order and no other."""
        if not fits(self.policy, update, decision):
            self.passed_over += 1
            return False
        at_us = self._now_us()
        numbered = update.numbered(self.seq + 1, at_us, self.version.id)
        try:
            apply(self.policy, numbered, decision, self._parts.versions.models.prior)
        except LearningError as error:
            self.passed_over += 1
            log.warning("an update cannot be learned from: %s", error)
            return False
        self._parts.log.append(numbered)
        for fold in self.others.values():
            self._learn_beside(fold, numbered, decision)
        self.seq += 1
        self._last_at_us, self._at_s = at_us, self._parts.clock.monotonic_s()
        if update.kind != TICK:
            self._last_news_us = at_us
        if update.kind == "rating" and self.prediction and decision and update.quality is not None:
            x = decision.features.astype(np.float64)
            self.prediction.online.learn(update.arm, x, update.quality, update.weight)
        return True

    def _learn_beside(self, fold: Fold, update: Update, decision: Decision | None) -> None:
        if not fits(fold.policy, update, decision):
            return
        try:
            apply(fold.policy, update, decision, self._parts.versions.models.prior)
        except LearningError as error:  # as a restart will, it passes this one over
            log.warning("version %s cannot learn from an update: %s", fold.version.id, error)

    def _now_us(self) -> int:
        """The learner's time: the wall clock's, and where that was set back the time that has
        passed since the last update, so that it never goes back and never stands still.
        """
        passed_us = int((self._parts.clock.monotonic_s() - self._at_s) * 1e6)
        return max(self._parts.clock.wall_us(), self._last_at_us + passed_us)

    def _tick(self) -> None:
        """Let time pass for the estimators that forget, while nothing else comes in."""
        now_us = self._now_us()
        quiet = now_us - self._last_at_us >= TICK_S * 1e6
        fading = now_us - self._last_news_us < TICKS_AFTER_S * 1e6
        if quiet and fading and self.seq > 0 and not self._parts.freeze.whole:
            self._take(tick(now_us, self.version.id), None)

    def _publish(self, anew: bool = False) -> None:
        if self._published_seq == self.seq and not anew:
            return
        live, at_s = self._parts.live, self._last_at_us / 1e6
        live.current = self.fold.published(self.seq, at_s)
        live.others = {
            name: fold.published(self.seq, at_s) for name, fold in list(self.others.items())
        }
        self._published_seq = self.seq
        self._published_s = self._parts.clock.monotonic_s()

    def _save(self) -> None:
        """Checkpoints: first the row and all updates in it durable, then the file in place."""
        self._saved_s = self._parts.clock.monotonic_s()
        for fold in (self.fold, *self.others.values()):
            try:
                self.save(fold)
            except Exception as error:  # storage under duress: try again at the next turn
                log.warning("no checkpoint now: %s", type(error).__name__)
                return
