"""What could be saved, from whole histories: sums of the log, a plain count, and known truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks.savings_come_true import days_of, paid
from experiments.design_json import from_json
from experiments.errors import CannotSay
from experiments.offline.past import Day, Past
from experiments.opportunities.changes import Cache, Price, Tier
from experiments.opportunities.estimating import alone
from experiments.opportunities.replaying import hits, repriced
from experiments.opportunities.trying import trial
from experiments.statistics.moments import Interval
from service.bootstrap.generated import PLAN
from service.check import load_checked
from service.reporting.opportunities import FOUND, Wanted, found, main, write_asked
from service.storage.drawn import Asked
from service.storage.history import connect
from service.storage.traffic import traffic
from tests.service.storage.made_up import END_US, past, written

pytestmark = pytest.mark.slow
DAY_US = 86_400_000_000
DECISIONS, DAYS = 40_000, 14
SPAN = (END_US - DAYS * DAY_US, END_US)
CHANGES = ("tier:code=brook", "cache:* ttl=7d", "batch:* tags=web", "price:river=0.5/2")


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made-up")
    written(folder, DECISIONS, DAYS)
    return folder


def test_the_traffic_is_the_log_s(state: Path) -> None:
    """Sums by the log itself, hits by a plain walk over its rows."""
    with connect(state) as connection:
        read = traffic(connection, Asked(*SPAN), calls=True)
        spent = connection.execute("SELECT sum(cost_micro_usd) FROM attempts").fetchone()
        rows = connection.execute(
            "SELECT epoch_us(d.ts), epoch_us(o.ts), d.tenant, d.prompt_hash, d.tokens_out_limit, "
            "CASE WHEN d.mode = 'pinned' THEN d.deployment ELSE '' END, o.status "
            "FROM decisions d JOIN outcomes o ON o.decision_id = d.id ORDER BY d.log_seq"
        ).fetchall()
    assert spent is not None and int(read.cost.sum()) == spent[0]
    assert read.calls is not None and int(read.calls.cost.sum()) == spent[0]
    until: dict[tuple[Any, ...], int] = {}
    expected = np.zeros(len(rows), bool)
    for at in sorted(range(len(rows)), key=lambda each: (rows[each][0], each)):
        start, end, *name, status = rows[at]
        key = tuple(name)
        expected[at] = start < until.get(key, -1)
        if not expected[at] and status == 200:
            until[key] = end + DAY_US
    assert (hits(read, Cache("*")) == expected).all() and expected.sum() > 100
    assert (read.draw >= 0).mean() > 0.95 and read.held.any()


def test_much_traffic_is_thinned_by_sessions_and_says_the_same(state: Path) -> None:
    """A third of the sessions: a request is a hit if and only if it is one among all; sums are
    within what the draw of sessions explains (5 standard errors of the sum, by sessions).
    """
    with connect(state) as connection:
        whole = traffic(connection, Asked(*SPAN))
        thin = traffic(connection, Asked(*SPAN), calls=True, most=15_000)
    assert thin.one_in == 3 and thin.repeats is not None
    assert abs(len(thin) - len(whole) / 3) < 0.03 * len(whole)
    times, counts = np.unique(whole.at_us, return_counts=True)
    known = np.isin(thin.at_us, times[counts == 1])  # the last of a day may come at one time
    rows = np.searchsorted(whole.at_us, thin.at_us)[known]
    assert known.mean() > 0.9 and (whole.cost[rows] * 3 == thin.cost[known]).all()
    for change in (Cache("*"), Cache("maths", 7_200.0)):
        found = hits(thin, change)[known]
        assert (found == hits(whole, change)[rows]).all() and found.any()
    session = np.where(thin.draw >= 0, thin.draw, len(thin) + np.arange(len(thin)))
    sums = np.bincount(session, thin.cost)
    error = float(np.sqrt(2.0 / 3.0 * (sums**2).sum()))
    assert abs(int(thin.cost.sum()) - int(whole.cost.sum())) < 5.0 * error
    assert thin.calls is not None and int(thin.calls.cost.sum()) * 3 == int(thin.cost.sum())
    price = Price("river", 500_000, 2_000_000)
    taken = repriced(thin, price)
    assert not isinstance(taken, CannotSay) and (taken % 3 == 0).all()
    tier = Tier("code", "mill")
    for made in (alone(whole, tier, 0.001), alone(thin, tier, 0.001)):
        assert isinstance(made.saved, Interval)
    one, other = (alone(each, tier, 0.001).saved for each in (whole, thin))
    assert isinstance(one, Interval) and isinstance(other, Interval)
    assert other.low < one.estimate < other.high


def test_a_simulation_adds_up_and_a_child_says_the_same(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Wanted(str(state), *SPAN, None, CHANGES)
    made = found(wanted)
    joint = made["joint"]
    parts = sum(each["saved_micro_usd"] or 0 for each in joint["parts"])
    assert joint["saved_micro_usd"] == parts == joint["interval_micro_usd"]["estimate"]
    assert joint["before_micro_usd"] - parts == joint["after_micro_usd"]
    order = [each["change"].split(":")[0] for each in joint["parts"]]
    assert order == ["price", "cache", "batch", "tier"]
    write_asked(tmp_path, wanted)
    monkeypatch.setattr("sys.argv", ["opportunities", str(tmp_path)])
    main()
    assert json.loads((tmp_path / FOUND).read_text("utf-8")) == made
    write_asked(tmp_path, Wanted(str(tmp_path / "none"), *SPAN))
    main()
    assert "no published history" in json.loads((tmp_path / FOUND).read_text("utf-8"))["error"]


def test_a_tenant_sees_its_own_and_trials_are_of_the_known_kind(state: Path) -> None:
    whole = found(Wanted(str(state), *SPAN, None, ("cache:*",)))
    mine = found(Wanted(str(state), *SPAN, "linden"))
    assert 0 < mine["joint"]["before_micro_usd"] < whole["joint"]["before_micro_usd"]
    assert mine["opportunities"]
    for each in mine["opportunities"]:
        design = each["trial"]["design"]
        assert design is None or from_json(json.dumps(design))
    plain = yaml.safe_load(PLAN.read_text("utf-8"))
    for change in (Cache("code"), Cache("*", 3_600.0)):
        fragment = yaml.safe_load(trial(change).plan)
        file = state / "tried.yaml"
        file.write_text(yaml.safe_dump(plain | fragment), "utf-8")
        assert load_checked(file, secrets=False)


@pytest.fixture(scope="module")
def lived() -> tuple[Past, list[Day]]:
    """The world of that history, with its truth."""
    world = past(DECISIONS, DAYS)
    return world, days_of(world, DAYS)


def test_savings_of_tiers_are_those_of_the_world_run_again(
    state: Path, lived: tuple[Past, list[Day]]
) -> None:
    """The same callers, prompts and chances again, but every draw of each task goes to one
    deployment: what is paid less is what was foretold from the history alone, within its 99.9 %
    intervals.
    """
    with connect(state) as connection:
        read = traffic(connection, Asked(*SPAN))
    (world, days), again = lived, past(DECISIONS, DAYS)
    names, tasks = world.cast.names, world.cast.tasks
    spent, said = paid(days, len(tasks)), 0
    assert int(spent.sum()) == int(read.cost.sum())
    to = np.array([names.index("river" if at % 2 else "mill") for at in range(len(tasks))])
    saved = spent - paid(days_of(again, DAYS, to), len(tasks))
    for at, task in enumerate(tasks):
        made = alone(read, Tier(task, names[to[at]]), alpha=0.001)
        if made.refusal is not None:
            continue
        assert isinstance(made.saved, Interval)
        assert made.saved.low < saved[at] < made.saved.high, (task, saved[at], made.saved)
        said += 1
    assert said >= 3


def test_quality_that_a_tier_loses_is_the_true_one(
    state: Path, lived: tuple[Past, list[Day]]
) -> None:
    """99.9 % intervals of all tiers that can be said hold the mean of what was put in, over the
    very draws.
    """
    with connect(state) as connection:
        read = traffic(connection, Asked(*SPAN))
    world, days = lived
    task = np.concatenate([each.choices.asked.task for each in days])
    drawn = np.concatenate([each.choices.mode for each in days]) == 0
    shares = np.concatenate([each.choices.shares for each in days])
    quality = np.concatenate([each.quality for each in days])
    said = 0
    for at, name in enumerate(world.cast.tasks):
        for arm, deployment in enumerate(world.cast.names):
            made = alone(read, Tier(name, deployment), alpha=0.001)
            if not isinstance(made.quality, Interval):
                continue
            rows = drawn & (task == at)
            e, truth = shares[rows], quality[rows]
            had = e[:, arm] > 0.0
            change = np.where(had, truth[:, arm] - (e * truth).sum(1), 0.0).mean()
            assert made.quality.low < change < made.quality.high, (name, deployment)
            said += 1
    assert said >= 2
