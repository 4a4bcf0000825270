"""Answers for like questions: how many are given and how many of them are wrong, beside others.

    python -m benchmarks.semantic_cache [--held-out] [--requests N] [--plays N] [--perfect]
                                        [--delta D] [--most-false F]
    python -m benchmarks.semantic_cache --cost

Traffic is made by a seed from our own sentences (`data/like_questions.tsv`: families of wishes that
sound alike, each wish in three to five wordings): a wish by Zipf's law, one of its wordings, words
around it that mean nothing. Two questions have the same answer if they are one wish. Compared are
the exact cache, static thresholds of similarity, with our guard and without, and the verified
cache with the guard, without it, and by the paper's bound alone. The guard's lists were made with
that file in view; `--held-out` takes another one, which no list, weight or bound was made by
(`data/like_questions_held_out.tsv`). `--perfect` adds vectors that nothing can better, the same for
every wording of a wish and at right angles to all others: what other embeddings could gain at most.

False hits are told with a bound that holds at any look (`experiments/statistics/held_rate.py`).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from experiments.statistics.held_rate import held_rate
from learning.likeness import DIMENSION, Vector, likeness
from learning.same_ask import fixed_parts
from learning.verified_reuse import VerifiedReuse

DATA = Path(__file__).parent.parent / "data"
SEEN, HELD_OUT = DATA / "like_questions.tsv", DATA / "like_questions_held_out.tsv"
BEFORE = ("", "", "", "Hi, ", "Hello, ", "Please: ", "please, ", "Thanks! ", "ok, ", "hey, ",
          "I have a question. ", "Quickly: ", "Could you say: ", "Kindly tell me: ")  # fmt: skip
AFTER = ("", "", "", " Thanks", " thank you", " Please.", " please", " Thanks a lot", "!", " ...",
         " I need to know", " tell me", " Kindly answer")  # fmt: skip
SHADOW = 0.05
ZIPF = 1.0


@dataclass
class Asked:
    """One question: as it is worded, what is meant, and what is looked at of it."""

    text: str
    wish: int
    vector: Vector
    parts: tuple[str, ...] | None


@dataclass
class Kept:
    """An answer that may be given again."""

    wish: int
    known: VerifiedReuse


class Rows:
    """Vectors, with room to grow."""

    def __init__(self) -> None:
        self.all = np.empty((4, DIMENSION), dtype=np.float32)

    def put(self, at: int, vector: Vector) -> None:
        """Lay one in its place."""
        if at == len(self.all):
            self.all = np.concatenate([self.all, np.empty_like(self.all)])
        self.all[at] = vector


class Cache:
    """A store of answers by likeness: one group a guard's parts, or one for all."""

    def __init__(self, guarded: bool) -> None:
        self.guarded = guarded
        self._groups: dict[object, tuple[list[Kept], Rows]] = {}

    def nearest(self, asked: Asked) -> tuple[Kept, float] | None:
        """The most like one."""
        kept, rows = self._groups.get(self._group(asked), ([], Rows()))
        if not kept:
            return None
        near = rows.all[: len(kept)] @ asked.vector
        at = int(near.argmax())
        return kept[at], min(float(near[at]), 1.0)

    def add(self, asked: Asked) -> None:
        """Its answer is kept."""
        kept, rows = self._groups.setdefault(self._group(asked), ([], Rows()))
        rows.put(len(kept), asked.vector)
        kept.append(Kept(asked.wish, VerifiedReuse()))

    def drop(self, asked: Asked, gone: Kept) -> None:
        """It is thrown out."""
        kept, rows = self._groups[self._group(asked)]
        at, last = kept.index(gone), len(kept) - 1
        kept[at] = kept[last]
        rows.put(at, rows.all[last])
        kept.pop()

    def _group(self, asked: Asked) -> object:
        return asked.parts if self.guarded else None


def wishes(path: Path = SEEN) -> list[list[str]]:
    """The wordings of each wish."""
    found: dict[str, list[str]] = {}
    for line in path.read_text("utf-8").splitlines():
        _, wish, text = line.split("\t")
        found.setdefault(wish, []).append(text)
    return list(found.values())


def traffic(seed: int, count: int, path: Path = SEEN) -> list[Asked]:
    """So many questions, made by a seed."""
    chance, told = np.random.default_rng(seed), wishes(path)
    order = chance.permutation(len(told))
    weights = 1.0 / np.arange(1, len(told) + 1) ** ZIPF
    drawn = chance.choice(len(told), count, p=weights / weights.sum())
    made, seen = [], dict[str, Asked]()
    for each in drawn:
        wish = int(order[each])
        text = str(chance.choice(BEFORE)) + str(chance.choice(told[wish])) + str(
            chance.choice(AFTER)
        )  # fmt: skip
        if text not in seen:
            seen[text] = Asked(text, wish, likeness(text), fixed_parts(text))
        made.append(seen[text])
    return made


def perfected(questions: list[Asked]) -> list[Asked]:
    """The same with vectors that are the same for one wish, and at right angles for two."""
    corners = np.eye(DIMENSION, dtype=np.float32)
    return [replace(each, vector=corners[each.wish]) for each in questions]


@dataclass
class Result:
    """Of the questions: those answered by the exact cache, those by a like one's answer, and for
    each of these whether it was wrong, in order.
    """

    asked: int
    exact: int
    wrong: list[int]

    def line(self, name: str, allowed: float) -> dict[str, object]:
        """As it is printed."""
        told = held_rate(self.wrong, allowed)
        given, wrong = len(self.wrong), sum(self.wrong)
        return {
            "by": name, "exact": round(self.exact / self.asked, 4),
            "like": round(given / self.asked, 4), "wrong of all": round(wrong / self.asked, 5),
            "wrong of given": round(wrong / given, 4) if given else None,
            "at most": round(told.interval.high, 4) if given else None,
        }  # fmt: skip


Play = Callable[[list[Asked], np.random.Generator], Result]


def exact_alone(questions: list[Asked], _: np.random.Generator) -> Result:
    """No look for like ones."""
    seen = {each.text for each in questions}
    return Result(len(questions), len(questions) - len(seen), [])


def static(threshold: float, guarded: bool) -> Play:
    """Whatever is as like as that is given."""

    def play(questions: list[Asked], _: np.random.Generator) -> Result:
        store, seen, found = Cache(guarded), set[str](), Result(len(questions), 0, [])
        for each in questions:
            near = store.nearest(each)
            if each.text in seen:
                found.exact += 1
            elif near is not None and near[1] >= threshold and _fit(each, guarded):
                found.wrong.append(int(near[0].wish != each.wish))
            else:
                seen.add(each.text)
                store.add(each)
        return found

    return play


def verified(delta: float, most_false: float, guarded: bool) -> Play:
    """As the service does it: looked at first, given by the bound, some regenerated."""

    def play(questions: list[Asked], chance: np.random.Generator) -> Result:
        store, seen, found = Cache(guarded), set[str](), Result(len(questions), 0, [])
        for each in questions:
            if each.text in seen:
                found.exact += 1
                continue
            near = store.nearest(each) if _fit(each, guarded) else None
            if near is None or near[1] < 0.3:
                seen.add(each.text)
                store.add(each)
                continue
            kept, similarity = near
            right = kept.wish == each.wish
            given = chance.random() >= kept.known.anew(similarity, delta, most_false)
            if given:
                found.wrong.append(int(not right))
            else:
                seen.add(each.text)
            if not given or chance.random() < SHADOW:
                kept.known.see(similarity, right)
                if kept.known.changed:
                    store.drop(each, kept)
            if not given and not right:
                store.add(each)
        return found

    return play


def _fit(asked: Asked, guarded: bool) -> bool:
    return not guarded or asked.parts is not None


def cost(entries: int) -> dict[str, object]:
    """Microseconds of CPU for one question, by part, with so many answers in one group."""
    chance = np.random.default_rng(1)
    rows = chance.standard_normal((entries, DIMENSION)).astype(np.float32)
    text = "Hello, how can I reset the password of my account when I have lost my phone?"
    vector, known = likeness(text), VerifiedReuse()
    for _ in range(20):
        known.see(0.8, True)
    parts: dict[str, Callable[[], object]] = {
        "vector": lambda: likeness(text), "guard": lambda: fixed_parts(text),
        "nearest": lambda: int((rows @ vector).argmax()),
        "bound": lambda: known.anew(0.8, 0.05, 0.1),
    }  # fmt: skip
    found: dict[str, object] = {"entries": entries}
    for name, part in parts.items():
        times = []
        for _ in range(200):
            began = time.process_time_ns()
            part()
            times.append(time.process_time_ns() - began)
        found[name] = round(float(np.median(times)) / 1e3, 1)
    return found


def main() -> None:
    """Print a line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--plays", type=int, default=3)
    parser.add_argument("--delta", type=float, default=0.05)
    parser.add_argument("--most-false", type=float, default=0.1)
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--perfect", action="store_true")
    parser.add_argument("--cost", action="store_true")
    asked = parser.parse_args()
    if asked.cost:
        for entries in (100, 1_000, 2_000, 10_000):
            print(json.dumps(cost(entries)))
        return
    plays: dict[str, Play] = {"the exact cache": exact_alone}
    for threshold in (0.7, 0.8, 0.9, 0.95):
        plays[f"{threshold} and more"] = static(threshold, False)
        plays[f"{threshold} and more, guarded"] = static(threshold, True)
    delta, most_false = asked.delta, asked.most_false
    plays["verified, unguarded, the paper's bound"] = verified(delta, 1.0, False)
    plays["verified, guarded, the paper's bound"] = verified(delta, 1.0, True)
    plays["verified, guarded, both bounds (as served)"] = verified(delta, most_false, True)
    path = HELD_OUT if asked.held_out else SEEN
    made = [traffic(seed, asked.requests, path) for seed in range(asked.plays)]
    for name, play in plays.items():
        print(json.dumps(played(play, made).line(name, most_false)), flush=True)
    if asked.perfect:
        best = [perfected(each) for each in made]
        for guarded in (True, False):
            name = f"both bounds, perfect vectors, {'guarded' if guarded else 'unguarded'}"
            told = played(verified(delta, most_false, guarded), best)
            print(json.dumps(told.line(name, most_false)))


def played(play: Play, made: list[list[Asked]]) -> Result:
    """All plays of one kind together."""
    results = [play(each, np.random.default_rng(at)) for at, each in enumerate(made)]
    return Result(
        sum(each.asked for each in results), sum(each.exact for each in results),
        [value for each in results for value in each.wrong],
    )  # fmt: skip


if __name__ == "__main__":
    main()
