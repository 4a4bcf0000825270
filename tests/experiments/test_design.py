"""An experiment that cannot be analysed is refused, with the field and the mend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.design import (
    BUCKETS,
    COVARIATES,
    Action,
    Allocation,
    DesignError,
    Experiment,
    Guardrail,
    Layer,
    Unit,
    Variant,
)
from experiments.errors import ExperimentError
from experiments.metrics import METRICS, Direction, Role
from experiments.switchback import Blocks

CONTROL, TREATMENT = Variant("control", 0.5), Variant("cheaper", 0.5, (("dial", "0.8"),))
SOUND = Experiment(
    "cheaper-drafts",
    "a higher cost dial saves a fifth and no rating falls",
    (CONTROL, TREATMENT),
    ("cost_per_request",),
    (Guardrail("quality", tolerance=0.02), Guardrail("rating_rate", Direction.UP)),
)
BLOCKS = Blocks("cheaper-drafts/1", 0)


def test_a_sound_design_stands_and_does_not_move() -> None:
    assert SOUND.control is CONTROL and SOUND.treatments == (TREATMENT,)
    assert SOUND.guardrails[0].better is Direction.UP
    assert replace(SOUND, unit=Unit.BLOCK, blocks=BLOCKS).blocks is BLOCKS
    with pytest.raises(FrozenInstanceError):
        SOUND.alpha = 0.1  # type: ignore[misc]


def test_a_watch_over_a_promotion_keeps_what_was_in_its_control() -> None:
    before, now = Variant("before", 0.1, (("version", "7"),)), Variant("now", 0.9)
    watch = replace(SOUND, variants=(before, now), reverse=True)
    assert watch.control is before and watch.treatments == (now,)
    assert SOUND.guardrails[0].action is Action.ROLL_BACK and not SOUND.guardrails[0].dry_run
    for covariate in COVARIATES:
        assert replace(SOUND, covariate=covariate, unit=Unit.TENANT).covariate == covariate


Make = Callable[[], object]
REFUSED: list[tuple[Make, str, str]] = [
    (lambda: replace(SOUND, slug="Not A Name"), "slug", "lower-case letters"),
    (lambda: replace(SOUND, slug="a/b"), "slug", "lower-case letters"),
    (lambda: replace(SOUND, hypothesis="  "), "hypothesis", "say what should happen"),
    (lambda: replace(SOUND, version=0), "version", "count from 1"),
    (lambda: replace(SOUND, variants=(CONTROL,)), "variants", "at least one other"),
    (lambda: replace(SOUND, variants=()), "variants", "at least one other"),
    (lambda: replace(SOUND, variants=(CONTROL, CONTROL)), "variants", "its own name"),
    (lambda: replace(SOUND, variants=(CONTROL, Variant("b", 0.4))), "variants.share", "by +0.1 in"),
    (lambda: replace(SOUND, variants=(TREATMENT, CONTROL)), "variants.cheaper.settings", "first"),
    (lambda: replace(SOUND, reverse=True), "variants.control.settings", "leave reverse out"),
    (
        lambda: replace(SOUND, reverse=True, variants=(replace(TREATMENT, name="a"), TREATMENT)),
        "variants.cheaper.settings", "leave reverse out",
    ),
    (lambda: replace(SOUND, covariate="cost"), "covariate", "use one of tokens_in"),
    (lambda: replace(SOUND, covariate="predicted_quality"), "covariate", "use one of tokens_in"),
    (
        lambda: replace(SOUND, unit=Unit.BLOCK, blocks=BLOCKS, covariate="tokens_in"),
        "covariate", "leave it out",
    ),
    (
        lambda: replace(SOUND, unit=Unit.BLOCK, blocks=BLOCKS, goals=("judged_quality",)),
        "goals", "take a mean, a rate or a ratio",
    ),
    (lambda: Guardrail("quality", tolerance=1.0), "guardrails.quality.tolerance", "less than 1"),
    (lambda: Guardrail("quality", least=0), "guardrails.quality.least", "1 or more"),
    (lambda: replace(SOUND, goals=()), "goals", "name the metric"),
    (lambda: replace(SOUND, goals=("qualty",)), "goals", "did you mean quality?"),
    (lambda: replace(SOUND, goals=("zzz",)), "goals", "use one of quality, reward"),
    (lambda: replace(SOUND, goals=("reward", "reward")), "goals", "name it once"),
    (lambda: replace(SOUND, goals=("error_rate",)), "goals", "make it a guardrail"),
    (lambda: replace(SOUND, goals=("quality",)), "guardrails", "one goal or one guardrail"),
    (lambda: replace(SOUND, alpha=0.0), "alpha", "such as 0.05"),
    (lambda: replace(SOUND, alpha=float("nan")), "alpha", "such as 0.05"),
    (lambda: replace(SOUND, alpha=1e-300), "alpha", "such as 0.05"),
    (lambda: replace(SOUND, version=10**12), "version", "up to"),
    (lambda: replace(SOUND, smallest_effect=0.0), "smallest_effect", "that would matter"),
    (lambda: replace(SOUND, smallest_effect=1e-200), "smallest_effect", "that would matter"),
    (lambda: replace(SOUND, winsorise=99.0), "winsorise", "such as 0.999"),
    (lambda: replace(SOUND, unit=Unit.BLOCK), "blocks", "length and burn-in"),
    (lambda: replace(SOUND, blocks=BLOCKS), "blocks", "no other unit"),
    (
        lambda: replace(
            SOUND, unit=Unit.BLOCK, blocks=BLOCKS, variants=(Variant("a", 0.4), Variant("b", 0.6))
        ),
        "variants", "share of 0.5",
    ),
    (
        lambda: replace(SOUND, unit=Unit.BLOCK, blocks=BLOCKS, goals=("latency_p95",)),
        "goals", "a mean, a rate or a ratio",
    ),
    (
        lambda: replace(
            SOUND, unit=Unit.BLOCK, blocks=BLOCKS, guardrails=(Guardrail("ttft_p95"),)
        ),
        "guardrails", "a mean, a rate or a ratio",
    ),
    (lambda: Guardrail("tokens_out"), "guardrails.tokens_out.direction", "up or down"),
    (lambda: Guardrail("quality", Direction.DOWN), "guardrails.quality.direction", "say up"),
    (lambda: Guardrail("quality", tolerance=-0.1), "guardrails.quality.tolerance", "0 or more"),
    (lambda: Guardrail("latency_p59"), "guardrails", "did you mean latency_p95?"),
    (lambda: Variant("a", 1.0), "variants.a.share", "above 0 and below 1"),
    (lambda: Variant("a", float("nan")), "variants.a.share", "above 0 and below 1"),
    (lambda: Variant("a", 0.5, (("x", "1"), ("x", "2"))), "variants.a.settings", "keep one"),
    (lambda: Allocation("a", 5, 5), "allocations.a", "first < stop"),
    (lambda: Allocation("a", 0, BUCKETS + 1), "allocations.a", "<= 10000"),
    (
        lambda: Layer("l", (Allocation("a", 0, 600), Allocation("b", 500, 900))),
        "layers.l.allocations", "let b start at 600",
    ),
    (
        lambda: Layer("l", (Allocation("a", 0, 5), Allocation("a", 5, 9))),
        "layers.l.allocations", "give it one range",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("make", "field", "mend"), REFUSED)
def test_what_cannot_be_analysed_is_refused(make: Make, field: str, mend: str) -> None:
    with pytest.raises(DesignError) as told:
        make()
    assert told.value.field == field and mend in told.value.mend
    assert str(told.value).startswith(f"{field}: ")
    assert isinstance(told.value, ExperimentError)


@settings(derandomize=True)
@given(st.lists(st.integers(1, 50), min_size=2, max_size=8))
def test_shares_that_sum_to_one_but_for_rounding_stand(parts: list[int]) -> None:
    shares = [part / sum(parts) for part in parts]
    variants = tuple(Variant(f"v{at}", share) for at, share in enumerate(shares))
    assert replace(SOUND, variants=variants).variants == variants


@settings(derandomize=True, max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 99), st.integers(1, 30)), min_size=1, max_size=6))
def test_a_layer_stands_just_when_no_bucket_is_given_twice(ranges: list[tuple[int, int]]) -> None:
    given_out = [bucket for first, size in ranges for bucket in range(first, first + size)]
    allocations = tuple(
        Allocation(f"e{at}", first, first + size) for at, (first, size) in enumerate(ranges)
    )
    if len(set(given_out)) == len(given_out):
        assert Layer("l", allocations).allocations == allocations
    else:
        with pytest.raises(DesignError, match="share the buckets"):
            Layer("l", allocations)


def test_every_metric_can_be_asked_for() -> None:
    for slug, row in METRICS.items():
        guardrail = Guardrail(slug, row.direction or Direction.DOWN)
        assert guardrail.better in Direction
        if row.role is Role.GOAL:
            assert replace(SOUND, goals=(slug,), guardrails=()).goals == (slug,)


def test_what_a_variant_can_touch_is_refused_as_a_covariate_with_the_reason() -> None:
    with pytest.raises(DesignError, match="before the assignment: the version that a variant sets"):
        replace(SOUND, covariate="predicted_quality")
