"""Served answers drawn by lot and judged after the caller has them; proven, a score is a rating."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import msgspec

from service.domain.chat import ChatRequest
from service.domain.clock import Clock, new_id
from service.domain.judging import Drawn, Judging, Origin, Scored
from service.domain.records import Decision, Feedback, Key, Mode
from service.feedback.intake import Given, Intake
from service.orchestration.judge import conversation_of, judgeable, said_by
from service.orchestration.judging import AFTER_OTHERS, About, Judges
from service.orchestration.plainly import plainly
from service.routing.run import Served
from service.storage.cases import Case
from service.storage.event_log import EventLog

log = logging.getLogger("headgate.judging")

MOST_AT_ONCE = 6
MOST_HELD, MOST_BYTES = 64, 200_000  # prompts with their answers, and of each of them
LATE_S = 60.0
JUDGE = "judge:"  # before the name of a judge, as an author
_WHOLE = float(1 << 64)
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def lot(decision_id: str, what: str = "judge") -> float:
    """The lot of a decision, uniform in [0, 1), another for each purpose: a hash, since a checksum
    would tie it to the lots by which people are asked.
    """
    made = hashlib.blake2b(f"{what}\x1f{decision_id}".encode(), digest_size=8)
    return int.from_bytes(made.digest(), "big") / _WHOLE


@dataclass(frozen=True, slots=True)
class SamplerParts:
    """What sampling stands on. ``proven``: whether a judge's scores are ratings; ``stars``: whether
    the metric's scale is one to five; ``rated``: told of every rating.
    """

    judges: Judges
    log: EventLog
    clock: Clock
    case: Callable[[str], Awaitable[Case | None]]
    intake: Callable[[], Intake]
    proven: Callable[[str], bool]
    stars: Callable[[str], bool]
    rated: Callable[[Case, Feedback], None]


@dataclass(frozen=True, slots=True)
class _Held:
    """An answered request. The only place where its prompt is kept, and no longer than needed."""

    decision: Decision
    request: ChatRequest
    answer: bytes
    streamed: bool
    deployment: str
    attempts: int
    probability: float
    at_s: float
    chosen: bool  # of several for being good, so that it is no sample of its deployment's answers


class Sampler:
    """Lives on the event loop. What fails here changes nothing for anybody."""

    def __init__(self, parts: SamplerParts) -> None:
        self._parts = parts
        self.on = False
        self.counts: Counter[str] = Counter()
        self._held: deque[_Held] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def gate(self) -> Callable[[Decision, str], Drawn | None]:
        """Says of an answer whether it is to be judged, and with which probability; None leaves it
        to the lot.
        """
        return self._parts.judges.gate

    @gate.setter
    def gate(self, gate: Callable[[Decision, str], Drawn | None]) -> None:
        self._parts.judges.gate = gate

    def take_rules(self) -> None:
        """Another plan is in force."""
        rules = self._parts.judges.rules
        self.on = bool(rules.judges) and rules.share > 0.0

    # from the request path --------------------------------------------------------------------

    def saw(self, decision: Decision, request: ChatRequest, answer: bytes, served: Served) -> None:
        """A caller has been answered, whole."""
        if not self.on:
            return
        try:
            drawn = self._drawn(decision, served.deployment.name)
            if drawn is not None:
                self._hold(decision, request, answer, served, drawn)
        except Exception:  # the answer is out: nothing may come after it
            log.exception("an answer could not be held for its judge")

    def listens(self, decision: Decision, served: Served) -> Stream | None:
        """A stream begins: what takes its pieces, where it is to be judged."""
        if not self.on:
            return None
        try:
            drawn = self._drawn(decision, served.deployment.name)
        except Exception:
            log.exception("a stream could not be drawn for its judge")
            return None
        return None if drawn is None else Stream(drawn)

    def streamed(
        self, decision: Decision, request: ChatRequest, stream: Stream, served: Served
    ) -> None:
        """A stream has ended, whole."""
        try:
            self._hold(decision, request, b"".join(stream.pieces), served, stream.drawn, True)
        except Exception:
            log.exception("a stream could not be held for its judge")

    def _drawn(self, decision: Decision, deployment: str) -> Drawn | None:
        drawn = self.gate(decision, deployment)
        if drawn is None:
            share = self._parts.judges.rules.share
            drawn = Drawn(share >= 1.0 or lot(decision.id) < share, share)
        if not drawn.check or drawn.probability <= 0.0:
            return None
        self.counts["drawn"] += 1
        return drawn

    def _hold(
        self, decision: Decision, request: ChatRequest, answer: bytes, served: Served,
        drawn: Drawn, streamed: bool = False,
    ) -> None:  # fmt: skip
        size = sum(memoryview(raw).nbytes for raw in request.fields.values()) + len(answer)
        if size > MOST_BYTES or len(self._held) >= MOST_HELD:
            self.counts["too long" if size > MOST_BYTES else "no room"] += 1
            return
        self._held.append(
            _Held(decision, request, answer, streamed, served.deployment.name, served.attempts,
                  drawn.probability, self._parts.clock.monotonic_s(),
                  served.mode is Mode.ENSEMBLE)
        )  # fmt: skip
        self._next()

    # beside it --------------------------------------------------------------------------------

    @property
    def under_way(self) -> int:
        """Answers that are being judged, or wait for it."""
        return len(self._tasks) + len(self._held)

    def _next(self) -> None:
        while self._held and len(self._tasks) < MOST_AT_ONCE:
            held = self._held.popleft()
            if self._parts.clock.monotonic_s() - held.at_s > LATE_S:
                self.counts["too late"] += 1
                continue
            task = asyncio.create_task(self._beside(held))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self.on:
            self._next()

    async def stop(self) -> None:
        """Cancel what is under way, each call recorded, and let go of every prompt."""
        self.on = False
        self._held.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _beside(self, held: _Held) -> None:
        try:
            text = streamed_text(held.answer) if held.streamed else said_by(held.answer)
            if text is None or not judgeable(held.request):
                self.counts["more than words" if text else "an answer without words"] += 1
                return
            about = About(
                (held.deployment,), (), held.decision.task, held.decision, held.request.options,
                held.attempts + AFTER_OTHERS,
            )  # fmt: skip
            scored = await self._parts.judges.score(
                conversation_of(held.request), text, about=about
            )
            if not scored.digest or (not scored.cost_micro_usd and scored.said == (None, None)):
                self.counts[f"not judged: {scored.why}"] += 1
                return  # never asked: as if it had not been drawn
            await self._keep(held, text, scored)
        except Exception:
            self.counts["stumbled"] += 1
            log.exception("a served answer could not be judged")

    async def _keep(self, held: _Held, text: str, scored: Scored) -> None:
        """The judging durable; with it the rating, where the judge is proven."""
        rules, decision = self._parts.judges.rules, held.decision
        case = await self._parts.case(decision.id)
        teaches = (
            case is not None
            and scored.value is not None
            and scored.consistent
            and self._parts.proven(scored.judge)
            and lot(decision.id, "teach") < rules.weight
            and not _rated_by_people(case, rules.metric)
        )
        about = Judging(
            new_id(), self._parts.clock.wall_us(), "score", Origin.SAMPLE, "", decision.id,
            decision.task, "" if held.chosen else held.deployment, scored.judge,
            f"{scored.rubric}@{scored.rubric_version}", scored.digest, scored.value, *scored.said,
            scored.consistent, held.probability, *measured(text), scored.cost_micro_usd, teaches,
        )  # fmt: skip
        self.counts["scored" if scored.value is not None else "unreadable"] += 1
        self.counts["inconsistent"] += scored.value is not None and not scored.consistent
        if not teaches or case is None or scored.value is None:
            await asyncio.wrap_future(self._parts.log.append_durable(about))
            return
        value = 1.0 + 4.0 * scored.value if self._parts.stars(rules.metric) else scored.value
        given = Given(rules.metric, value, "judge", about.id, "", ("judge", about.rubric))
        author = Key(f"{JUDGE}{scored.judge}", 0, scored.judge, "caller", "", "", "")
        taken = await self._parts.intake().take(case, given, author, (about,))
        self.counts["rated"] += 1
        self._parts.rated(case, taken.feedback)


class Stream:
    """A stream that is to be judged: its pieces in OpenAI's form, bounded."""

    __slots__ = ("_size", "drawn", "pieces")

    def __init__(self, drawn: Drawn) -> None:
        self.drawn = drawn
        self.pieces: list[bytes] = []
        self._size = 0

    def heard(self, piece: bytes) -> None:
        """A piece more; beyond the bound none, and what is there is too long to be judged."""
        if self._size <= MOST_BYTES:
            self.pieces.append(piece)
            self._size += len(piece)


def measured(text: str) -> tuple[int, int]:
    """An answer's characters without decoration, and its marks of style."""
    plain = plainly(text)
    return len(plain.text), plain.decoration


def _rated_by_people(case: Case, metric: str) -> bool:
    """Where a person has rated an answer, that is its quality: a judge's word adds nothing."""
    return any(each.metric == metric and each.kind != "judge" for each in case.feedback.values())


class _Delta(msgspec.Struct):
    content: str | None = None
    tool_calls: msgspec.Raw = msgspec.Raw(b"null")


class _Piece(msgspec.Struct):
    index: int = 0
    delta: _Delta = msgspec.field(default_factory=_Delta)


class _Event(msgspec.Struct):
    choices: list[_Piece] = []


_event = msgspec.json.Decoder(_Event).decode


def streamed_text(events: bytes) -> str | None:
    """What the first choice of a stream said; None where it called tools, whose pieces would have
    to be put together, or said nothing that can be read.
    """
    found: list[str] = []
    for line in events.splitlines():
        data = line.removeprefix(b"data:").strip() if line.startswith(b"data:") else b""
        if not data or data == b"[DONE]":
            continue
        try:
            choices = _event(data).choices
        except (msgspec.DecodeError, RecursionError):
            return None
        for each in choices:
            if each.index:
                continue
            if bytes(each.delta.tool_calls) not in (b"null", b"[]"):
                return None
            found.append(each.delta.content or "")
    return "".join(found) or None
