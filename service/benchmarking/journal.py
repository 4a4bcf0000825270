"""The journal of a benchmark: every answer and every score on disk before the next is asked."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from service.benchmarking.planning import Design, design_json, design_of

FOLDER = "benchmarks"
DESIGN, TRIALS, DONE = "design.json", "trials.jsonl", "done.json"


@dataclass(frozen=True, slots=True)
class Answer:
    """How a trial's call ended. ``status``: ``answered``, ``failed`` by the deployment, or
    ``unable``: what was asked is none of what it does, and it counts in nothing.
    """

    key: str
    status: str
    text: str = ""
    latency_s: float = 0.0
    ttft_s: float | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    cost_micro_usd: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Scored:
    """What an answer was worth; None where the scorer could not say."""

    key: str
    value: float | None
    note: str = ""
    cost_micro_usd: int = 0
    judge: str = ""


@dataclass(slots=True)
class Known:
    """What a journal says. ``open_usd``: reserved for calls of which no end is known, which may
    have been paid for; ``judge_usd``: kept for judging answers that are not scored yet.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    scores: dict[str, Scored] = field(default_factory=dict)
    open_usd: dict[str, float] = field(default_factory=dict)
    judge_usd: dict[str, float] = field(default_factory=dict)
    lost_usd: float = 0.0  # reserved for calls that broke off, in this run and earlier ones

    @property
    def spent_usd(self) -> float:
        """What is known to be spent, and what may have been."""
        known = sum(each.cost_micro_usd for each in self.answers.values())
        known += sum(each.cost_micro_usd for each in self.scores.values())
        kept = sum(self.open_usd.values()) + sum(self.judge_usd.values())
        return known / 1e6 + self.lost_usd + kept


class RunLocked(Exception):
    """Another process is at this run."""


class Journal:
    """One run's folder: the design, the trials as they end, and the reports.

    A line that was cut off by a crash is the last one, and is cut away. Only one process at a time
    holds a run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known = Known()
        self._lock: IO[str] = (folder / DESIGN).open("r", encoding="utf-8")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise RunLocked(f"another process is at the run in {folder}") from None
        self.design = design_of(json.load(self._lock))
        path = folder / TRIALS
        for content in _lines(path):
            self._take(content)
        self._mend(path)
        self._file = path.open("ab", buffering=0)
        os.chmod(path, 0o600)

    @classmethod
    def begun(cls, state: Path, design: Design) -> Journal:
        """A new run's."""
        folder = state / FOLDER / design.run_id
        folder.mkdir(parents=True)
        text = json.dumps(design_json(design), indent=1)
        _whole(folder / DESIGN, text)
        return cls(folder)

    @property
    def done(self) -> bool:
        """Whether the run is over and reported."""
        return (self.folder / DONE).exists()

    def asked(self, key: str, reserved_usd: float, judge_usd: float = 0.0) -> None:
        """A call is about to be made, and its answer will be judged for so much."""
        more = {"judge_usd": judge_usd} if judge_usd else {}
        self._write({"kind": "asked", "key": key, "usd": reserved_usd, **more})

    def judged_again(self, key: str, judge_usd: float) -> None:
        """An answer of an earlier start is about to be judged; it may have been judged then."""
        self._write({"kind": "judged_again", "key": key, "usd": judge_usd})

    def answered(self, answer: Answer) -> None:
        """A call has ended."""
        self._write({"kind": "answer", **asdict(answer)})

    def scored(self, score: Scored) -> None:
        """An answer was scored."""
        self._write({"kind": "score", **asdict(score)})

    def broke_off(self, key: str, paid: bool) -> None:
        """A call ended without an answer and is made again; ``paid``: it may cost something."""
        self._write({"kind": "broke_off", "key": key, "paid": paid})

    def force(self) -> None:
        """Force what was written onto the disk; blocks, so call it off the loop."""
        os.fsync(self._file.fileno())

    def finish(self, keep_answers: bool) -> None:
        """The run is over; unless they are to be kept the texts of the answers go."""
        self._file.close()
        path = self.folder / TRIALS
        if not keep_answers:
            kept = [json.dumps({**each, "text": ""} if each["kind"] == "answer" else each)
                    for each in _lines(path)]  # fmt: skip
            _whole(path, "".join(f"{line}\n" for line in kept))
        _whole(self.folder / DONE, "{}")
        self._file = path.open("ab", buffering=0)

    def close(self) -> None:
        """Let the run go."""
        self._file.close()
        self._lock.close()

    def _write(self, content: Mapping[str, Any]) -> None:
        """A line in one write, which a kill of this process cannot take back."""
        self._file.write(json.dumps(content).encode() + b"\n")
        self._take(content)

    def _take(self, content: Mapping[str, Any]) -> None:
        known, row = self.known, dict(content)
        kind, key = row.pop("kind"), row["key"]
        if kind == "asked":
            known.lost_usd += known.open_usd.pop(key, 0.0)
            known.open_usd[key] = row["usd"]
            if "judge_usd" in row:
                known.judge_usd[key] = row["judge_usd"]
        elif kind == "judged_again":
            known.lost_usd += known.judge_usd.pop(key, 0.0)
            known.judge_usd[key] = row["usd"]
        elif kind == "answer":
            known.answers[key] = Answer(**row)
            reserved = known.open_usd.pop(key, 0.0)
            if row["status"] == "failed" and not row["cost_micro_usd"]:
                known.lost_usd += reserved
            if row["status"] != "answered":
                known.judge_usd.pop(key, None)
        elif kind == "score":
            known.scores[key] = Scored(**row)
            known.judge_usd.pop(key, None)
        elif kind == "broke_off":
            reserved = known.open_usd.pop(key, 0.0)
            known.lost_usd += reserved if row["paid"] else 0.0
            known.judge_usd.pop(key, None)

    def _mend(self, path: Path) -> None:
        """Cut away a last line that has no end."""
        if not path.exists():
            return
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            with path.open("r+b") as file:
                file.truncate(whole)


def runs(state: Path) -> list[tuple[Design, bool]]:
    """The runs of a state directory and whether each is done, oldest first."""
    found = []
    for path in sorted((state / FOLDER).glob(f"*/{DESIGN}")):
        try:
            design = design_of(json.loads(path.read_text("utf-8")))
        except (ValueError, KeyError, TypeError):
            continue
        found.append((design, (path.parent / DONE).exists()))
    return found


def unfinished(state: Path, digest: str) -> Path | None:
    """The folder of a run of the same design that was interrupted; None where there is none."""
    for design, done in reversed(runs(state)):
        if not done and design.digest == digest:
            return state / FOLDER / design.run_id
    return None


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line)


def _whole(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    beside = path.with_suffix(".new")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(beside, 0o600)
    beside.replace(path)
