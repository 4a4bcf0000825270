"""The statistics of experiments under looking and under learning: what they promise, simulated.

    python -m benchmarks.inference [--sims 2000] [--seed 0] [--only PART] [--write FILE.md]

False positives of every test of two arms on every kind of value (at most 5 % over 100 looks, where
the naive test must fail), power at the planned size, coverage on logs that a policy collected,
guardrails, sample ratios and propensities. About five minutes of CPU with 2,000 runs.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks import inference_tails
from benchmarks.inference_logs import (
    World,
    collect,
    contrast_misses,
    naive_bias,
    naive_misses,
    weighted_misses,
)
from experiments.metrics import METRICS, Kind
from experiments.offline.calibration import Plan, simulate
from experiments.offline.distributions import named
from experiments.offline.sizing import Asked, Known, need
from experiments.statistics import rates, sample_ratio
from experiments.statistics.response_rate import wilson

ALONE = ["success_rate bernoulli_0.5", "success_rate bernoulli_0.9", "success_rate bernoulli_0.98",
         "success_rate bernoulli_0.999", "reward beta_4", "latency_mean lognormal_1",
         "latency_mean lognormal_2", "latency_mean exponential_1", "attempts geometric_0.9",
         "cost_per_request clustered_1", "cost_per_request clustered_2",
         "cost_per_success successes_1", "latency_p95 lognormal_1",
         "latency_p95 exponential_1"]  # fmt: skip
CANARY = ["success_rate bernoulli_0.98", "latency_mean lognormal_1", "latency_mean lognormal_2",
          "cost_per_request clustered_1", "cost_per_request clustered_2",
          "latency_p95 lognormal_1"]  # fmt: skip
POWERED = [("success_rate bernoulli_0.8", -0.05), ("success_rate bernoulli_0.98", -0.01),
           ("quality bernoulli_0.8", 0.0625), ("latency_mean exponential_1", 0.1),
           ("latency_mean lognormal_1", 0.15), ("cost_per_request clustered_1", 0.15),
           ("latency_p95 lognormal_1", 0.3)]  # fmt: skip
RARE_UNITS = 30_000  # where one in a thousand fails, so that ten failures are seen
START, END = "<!-- measured: start -->", "<!-- measured: end -->"


def share(count: int, of: int) -> str:
    """A share and its 95 % interval."""
    found = wilson(count, of)
    return f"{found.estimate:.2%} ({found.low:.2%} to {found.high:.2%})"


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """As Markdown."""
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield "| " + " | ".join(str(cell) for cell in row) + " |"
    yield ""


def false_positives(sims: int, seed: int) -> Iterator[str]:
    rows = []
    cases = [(case, 0.5) for case in ALONE] + [(case, 0.1) for case in CANARY]
    cases += [("latency_mean lognormal_2", 0.02), ("success_rate bernoulli_0.98", 0.02)]
    for case, part in cases:
        slug, name = case.split()
        units = RARE_UNITS if name == "bernoulli_0.999" else 5_000 if part == 0.5 else 2_000
        plan = Plan(sims=sims, units=units, treatment_share=part, seed=seed)
        for method, tally in simulate(METRICS[slug], plan, named(name)).items():
            verdict = "at most 5 %" if tally.share <= 0.05 else "above"
            if method.startswith("naive"):
                verdict = "fails, as it must" if tally.share > 0.05 else "DOES NOT FAIL"
            sizes = f"{units:,} + {plan.blocks[1] * plan.looks:,}"
            said = f"{tally.spoke / tally.runs:.0%}"
            rows.append((name, METRICS[slug].kind, sizes, method,
                         share(tally.rejected, tally.runs), said, verdict))  # fmt: skip
            progress(rows[-1])
    yield "### False positives over 100 looks, no difference\n"
    yield from table(
        ("values", "kind", "units", "test", "false positives", "could say", "verdict"), rows
    )


def tails(sims: int, seed: int) -> Iterator[str]:
    rng, rows = np.random.default_rng(seed), []
    sims = sims // inference_tails.AT_ONCE * inference_tails.AT_ONCE or inference_tails.AT_ONCE
    for sigma in (1.0, 1.5, 2.0):
        for cap in (False, True):
            said = "cut at the 99th percentile" if cap else "as they are"
            missed = inference_tails.single(sigma, cap, sims, rng)
            rows.append((f"{sigma:g}", said, "a mean, 10,000 values", share(missed, sims), "-"))
            progress(rows[-1])
            for factor in (1.0, 2.0, 0.5):
                for part in inference_tails.SHARES[: 3 if factor == 1.0 else 2]:
                    asked = (factor, part, cap)
                    held, own = inference_tails.differences(sigma, asked, sims, rng)
                    what = f"x {factor:g}, {part:.0%} treated"
                    rows.append((f"{sigma:g}", said, what, share(held, sims), share(own, sims)))
                    progress(rows[-1])
    yield "### The asymptotic sequence at heavy tails: the truth left out at one of 100 looks\n"
    yield "Lognormal values; the smaller arm has 2,000 at the end.\n"
    yield from table(("sigma", "values", "of", "left out", "with each arm's own variance"), rows)


def known(slug: str, name: str) -> Known:
    """The truth of a distribution, from a million units."""
    values, per = named(name).draw(np.random.default_rng(1), (1_000_000,))
    metric = METRICS[slug]
    if metric.kind is Kind.RATE:
        return Known(named(name).mean)
    if metric.level is not None:
        low, middle, high = np.quantile(values, [metric.level - 0.005, metric.level,
                                                 metric.level + 0.005])  # fmt: skip
        spread = math.sqrt(metric.level * (1.0 - metric.level)) * (high - low) / 0.01
        return Known(float(middle), spread)
    if per is None:
        return Known(float(values.mean()), float(values.std()))
    ratio = values.mean() / per.mean()
    return Known(float(ratio), float((values - ratio * per).std() / per.mean()))


def power(sims: int, seed: int) -> Iterator[str]:
    rows = []
    for case, effect in POWERED:
        slug, name = case.split()
        metric, told = METRICS[slug], known(slug, name)
        sized = need(metric, told, Asked(effect), None, sequential=True).sizes
        once = need(metric, told, Asked(effect), None, sequential=False).sizes
        plan = Plan(effect, sims=sims, units=math.ceil(sized.treatment / 100) * 100, seed=seed)
        for method, tally in simulate(metric, plan, named(name)).items():
            if method.startswith("naive"):
                continue
            median = tally.median_units
            rows.append((name, f"{effect:+g}", method, f"{once.total:,}", f"{2 * plan.units:,}",
                         share(tally.rejected, tally.runs),
                         "-" if median is None else f"{median:,}"))  # fmt: skip
            progress(rows[-1])
    yield "### Power by the size that `experiment plan` names for 80 %\n"
    yield from table(
        ("values", "effect", "test", "units for one look", "units, looking all along",
         "found by then", "median units"), rows,
    )  # fmt: skip


def learned(sims: int, seed: int) -> Iterator[str]:
    rng, rows, steps = np.random.default_rng(seed), [], 2_000
    looks = np.arange(100, steps + 1, 19)
    worlds = {"0.95 / 0.90": World.of(0.95, 0.90), "0.5 / 0.5": World.of(0.5, 0.5),
              "0.6 / 0.5, tilted": World.of(0.6, 0.5, 0.2)}  # fmt: skip
    for kind in ("thompson", "greedy", "linucb"):
        for name, world in worlds.items():
            weighted = [0, 0]
            robust = unheld = plain = 0
            biases = []
            for start in range(0, sims, 500):
                paths = min(500, sims - start)
                logs = collect(kind, world, (paths, steps), rng)
                for arm in (0, 1):
                    weighted[arm] += weighted_misses(logs, arm, world.means[arm])
                gap = float(world.means[0] - world.means[1])
                robust += contrast_misses(logs, gap, looks)
                unheld += contrast_misses(logs, gap, looks, held=False)
                plain += naive_misses(logs, gap, looks)
                biases.append(naive_bias(logs, 1, world.means[1]))
            bias = float(np.mean([each[0] for each in biases]))
            error = float(np.mean([each[1] for each in biases])) / math.sqrt(len(biases))
            rows.append((kind, name, share(sims - max(weighted), sims),
                         share(sims - robust, sims), share(sims - unheld, sims),
                         share(sims - plain, sims),
                         f"{100 * bias:+.2f} ± {196 * error:.2f}"))  # fmt: skip
            progress(rows[-1])
    yield f"### Coverage on logs of {steps:,} decisions that a policy collected, floor 2 %\n"
    yield ("An arm's mean at every row (the worse of the two arms), the arms' difference at 100 "
           "looks, and the bias of the second arm's plain mean in points.\n")  # fmt: skip
    yield from table(
        ("policy", "rates", "weighted sequence", "doubly robust contrast",
         "without the least variance", "z-interval of plain means", "bias of the plain mean"), rows,
    )  # fmt: skip


def guardrails(sims: int, seed: int) -> Iterator[str]:
    rng, limit, rows = np.random.default_rng(seed), math.log(20.0), []
    cases = ((0.10, 0.01, 0.1), (0.05, 0.01, 0.1), (0.02, 0.01, 0.1), (0.10, 0.01, 0.01),
             (0.01, 0.01, 0.1))  # fmt: skip
    for ours, theirs, part in cases:
        total, when = 20_000, []
        for _ in range(0, sims, 100):
            mine = rng.random((100, total)) < part
            failed = rng.random((100, total)) < np.where(mine, ours, theirs)
            counts = ((failed & mine).cumsum(1)[failed], (failed & ~mine).cumsum(1)[failed])
            hit = np.zeros_like(failed)  # nothing changes between failures
            hit[failed] = rates.log_evidence(*counts, part) >= limit
            when += np.where(hit.any(1), hit.argmax(1) + 1, total + 1).tolist()
        found = sum(each <= total for each in when)
        median, late = np.quantile(when, [0.5, 0.9])
        times = [f"{each:,.0f}" if each <= total else "-" for each in (median, late)]
        said = f"{theirs:.0%} to {ours:.0%}"
        rows.append((said, f"{part:.0%}", share(found, len(when)), *times))
        progress(rows[-1])
    yield "### The rate guardrail, a look at every request, 20,000 requests\n"
    yield from table(
        ("failures", "canary", "rolled back", "median requests, both arms", "90 % by"), rows
    )


def propensities(sims: int, seed: int) -> Iterator[str]:
    rng, number = np.random.default_rng(seed), max(20, sims // 10)
    rows = []
    for said, factor, length in (("honest", 1.0, 100_000), ("one arm x 1.1", 1.1, 20_000)):
        when = []
        for _ in range(number):
            e = 0.02 + 0.94 * rng.dirichlet((2.0, 1.0, 0.5), length)
            drawn = (rng.random((length, 1)) > e.cumsum(1)).sum(1).clip(0, 2)
            logged = e * np.array([factor, 1.0, 1.0])
            logged /= logged.sum(1, keepdims=True)
            state = sample_ratio.PropensityCalibration.of(3)
            for begin in range(0, length, 1_000):
                rows_of = slice(begin, begin + 1_000)
                state = state.add(logged[rows_of], drawn[rows_of])
                if state.evidence.rejects(sample_ratio.ALPHA):
                    when.append(begin + 1_000)
                    break
        median = f"{np.median(when):,.0f}" if len(when) > number / 2 else "-"
        rows.append((said, f"{length:,}", share(len(when), number), median))
        progress(rows[-1])
    yield f"### Logged propensities against the draws, alarm at 0.1 %, {number} logs\n"
    yield from table(("log", "decisions", "alarms", "median decisions"), rows)


def shares(sims: int, seed: int) -> Iterator[str]:
    rng, rows = np.random.default_rng(seed), []
    for meant, true in (((0.5, 0.5), (0.5, 0.5)), ((0.9, 0.1), (0.9, 0.1)),
                        ((0.5, 0.5), (0.52, 0.48))):  # fmt: skip
        found = rng.multinomial(200, true, (sims, 100)).cumsum(1)
        told = sample_ratio.log_evidence(found, meant) >= -math.log(sample_ratio.ALPHA)
        due = found.sum(2, keepdims=True) * np.array(meant)
        naive = stats.chi2.sf(((found - due) ** 2 / due).sum(2), 1) < sample_ratio.ALPHA
        rows.append(("/".join(map(str, meant)), "/".join(map(str, true)),
                     *(share(int(each.any(1).sum()), sims) for each in (told, naive))))  # fmt: skip
        progress(rows[-1])
    yield "### Sample ratio, 100 looks to 20,000 units, alarm at 0.1 %\n"
    yield from table(("meant", "drawn by", "e-process", "naive chi-square"), rows)


PARTS = (false_positives, tails, power, learned, guardrails, shares, propensities)


def progress(row: Sequence[object]) -> None:
    print(" | ".join(str(cell) for cell in row), file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sims", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=[part.__name__ for part in PARTS])
    parser.add_argument("--write", type=Path, help="put the tables into this file, between marks")
    asked = parser.parse_args()
    parts = [part for part in PARTS if asked.only in (None, part.__name__)]
    text = "\n".join(line for part in parts for line in part(asked.sims, asked.seed))
    print(text)
    if asked.write is not None:
        old = asked.write.read_text("utf-8")
        marked = re.compile(re.escape(START) + ".*" + re.escape(END), re.DOTALL)
        if not marked.search(old):
            sys.exit(f"{asked.write} lacks the marks {START} and {END}")
        asked.write.write_text(marked.sub(lambda _: f"{START}\n\n{text}\n{END}", old), "utf-8")


if __name__ == "__main__":
    main()
