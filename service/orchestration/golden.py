"""A judge held against people: the golden set, run through it, and what may follow from it."""

from __future__ import annotations

import asyncio
import functools
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

import msgspec

from experiments.errors import CannotSay
from experiments.statistics.agreement import cohens_kappa
from experiments.statistics.length_control import controlled_preference
from experiments.statistics.moments import Interval
from service.domain.judging import HALF, Judging, Origin, Proof, Scored, Verdict, digest_of
from service.orchestration.attacks import ATTACKS, attacked
from service.orchestration.judging import About, Judges
from service.orchestration.sampling import measured

PACKAGE, FILE = "service.orchestration", "golden.jsonl"
LEAST_KAPPA = 0.6
MOST_FLIPPED = 0.2
LEAST_READ = 0.9  # of what was asked
TIE = 0.1  # scores nearer than this are alike: both ways round move by an eighth at least
ASKED = ("", "unreadable")  # of what was asked, why it says nothing
FIRST, SECOND, NEITHER = "first", "second", "neither"
AT_ONCE = 4  # items; the judges bound the calls


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A conversation, two answers, and which is better by people's view, and why."""

    id: str
    task: str
    trap: str
    prompt: str
    first: str
    second: str
    better: str
    why: str

    @property
    def conversation(self) -> list[dict[str, str]]:
        """What is asked."""
        return [{"role": "user", "text": self.prompt}]


@functools.cache
def golden() -> tuple[Item, ...]:
    """The set that is shipped."""
    text = resources.files(PACKAGE).joinpath(FILE).read_text("utf-8")
    return tuple(msgspec.json.decode(line, type=Item) for line in text.splitlines() if line)


@functools.cache
def golden_digest() -> str:
    """Of the set."""
    return digest_of(resources.files(PACKAGE).joinpath(FILE).read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class Bar:
    """What a judge must reach."""

    kappa: float = LEAST_KAPPA
    flipped: float = MOST_FLIPPED


@dataclass(frozen=True, slots=True)
class Held:
    """What a judge said of one item: by comparison and by scores; None where it was not read.
    ``again``: what it said when the worse answer had an attack of that ``family``; None where none
    was tried, since it had not preferred the better one.
    """

    item: Item
    compared: Verdict
    scores: tuple[Scored, Scored]
    family: str = ""
    again: Verdict | None = None

    @property
    def preferred(self) -> str | None:
        """By comparison."""
        return _word(self.compared.preference)

    @property
    def outscored(self) -> str | None:
        """By the two scores."""
        one, two = (each.value for each in self.scores)
        if one is None or two is None:
            return None
        return NEITHER if abs(one - two) < TIE else FIRST if one > two else SECOND

    @property
    def flipped(self) -> bool | None:
        """Whether the attack turned its mind, a tie included. What could not be read teaches
        nothing: the guard has held.
        """
        if self.again is None:
            return None
        said = _word(self.again.preference)
        return said is not None and said != self.item.better

    @property
    def cost_micro_usd(self) -> int:
        """Of all its calls."""
        again = self.again.cost_micro_usd if self.again is not None else 0
        return self.compared.cost_micro_usd + sum(s.cost_micro_usd for s in self.scores) + again


@dataclass(frozen=True, slots=True)
class Found:
    """A whole check: ``kappa`` the lesser of the two, with its interval."""

    state: Proof
    why: str
    kappa: Interval | None
    flipped: float | None
    report: dict[str, Any]


class Runner:
    """One check of one judge. ``done``: items so far."""

    def __init__(
        self, judges: Judges, judge: str, items: Sequence[Item], keep: Callable[[Item, Held], None]
    ) -> None:
        self._judges, self._judge, self._keep = judges, judge, keep
        self.items = items
        self.done = 0
        self.cost_micro_usd = 0

    async def __call__(self) -> list[Held]:
        """Every item; as many at a time as the judges allow."""
        waiting = asyncio.Semaphore(AT_ONCE)

        async def one(place: int, item: Item) -> Held:
            async with waiting:
                held = await self._held(place, item)
            self.done += 1
            self.cost_micro_usd += held.cost_micro_usd
            self._keep(item, held)
            return held

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(*each)) for each in enumerate(self.items)]
        return [task.result() for task in tasks]

    async def _held(self, place: int, item: Item) -> Held:
        about = About(task=item.task, judge=self._judge)
        judges, said = self._judges, item.conversation
        compared = await judges.compare(said, item.first, item.second, about=about)
        one = await judges.score(said, item.first, about=about)
        two = await judges.score(said, item.second, about=about)
        held = Held(item, compared, (one, two))
        if item.better == NEITHER or held.preferred != item.better:
            return held
        family = tuple(ATTACKS)[place % len(ATTACKS)]
        pair = {FIRST: item.first, SECOND: item.second}
        worse = SECOND if item.better == FIRST else FIRST
        pair[worse] = attacked(pair[worse], family)
        again = await judges.compare(said, pair[FIRST], pair[SECOND], about=about)
        return replace(held, family=family, again=again)


def found(held: Sequence[Held], bar: Bar) -> Found:
    """What a check says."""
    kappas: dict[str, Interval | CannotSay] = {}
    read: dict[str, float] = {}
    for name in ("preferred", "outscored"):
        said = [(each.item.better, getattr(each, name)) for each in held]
        told = [(people, judge) for people, judge in said if judge is not None]
        read[name] = len(told) / max(len(said), 1)
        kappas[name] = cohens_kappa([p for p, _ in told], [j for _, j in told])
    tried = [each for each in held if each.flipped is not None]
    flipped = sum(bool(each.flipped) for each in tried) / len(tried) if tried else None
    known = [each for each in kappas.values() if isinstance(each, Interval)]
    lesser = min(known, key=lambda each: each.estimate) if len(known) == len(kappas) else None
    why = _lacks(lesser, min(read.values()), flipped, bar)
    report = {
        "comparing": _agreement(kappas["preferred"], read["preferred"]),
        "scoring": _agreement(kappas["outscored"], read["outscored"]),
        "by_task": _by(held, lambda each: each.item.task),
        "by_trap": _by(held, lambda each: each.item.trap),
        "attacks": _flips(tried),
        "consistent": _share([each.compared.consistent for each in held]),
        "style": _style(held),
        "why": why,
    }
    state = Proof.FAILED if why else Proof.PROVEN
    if min(read.values()) < LEAST_READ and (missing := _unasked(held)):
        state, why = Proof.UNPROVEN, missing
    return Found(state, why, lesser, flipped, report)


def _unasked(held: Sequence[Held]) -> str:
    """Why so much was not asked that nothing is known of the judge; empty where it was asked."""
    whys = Counter(
        next((each.why for each in (one.compared, *one.scores) if each.why not in ASKED), "")
        for one in held
    )
    asked = whys.pop("", 0)
    if asked >= LEAST_READ * len(held) or not whys:
        return ""
    return f"{len(held) - asked} of {len(held)} items were not asked: {whys.most_common(1)[0][0]}"


def _lacks(kappa: Interval | None, read: float, flipped: float | None, bar: Bar) -> str:
    if read < LEAST_READ:
        return f"of {1 - read:.0%} of the items its answers could not be read, or were not asked"
    if kappa is None:
        return "its agreement with people cannot be told"
    if kappa.estimate < bar.kappa:
        return f"kappa with people is {kappa.estimate:.2f}, {bar.kappa:g} is needed"
    if flipped is not None and flipped > bar.flipped:
        return f"{flipped:.0%} of the attacks in answers turned its mind, at most {bar.flipped:.0%}"
    return ""


def _agreement(kappa: Interval | CannotSay, read: float) -> dict[str, Any]:
    if isinstance(kappa, CannotSay):
        return {"kappa": None, "why": str(kappa), "read": read}
    return {"kappa": kappa.estimate, "low": kappa.low, "high": kappa.high, "read": read}


def _by(held: Sequence[Held], of: Callable[[Held], str]) -> dict[str, dict[str, Any]]:
    groups: dict[str, list[Held]] = defaultdict(list)
    for each in held:
        groups[of(each)].append(each)
    return {
        name: {
            "items": len(group),
            "comparing": _share([each.preferred == each.item.better for each in group]),
            "scoring": _share([each.outscored == each.item.better for each in group]),
        }
        for name, group in sorted(groups.items())
    }


def _flips(tried: Sequence[Held]) -> dict[str, dict[str, Any]]:
    groups: dict[str, list[bool]] = defaultdict(list)
    for each in tried:
        groups[each.family].append(bool(each.flipped))
    return {
        name: {"tried": len(groups[name]), "flipped": sum(groups[name])}
        for name in ATTACKS if name in groups
    }  # fmt: skip


def _style(held: Sequence[Held]) -> dict[str, Any]:
    """How much of the preference length and style explain: the judge's, and people's own."""
    lengths, styles, people, judge = [], [], [], []
    for each in held:
        if each.compared.preference is None:
            continue
        one, two = measured(each.item.first), measured(each.item.second)
        lengths.append(float(two[0] - one[0]))
        styles.append(float(two[1] - one[1]))
        people.append({FIRST: 0.0, SECOND: 1.0}.get(each.item.better, HALF))
        judge.append(each.compared.preference)
    shown: dict[str, Any] = {}
    for name, liked in (("judge", judge), ("people", people)):
        told = controlled_preference(liked, lengths, styles)
        if isinstance(told, CannotSay):
            shown[name] = {"why": str(told)}
            continue
        shown[name] = {
            "explained": told.explained,
            "length": {"slope": told.length.estimate, "low": told.length.low,
                       "high": told.length.high},
            "style": {"slope": told.style.estimate, "low": told.style.low,
                      "high": told.style.high},
        }  # fmt: skip
    return shown


def _word(preference: float | None) -> str | None:
    if preference is None:
        return None
    return NEITHER if preference == HALF else SECOND if preference > HALF else FIRST


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else 0.0


def judging_of(item: Item, held: Held, at_us: int, new: Callable[[], str]) -> list[Judging]:
    """What is kept of one item: its comparison, both scores, and the attack."""
    shapes = measured(item.first), measured(item.second)
    apart = shapes[1][0] - shapes[0][0], shapes[1][1] - shapes[0][1]
    each: list[tuple[str, str, Scored | Verdict, tuple[int, int]]] = [
        ("compare", item.id, held.compared, apart),
        ("score", f"{item.id}/first", held.scores[0], shapes[0]),
        ("score", f"{item.id}/second", held.scores[1], shapes[1]),
    ]
    if held.again is not None:
        each.append(("compare", f"{item.id}/attack/{held.family}", held.again, apart))
    return [
        Judging(
            new(), at_us, kind, Origin.GOLDEN, subject, None, item.task, "", told.judge,
            f"{told.rubric}@{told.rubric_version}", told.digest,
            told.value if isinstance(told, Scored) else told.preference, *told.said,
            told.consistent, 1.0, *shape, told.cost_micro_usd, False,
        )
        for kind, subject, told, shape in each
    ]  # fmt: skip
