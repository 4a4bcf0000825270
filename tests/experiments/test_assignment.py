"""Who gets what is drawn evenly, independently, for ever, and a ramp moves nobody out."""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from experiments.assignment import Assigner, Assignment, Why, bucket, draw, salt
from experiments.design import BUCKETS, Allocation, DesignError, Experiment, Layer, Unit, Variant
from experiments.states import RAMP
from experiments.switchback import Blocks

UNITS = tuple(f"unit-{number}" for number in range(40_000))
LEAST_P = 1e-4  # the chance that a sound draw fails a test below; the draws never change


def experiment(slug: str, *shares: float) -> Experiment:
    variants = tuple(
        Variant(f"v{at}", share, (("x", str(at)),) if at else ())
        for at, share in enumerate(shares or (0.5, 0.5))
    )
    return Experiment(slug, "it is better", variants, ("quality",))


ONE, TWO, THREE = experiment("one"), experiment("two", 0.2, 0.3, 0.5), experiment("three")
LAYERS = (
    Layer("policy", (Allocation("one", 0, 6_000), Allocation("two", 6_000, 9_000))),
    Layer("prompt", (Allocation("three", 0, 10_000),)),
)


def assigner(percent: int = 100, holdout: float = 0.0) -> Assigner:
    exposed = {"one": percent, "two": percent, "three": percent}
    return Assigner(LAYERS, (ONE, TWO, THREE), exposed, holdout)


GOLDEN = (
    "n/n v1/v1 u/v0 v1/n u/n n/v0 v1/n v0/v0 v1/v1 u/v1 u/v1 n/v1 "
    "v1/v0 v1/n v0/n v0/v1 n/v0 v0/v1 n/n n/n n/v1 h/h v1/v0 n/v0"
)


def told(which: Assigner, units: tuple[str, ...]) -> str:
    return " ".join(
        "/".join(each.variant or each.why[0] for each in which.assign(unit)) for unit in units
    )


def test_golden_draws_never_change() -> None:
    """A change here re-draws everybody who is in an experiment: it must not happen unnoticed."""
    assert draw("headgate.assignment.1/layer/policy/0:", "unit-0") == 6_318_045_353_258_967_913
    odd = ("unit-0", "ü", "\ud800", "x" * 500)
    assert [bucket("policy", unit) for unit in odd] == [7_913, 1_107, 8_058, 3_545]
    assert told(assigner(50, 0.1), UNITS[:24]) == GOLDEN


def test_the_draw_is_sha_256_of_salt_and_unit() -> None:
    digest = hashlib.sha256(b"headgate.assignment.1/variant/one/3:" + "é".encode()).hexdigest()
    assert draw(salt("variant", "one", 3), "é") == int(digest[:16], 16)


@pytest.mark.slow
def test_another_process_says_the_same() -> None:
    code = (
        "from tests.experiments.test_assignment import *\n"
        "print(told(assigner(50, 0.1), UNITS[:24]))"
    )
    run = [sys.executable, "-W", "error", "-c", code]
    for seed in ("0", "1"):
        env = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))}
        done = subprocess.run(run, capture_output=True, text=True, env=env, timeout=60, check=True)
        assert done.stdout.strip() == GOLDEN


def test_buckets_are_uniform() -> None:
    for layer in ("policy", "prompt"):
        counts = np.bincount([bucket(layer, unit) // 50 for unit in UNITS], minlength=200)
        assert stats.chisquare(counts).pvalue > LEAST_P


@pytest.mark.parametrize("kind", ["plain numbers", "shared prefix", "hex"])
def test_units_that_look_alike_are_drawn_evenly(kind: str) -> None:
    make = {
        "plain numbers": str,
        "shared prefix": lambda n: "tenant/project/session/" * 4 + f"{n:08}",
        "hex": lambda n: f"{n * 4_096:032x}",
    }[kind]
    counts = np.bincount([bucket("policy", make(n)) // 100 for n in range(20_000)], minlength=100)
    assert stats.chisquare(counts).pvalue > LEAST_P


def test_variants_get_their_shares() -> None:
    answers = [each.assign(unit)[0] for each in [assigner()] for unit in UNITS]
    for which in (ONE, TWO):
        found = Counter(each.variant for each in answers if each.experiment == which.slug)
        counts = [found[variant.name] for variant in which.variants]
        expected = [variant.share * sum(counts) for variant in which.variants]
        assert stats.chisquare(counts, expected).pvalue > LEAST_P
        shares = {each.variant: each.probability for each in answers
                  if each.experiment == which.slug}  # fmt: skip
        assert shares == {variant.name: variant.share for variant in which.variants}
    places = Counter(each.experiment for each in answers)
    allocated = [places["one"], places["two"], places[None]]
    assert stats.chisquare(allocated, [24_000, 12_000, 4_000]).pvalue > LEAST_P


def test_draws_of_different_purposes_are_independent_in_pairs() -> None:
    """Layer, allocation, variant and holdout, two experiments each: chi-square of all pairs."""
    salts = [salt("holdout")]
    for name in ("one", "two"):
        salts += [salt(kind, name, 1) for kind in ("layer", "allocation", "variant")]
    salts.append(salt("variant", "one", 2))
    tenths = {each: np.array([draw(each, unit) * 10 >> 64 for unit in UNITS]) for each in salts}
    for one, two in itertools.combinations(salts, 2):
        table = np.bincount(tenths[one] * 10 + tenths[two], minlength=100).reshape(10, 10)
        assert stats.chi2_contingency(table).pvalue > LEAST_P, (one, two)


def test_two_experiments_on_the_same_units_do_not_know_each_other() -> None:
    table = Counter(
        (one.variant, two.variant)
        for one, two in map(assigner().assign, UNITS)
        if one.experiment == "one"
    )
    counts = np.array([[table[a, b] for b in ("v0", "v1")] for a in ("v0", "v1")])
    assert stats.chi2_contingency(counts).pvalue > LEAST_P


def test_who_is_exposed_knows_neither_bucket_nor_another_experiment_nor_the_holdout() -> None:
    half = assigner(50, 0.2)
    exposed: Counter[tuple[bool, bool]] = Counter()
    by_bucket, held = np.zeros((10, 2)), np.zeros((10, 2))
    for unit in UNITS:
        one, two = half.assign(unit)
        tenth = bucket("prompt", unit) // 1_000
        held[tenth, int(one.why is Why.HELD_OUT)] += 1
        if one.why is Why.HELD_OUT:
            continue
        by_bucket[tenth, int(two.why is Why.ASSIGNED)] += 1
        if one.why is not Why.UNALLOCATED:
            exposed[one.why is Why.ASSIGNED, two.why is Why.ASSIGNED] += 1
    crossed = [[exposed[a, b] for b in (False, True)] for a in (False, True)]
    for table in (np.array(crossed), by_bucket, held):
        assert stats.chi2_contingency(table).pvalue > LEAST_P


def test_a_ramp_moves_nobody_out_and_keeps_the_control_as_large() -> None:
    before: dict[str, Assignment] = {}
    for percent in RAMP:
        step = assigner(percent)
        now = {unit: step.assign(unit)[1] for unit in UNITS}
        inside = {unit: each for unit, each in now.items() if each.why is Why.ASSIGNED}
        assert all(inside[unit] == each for unit, each in before.items())
        assert stats.binomtest(len(inside), len(UNITS), percent / 100).pvalue > LEAST_P
        control = sum(each.variant == "v0" for each in inside.values())
        assert stats.binomtest(control, len(inside)).pvalue > LEAST_P
        before = inside
    assert len(before) == len(UNITS)


@settings(derandomize=True, max_examples=300)
@given(st.text(min_size=1), st.integers(0, 100), st.integers(0, 100), st.floats(0.0, 0.9))
def test_whoever_is_in_stays_in(unit: str, one: int, two: int, holdout: float) -> None:
    less, more = sorted((one, two))
    for early, late in zip(
        assigner(less, holdout).assign(unit), assigner(more, holdout).assign(unit), strict=True
    ):
        if early.why is Why.ASSIGNED:
            assert late == early
        if early.why is Why.HELD_OUT:
            assert late.why is Why.HELD_OUT


@settings(derandomize=True, max_examples=200)
@given(st.text(min_size=1), st.floats(0.0, 0.9), st.floats(0.0, 0.9))
def test_a_larger_holdout_holds_the_smaller_one(unit: str, one: float, two: float) -> None:
    small, large = sorted((one, two))
    few, many = (assigner(100, share).assign(unit) for share in (small, large))
    assert len({each.why is Why.HELD_OUT for each in few}) == 1  # in all layers or in none
    if few[0].why is Why.HELD_OUT:
        assert many[0].why is Why.HELD_OUT


def test_the_holdout_is_never_exposed_and_as_large_as_said() -> None:
    held = [unit for unit in UNITS if assigner_held.assign(unit)[0].why is Why.HELD_OUT]
    assert stats.binomtest(len(held), len(UNITS), 0.05).pvalue > LEAST_P
    for unit in held:
        assert all(each.variant is None for each in assigner_held.assign(unit))
    alone = Assigner(LAYERS[1:], (THREE,), {"three": 100}, 0.05)
    assert [unit for unit in UNITS if alone.assign(unit)[0].why is Why.HELD_OUT] == held


assigner_held = assigner(100, 0.05)


def test_experiments_of_a_layer_exclude_each_other() -> None:
    both = assigner()
    for unit in UNITS[:5_000]:
        at = bucket("policy", unit)
        expected = "one" if at < 6_000 else "two" if at < 9_000 else None
        assert both.assign(unit)[0].experiment == expected


def test_moving_another_experiment_moves_nobody_of_this_one() -> None:
    other = (Layer("policy", (Allocation("one", 0, 6_000),)), LAYERS[1])
    fewer = Assigner(other, (ONE, THREE), {"one": 100, "three": 100})
    for unit in UNITS[:5_000]:
        was, now = assigner_full.assign(unit), fewer.assign(unit)
        assert was[1] == now[1]
        assert was[0] == now[0] or was[0].experiment == "two"


assigner_full = assigner()


def test_a_new_version_is_a_new_draw() -> None:
    again = Assigner(LAYERS, (ONE, TWO, replace(THREE, version=2)), {"three": 100})
    same = sum(
        again.assign(unit)[1].variant == assigner_full.assign(unit)[1].variant
        for unit in UNITS[:10_000]
    )
    assert stats.binomtest(same, 10_000).pvalue > LEAST_P


def test_who_cannot_be_drawn_gets_what_everybody_gets() -> None:
    assert {each.why for each in assigner().assign("")} == {Why.NO_UNIT}
    assert {each.why for each in assigner(0).assign("a")} == {Why.UNALLOCATED}
    assert assigner().assign("\ud800")[1].why is Why.ASSIGNED
    few = {each.assign(unit)[1].why for each in [assigner(1)] for unit in UNITS[:999]}
    assert few == {Why.NOT_YET, Why.ASSIGNED}


def test_a_layer_has_ten_thousand_buckets() -> None:
    assert BUCKETS == 10_000
    seen = {bucket("policy", unit) for unit in UNITS}
    assert min(seen) >= 0 and max(seen) < BUCKETS
    assert len(seen) == pytest.approx(BUCKETS * (1 - np.exp(-4)), abs=60)


BY_BLOCK = replace(THREE, unit=Unit.BLOCK, blocks=Blocks("three/1", 0))


@pytest.mark.parametrize(
    ("layers", "experiments", "exposed", "message"),
    [
        (LAYERS, (ONE, TWO), {}, "no experiment is called three"),
        ((*LAYERS, LAYERS[1]), (ONE, TWO, THREE), {}, "layers: prompt stands twice"),
        ((*LAYERS, Layer("more", (Allocation("one", 0, 9),))), (ONE, TWO, THREE), {},
         "one is in the layer policy too"),
        (LAYERS, (ONE, TWO, THREE, THREE), {}, "three stands twice; keep the version"),
        (LAYERS[:1], (ONE, TWO, THREE), {"three": 5}, "exposed.three: it has no buckets"),
        (LAYERS, (ONE, TWO, THREE), {"one": 101}, "exposed.one: 101 is no per cent"),
        (LAYERS, (ONE, replace(TWO, unit=Unit.USER), THREE), {}, "session and user are drawn"),
        (LAYERS, (ONE, TWO, BY_BLOCK), {}, "three is assigned by blocks of time"),
    ],
)  # fmt: skip
def test_layers_and_experiments_that_do_not_fit_are_refused(
    layers: tuple[Layer, ...],
    experiments: tuple[Experiment, ...],
    exposed: dict[str, int],
    message: str,
) -> None:
    with pytest.raises(DesignError, match=message):
        Assigner(layers, experiments, exposed)


@pytest.mark.parametrize("holdout", [-0.1, 1.0, float("nan")])
def test_a_holdout_that_is_no_share_is_refused(holdout: float) -> None:
    with pytest.raises(DesignError, match="holdout"):
        assigner(100, holdout)
