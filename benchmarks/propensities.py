"""Do the logged propensities hold, end to end: the real router, the log, the audit that reads it.

    python -m benchmarks.propensities [--decisions 100000] [--replays 20]

A whole service in this process, without its network: every decision is made by the router, written
by the log's writer and learned from (a tenth is rated), then the service's own audit reads the live
file. Afterwards it reads the same rows with one deployment's logged probability times 1.1 and
divided by 1.1 (renormalised), each deployment in turn, and with every row a little too sharp and
too flat; beside each, what a test finds that knows what is wrong, how often the audit would find
it if the same rows were drawn again, and how often any test could. Some decisions are replayed from
checkpoints and updates.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from scipy import stats

from service.config import one_blas_thread

one_blas_thread()

from experiments.statistics.sample_ratio import ALPHA, PropensityCalibration  # noqa: E402
from service.bootstrap.build import build  # noqa: E402
from service.config import Settings  # noqa: E402
from service.domain.chat import ChatRequest, parse  # noqa: E402
from service.domain.clock import SystemClock, new_id  # noqa: E402
from service.domain.records import (  # noqa: E402
    Attempt,
    Decision,
    Feedback,
    Key,
    Outcome,
    Role,
    Usage,
)
from service.feedback.replay import Verdict, replay  # noqa: E402
from service.monitoring.audit import PropensityAudit, Standing  # noqa: E402
from service.plan.reading import load  # noqa: E402
from service.runtime import Runtime  # noqa: E402
from service.storage.audits import Drawn, drawn_between  # noqa: E402
from service.storage.versions import VersionStore  # noqa: E402

PLAN = Path(__file__).parent.parent / "examples" / "simulated.yaml"
BOOTSTRAP = "hg-benchmark-administrator-0123456789"
WORDS = ("Write python code for", "Describe a kite and", "Sum the numbers of", "Translate")
GOOD = {"brook": 0.55, "mill": 0.6, "river": 0.75, "fall": 0.85}
MOST_WAITING = 10_000
WITHIN = 20_000  # decisions in which an error of a tenth should be found
REDRAWN = 200

Spoil = Callable[[Drawn], Drawn]


def requests(count: int) -> list[ChatRequest]:
    bodies = (
        {"model": "auto", "messages": [{"role": "user", "content": f"{WORDS[n % 4]} {n}" * 3}]}
        for n in range(count)
    )
    return [parse(json.dumps(each).encode()) for each in bodies]


def ended(runtime: Runtime, decision: Decision, chance: random.Random) -> None:
    """The call that would have been made, and for a tenth its rating."""
    now_us, name = runtime.clock.wall_us(), decision.deployment
    case = runtime.ledger.decision(decision)
    usage = Usage(decision.tokens_in, 80 + int(chance.random() * 80), 0, 300)
    latency_s = 0.2 + 0.2 * chance.random()
    runtime.ledger.attempt(
        Attempt(decision.id, 1, now_us, name, "sim", Role.FIRST, 200, None, None, latency_s, usage)
    )
    runtime.ledger.outcome(
        Outcome(
            decision.id, now_us, name, decision.mode, 200, None, latency_s, None, 0.001, 1, usage
        )
    )
    if chance.random() < 0.1:
        quality = float(chance.random() < GOOD[name])
        feedback = Feedback(
            new_id(), decision.id, now_us, "rating", "user", "benchmark", quality, None, quality,
            name, None, None, "", (),
        )  # fmt: skip
        case.rated(feedback)
        runtime.kept.log.append(feedback)
        runtime.learner.rated(case, feedback)


def fill(runtime: Runtime, count: int) -> float:
    """Make the decisions; seconds that it took."""
    asked, chance = requests(500), random.Random(3)
    key = Key("benchmark", 0, "benchmark", "caller", "", "", "")
    started = time.perf_counter()
    for number in range(count):
        ended(runtime, runtime.router.decide(asked[number % 500], key), chance)
        if number % 500 == 0:
            while max(runtime.kept.log.queued, runtime.learner.waiting) > MOST_WAITING:
                time.sleep(0.02)
    while runtime.learner.waiting:
        time.sleep(0.05)
    runtime.kept.log.flush().result(60)
    return time.perf_counter() - started


def watched(runtime: Runtime) -> tuple[Standing, int | None, float]:
    """What a new audit says of the log, after how many decisions it alarms, and its seconds."""
    cursor = runtime.kept.database.cursor()
    read = partial(drawn_between, cursor)
    audit = PropensityAudit(read, runtime.kept.log, runtime.clock, None)
    started, alarmed, last = time.perf_counter(), None, runtime.kept.log.last_seq
    while audit.current.through_seq < last:
        if audit.evaluate():
            alarmed = audit.current.decisions
    return audit.current, alarmed, time.perf_counter() - started


def spoiled(rows: Sequence[Drawn], spoil: Spoil) -> tuple[Standing, int | None]:
    """What the test says of rows that are not as they were drawn."""
    standing, alarmed = Standing(0, 0), None
    for at in range(0, len(rows), 1_000):
        some = [spoil(row) for row in rows[at : at + 1_000]]
        standing = standing.with_rows(some, some[-1].log_seq)
        if alarmed is None and standing.evidence.rejects(ALPHA):
            alarmed = standing.decisions
    return standing, alarmed


@dataclass(frozen=True)
class Known:
    """What a test knows that is told what is wrong: its alarm on these draws, its mean length, and
    the greatest chance that any test at ``ALPHA`` has to find it within ``WITHIN`` decisions.
    """

    alarm: int | None
    length: int | None
    chance: float


def known(ratios: np.ndarray, divergences: np.ndarray) -> Known:
    """Of the log likelihood ratios of what was drawn from over what the spoiled log says, and
    their means.

    No test of level alpha that may stop at any row needs less than ln(1 / alpha) of divergence in
    the mean (Wald 1945). At a fixed row the ratio is the best test (Neyman and Pearson 1933), its
    logarithm nearly normal, the variance twice the mean.
    """
    limit, total = -math.log(ALPHA), divergences.cumsum()
    alarm, length = (np.flatnonzero(path >= limit) for path in (ratios.cumsum(), total))
    within = math.sqrt(2.0 * total[min(WITHIN, len(total)) - 1])
    return Known(
        int(alarm[0]) + 1 if len(alarm) else None,
        int(length[0]) + 1 if len(length) else None,
        float(stats.norm.sf(stats.norm.isf(ALPHA) - within)),
    )


def table(rows: Sequence[Drawn]) -> tuple[np.ndarray, np.ndarray]:
    """Propensities [n, K] and the drawn columns [n]."""
    names = tuple(dict.fromkeys(name for row in rows for name in row.names))
    at = {name: column for column, name in enumerate(names)}
    told = np.zeros((len(rows), len(names)))
    for place, row in enumerate(rows):
        told[place, [at[name] for name in row.names]] = row.propensities
    return told, np.array([at[row.deployment] for row in rows])


def found_when_redrawn(true: np.ndarray, logged: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """The shares of ``REDRAWN`` new draws of these rows in which the test alarms, and the one that
    knows what is wrong and may look at every row too.
    """
    rng, found = np.random.default_rng(5), np.zeros(2)
    rows, total = np.arange(len(true)), true.cumsum(1)
    last = true.shape[1] - 1 - (true[:, ::-1] > 0.0).argmax(1)  # against rounding of the sums
    for _ in range(REDRAWN):
        drawn = np.minimum((rng.random((len(true), 1)) >= total).sum(1), last)
        state = PropensityCalibration.of(true.shape[1]).add(logged, drawn)
        told = ratios[rows, drawn].cumsum().max()
        found += (state.evidence.rejects(ALPHA), told >= -math.log(ALPHA))
    return found / REDRAWN


def likelier(name: str, factor: float) -> Spoil:
    def spoil(row: Drawn) -> Drawn:
        shares = [
            share * (factor if each == name else 1.0)
            for each, share in zip(row.names, row.propensities, strict=True)
        ]
        return replace(row, propensities=tuple(share / sum(shares) for share in shares))

    return spoil


def tempered(power: float) -> Spoil:
    def spoil(row: Drawn) -> Drawn:
        shares = [share**power for share in row.propensities]
        return replace(row, propensities=tuple(share / sum(shares) for share in shares))

    return spoil


def distortions(rows: Sequence[Drawn]) -> None:
    """What is found of each error, beside what can be."""
    spoils: dict[str, Spoil] = {}
    for name in GOOD:
        spoils |= {f"{name} x 1.1": likelier(name, 1.1), f"{name} / 1.1": likelier(name, 1 / 1.1)}
    spoils |= {f"to the power {power}": tempered(power) for power in (0.9, 1.1)}
    true, drawn = table(rows)
    print(f"  mean shares of the first {WITHIN}: {true[:WITHIN].mean(0).round(3).tolist()}")
    for name, spoil in spoils.items():
        standing, at = spoiled(rows, spoil)
        logged, _ = table([spoil(row) for row in rows])
        ratios = np.log(np.where(true > 0.0, true, 1.0) / np.where(true > 0.0, logged, 1.0))
        best = known(ratios[np.arange(len(rows)), drawn], (true * ratios).sum(1))
        early = slice(WITHIN)
        ours, theirs = found_when_redrawn(true[early], logged[early], ratios[early])
        print(
            f"{name}: alarm after {at}, log evidence {standing.evidence.log_e:.2f} in the end; "
            f"told what is wrong: {best.alarm}, {best.length} in the mean; within {WITHIN} of "
            f"{REDRAWN} new draws {ours:.3f}, told {theirs:.3f}, any test {best.chance:.3f}"
        )


def replays(runtime: Runtime, count: int) -> None:
    """Decisions of the whole run, made again one by one."""
    kept = runtime.kept
    found = kept.database.cursor().execute("SELECT id FROM decisions ORDER BY id").fetchall()
    some = random.Random(4).sample([str(row[0]) for row in found], min(count, len(found)))
    verdicts, seconds, updates = [], [], []
    for decision_id in some:
        started = time.perf_counter()
        told = replay(
            decision_id, VersionStore(kept.database, kept.state_dir), kept.database.cursor
        )
        seconds.append(time.perf_counter() - started)
        verdicts.append(told.verdict)
        updates.append(told.state.updates if told.state else 0)
    print(
        f"{count} replays: {verdicts.count(Verdict.EQUAL)} equal bit for bit; "
        f"{sum(updates) / count:.0f} updates and {sum(seconds) / count:.2f} s each"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--decisions", type=int, default=100_000)
    parser.add_argument("--replays", type=int, default=20)
    asked = parser.parse_args()
    plan, _ = load(PLAN)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(state_dir=Path(folder), bootstrap_key=BOOTSTRAP)
        runtime = build(plan, settings, SystemClock(), seed=7)
        try:
            seconds = fill(runtime, asked.decisions)
            runtime.learner.stop()  # its ticks would go on making checkpoints, and drop the old
            print(f"{asked.decisions} decisions made, logged and learned from in {seconds:.1f} s")
            honest, alarmed, seconds = watched(runtime)
            print(
                f"honest: log evidence {honest.evidence.log_e:.2f} of {honest.decisions} "
                f"decisions, alarm {alarmed or 'none'}, {seconds:.1f} s "
                f"({1e6 * seconds / honest.decisions:.0f} us a decision)"
            )
            ratios = zip(honest.arms, honest.sums.ratios, honest.sums.drawn, strict=False)
            print("  " + ", ".join(f"{name} {r:.4f} of {n:.0f}" for name, r, n in ratios))
            cursor, last = runtime.kept.database.cursor(), runtime.kept.log.last_seq
            rows = drawn_between(cursor, 0, last, asked.decisions)
            distortions(rows)
            replays(runtime, asked.replays)
        finally:
            runtime.learner.stop()
            runtime.kept.close()


if __name__ == "__main__":
    main()
