"""A day of a made-up past as rows of the log: decisions, attempts, outcomes, feedback, updates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.offline.past_calls import BLAMED, KINDS, STATUS, TIMEOUT, Calls, Ends
from experiments.offline.past_cast import Cast
from experiments.offline.past_choices import MODES, OUT, RANDOMISED, STICKY, Choices
from experiments.offline.past_columns import (
    Bytes,
    Columns,
    Flags,
    Hashes,
    Ids,
    Lists,
    Numbers,
    Reals,
    Whole,
    Words,
    hashes,
    nulls,
    ragged,
    word,
)
from experiments.offline.past_policy import tokens_sent
from experiments.offline.past_ratings import Ratings
from experiments.offline.past_traffic import Turns, Visits

ROLES = ("first", "fallback")
_REASONS = ("policy", "held_by_session", "named_by_caller", "forced_by_operator", "exploration")


@dataclass(frozen=True, slots=True)
class Marks:
    """What decisions are marked with: the policy's name, the versions' ids, the overrides' ids,
    the trials (id, variants, shares), and the checkpoints: times, of which version, ids.
    """

    policy: str
    versions: tuple[str, ...]
    overrides: tuple[str, ...]
    trials: tuple[tuple[str, tuple[str, ...], tuple[float, ...]], ...]
    checkpoint_us: Whole
    checkpoint_of: Whole
    checkpoints: tuple[str, ...]

    def standing_on(self, version: Whole, at_us: Whole) -> Whole:
        """The place of the last checkpoint of each version before each time."""
        found = np.zeros(len(version), np.int64)
        for each in np.unique(version).tolist():
            mine = np.flatnonzero(self.checkpoint_of == each)
            rows = version == each
            place = np.searchsorted(self.checkpoint_us[mine], at_us[rows], side="right") - 1
            found[rows] = mine[np.maximum(place, 0)]
        return found


def decisions(
    cast: Cast, marks: Marks, parts: tuple[Visits, Turns, Choices], hashed: Bytes
) -> Columns:
    """The table ``decisions``, but for the numbers that only the log knows."""
    visits, turns, made = parts
    asked, count = made.asked, len(made.chosen)
    named = visits.named[turns.visit]
    other = asked.task == len(cast.tasks) - 1
    source = np.where(named, 0, np.where(other, 2, 1))
    drawn = made.mode == RANDOMISED
    shares, eligible = made.shares, made.eligible
    scored = eligible & drawn[:, None]
    best = made.propensity >= shares.max(axis=1)
    reason = np.where(drawn & ~best, 4, made.mode)
    scores = made.scores
    return {
        "id": Ids(made.ids),
        "ts": Numbers(asked.at_us),
        **_caller(cast, visits, turns),
        "task": Words(asked.task, cast.tasks),
        "task_confidence": Numbers((source != 2).astype(float)),
        "task_source": Words(source, ("caller", "rule", "none")),
        "prompt_hash": Hashes(hashed),
        "features": Lists(
            np.full(count, cast.prompts.vectors.shape[2]),
            Numbers(cast.prompts.features(asked.task, asked.prompt, asked.turn).ravel()),
        ),
        "tokens_in": Numbers(tokens_sent(cast, asked)),
        "tokens_out_limit": Numbers(cast.prompts.limit[asked.task, asked.prompt]),
        "cost_dial": Numbers(asked.dial),
        "stream": Numbers(visits.stream[turns.visit]),
        "eligible": ragged(_places(eligible), eligible, cast.names),
        "propensities": ragged(shares, eligible),
        "quality": ragged(scores.quality, scored),
        "cost_usd": ragged(scores.cost_usd, scored),
        "latency_s": ragged(scores.latency_s, scored),
        "error_rate": ragged(scores.error_rate, scored),
        "utility": ragged(scores.utility, scored),
        "disqualified": ragged(_places(eligible), ~eligible, cast.names),
        "disqualified_by": ragged(made.out, ~eligible, OUT),
        "draw": Numbers(np.where(drawn, made.number, 0.0)),
        "deployment": Words(made.chosen, cast.names),
        "propensity": Numbers(made.propensity),
        "mode": Words(made.mode, MODES),
        "reason": Words(reason, _REASONS),
        "policy": word(marks.policy, count),
        "version_id": Words(made.version, marks.versions),
        "checkpoint_id": Words(marks.standing_on(made.version, asked.at_us), marks.checkpoints),
        "override_id": Words(made.will, marks.overrides),
        "session_decision_id": Ids(made.ids[made.first], made.first >= 0),
        **_assigned(marks, made),
    }


def _places(mask: Flags) -> Whole:
    return np.broadcast_to(np.arange(mask.shape[1]), mask.shape)


def _caller(cast: Cast, visits: Visits, turns: Turns) -> Columns:
    visit = turns.visit
    tenant, asks_by = visits.tenant[visit], visits.asks_by[visit]
    labels = tuple(dict.fromkeys(tag for each in cast.tenants for tag in each.tags))
    tagged = np.array([[tag in each.tags for tag in labels] for each in cast.tenants], bool)
    mask = tagged[tenant].reshape(len(visit), len(labels))
    tier = np.array([each.tier for each in cast.tenants])
    return {
        "key_id": Words(tenant, tuple(each.key_id for each in cast.tenants)),
        "tenant": Words(tenant, tuple(each.name for each in cast.tenants)),
        "tier": Words(tier[tenant], cast.tiers),
        "feature": Words(visits.feature[visit], cast.features),
        "tags": ragged(_places(mask), mask, labels),
        "unit": Hashes(visits.unit[visit], asks_by > 0),
        "session": Hashes(visits.unit[visit], asks_by == 2),
    }


def prompt_hashes(cast: Cast, made: Choices, rng: np.random.Generator) -> Bytes:
    """Those that are asked word for word, and first, have the prompt's; the others their own."""
    asked, prompts = made.asked, cast.prompts
    found = hashes(len(made.chosen), rng)
    same = prompts.repeated[asked.task, asked.prompt] & (asked.turn == 0)
    found[same] = prompts.hashes[asked.task[same], asked.prompt[same]]
    return found


def _assigned(marks: Marks, made: Choices) -> Columns:
    """The first of each alone, then the lists; a request is in one experiment at most."""
    inside = made.trial >= 0
    count, rows = len(inside), np.flatnonzero(inside)
    names = tuple(name for name, _, _ in marks.trials)
    variants = tuple(name for _, of, _ in marks.trials for name in of)
    first = np.cumsum([0, *(len(of) for _, of, _ in marks.trials)])[:-1]
    shares = np.array([share for _, _, of in marks.trials for share in of])
    place = np.where(inside, first[made.trial] + made.variant, -1)
    lengths = inside.astype(np.int64)
    units = [made.units[row] for row in rows.tolist()]
    return {
        "experiment": Words(made.trial, names),
        "variant": Words(place, variants),
        "variant_probability": Numbers(np.where(inside, shares[place], 0.0), inside),
        "experiments": Lists(lengths, Words(made.trial[rows], names)),
        "variants": Lists(lengths, Words(place[rows], variants)),
        "variant_probabilities": Lists(lengths, Numbers(shares[place[rows]])),
        "units": Lists(lengths, Words(np.arange(len(rows)), tuple(units)))
        if units
        else Lists(np.zeros(count, np.int64), Words(np.zeros(0, np.int64), ())),
    }


def attempts(cast: Cast, made: Choices, calls: Calls) -> Columns:
    """The table ``attempts``."""
    providers = tuple(dict.fromkeys(each.provider for each in cast.members))
    provider = np.array([providers.index(each.provider) for each in cast.members])
    return {
        "decision_id": Ids(made.ids[calls.row]),
        "number": Numbers(calls.number),
        "ts": Numbers(calls.ended_us),
        "deployment": Words(calls.deployment, cast.names),
        "provider": Words(provider[calls.deployment], providers),
        "role": Words((calls.number > 1).astype(np.int64), ROLES),
        "status": Numbers(STATUS[calls.kind]),
        "error_kind": Words(calls.kind, KINDS),
        "ttft_s": Numbers(calls.ttft_s, ~np.isnan(calls.ttft_s)),
        "latency_s": Numbers(calls.latency_s),
        "tokens_in": Numbers(calls.tokens_in),
        "tokens_out": Numbers(calls.tokens_out),
        "cached_tokens": Numbers(calls.cached),
        "cost_micro_usd": Numbers(calls.cost),
        "estimated": Numbers(calls.estimated),
    }


def outcomes(cast: Cast, made: Choices, ends: Ends) -> Columns:
    """The table ``outcomes``."""
    mode = np.where(ends.fell_back, len(MODES), made.mode)
    return {
        "decision_id": Ids(made.ids),
        "ts": Numbers(ends.at_us),
        "deployment": Words(ends.deployment, cast.names),
        "mode": Words(mode, (*MODES, "fallback")),
        "status": Numbers(ends.status),
        "error_kind": Words(ends.kind, KINDS),
        "latency_s": Numbers(ends.latency_s),
        "ttft_s": Numbers(ends.ttft_s, ~np.isnan(ends.ttft_s)),
        "overhead_s": Numbers(ends.overhead_s),
        "attempts": Numbers(ends.attempts),
        "tokens_in": Numbers(ends.tokens_in),
        "tokens_out": Numbers(ends.tokens_out),
        "cached_tokens": Numbers(ends.cached),
        "cost_micro_usd": Numbers(ends.cost),
        "estimated": Numbers(ends.estimated),
    }


def feedback(cast: Cast, tenant: Whole, parts: tuple[Choices, Ends, Ratings]) -> Columns:
    """The table ``feedback``. ``tenant``: of every request; who rates does it with its key."""
    made, ends, given = parts
    count, told = len(given.row), cast.told
    metrics = (told.metric, told.judged or told.metric)
    scales = np.array([told.scale == "stars", told.judged_scale == "stars"])
    stars = scales[given.judged.astype(np.int64)]
    keys = (*(each.key_id for each in cast.tenants), "judge")
    author = np.where(given.judged, len(cast.tenants), tenant[given.row])
    return {
        "id": Ids(given.ids),
        "decision_id": Ids(made.ids[given.row]),
        "ts": Numbers(given.at_us),
        "metric": Words(given.judged.astype(np.int64), metrics),
        "kind": Words(given.judged.astype(np.int64), ("user", "judge")),
        "author": Words(author, keys),
        "value": Numbers(np.where(stars, 1.0 + 4.0 * given.quality, given.quality)),
        "label": nulls(count),
        "quality": Numbers(given.quality),
        "deployment": Words(ends.deployment[given.row], cast.names),
        "revises": Ids(given.ids[given.revises], given.revises >= 0),
        "idempotency_key": nulls(count),
        "reason": word("", count),
        "tags": Lists(np.zeros(count, np.int64), Words(np.zeros(0, np.int64), ())),
    }


def updates(
    cast: Cast, parts: tuple[Choices, Calls, Ends, Ratings], versions: tuple[Words, Words]
) -> tuple[Columns, Columns]:
    """The table ``updates``: what the calls taught, and what the ratings did. ``versions``: the
    live ones when the requests ended, and when the ratings came.
    """
    made, calls, ends, given = parts
    last = ends.last[calls.row] == np.arange(len(calls.row))
    silent = (calls.kind >= 0) & ~BLAMED[calls.kind]
    kept = np.flatnonzero(~silent | (last & (ends.cost[calls.row] > 0)))
    row, kind = calls.row[kept], calls.kind[kept]
    told, answered = _nothing(len(kept)), kind < 0
    told |= {
        "ts": Numbers(ends.at_us[row]),
        "decision_id": Ids(made.ids[row]),
        "decided_at": Numbers(made.asked.at_us[row]),
        "arm": Words(calls.deployment[kept], cast.names),
        "kind": word("outcome", len(kept)),
        "cost_usd": Numbers(ends.cost[row] / 1e6, last[kept]),
        "latency_s": Numbers(calls.latency_s[kept], answered | (kind == TIMEOUT)),
        "tokens_out": Numbers(calls.tokens_out[kept], answered),
        "failed": Numbers(~answered, ~silent[kept]),
        "version_id": Words(versions[0].codes[row], versions[0].names),
    }
    return told, _taught(cast, (made, ends, given), versions[1])


def _taught(cast: Cast, parts: tuple[Choices, Ends, Ratings], version: Words) -> Columns:
    made, ends, given = parts
    mode, before = made.mode[given.row], np.full(len(given.row), np.nan)
    revised = given.revises >= 0
    before[revised] = given.quality[given.revises[revised]]
    teaches = ((mode == RANDOMISED) | (mode == STICKY)) & ~given.judged
    kept = np.flatnonzero(teaches & (given.quality != before))
    row = given.row[kept]
    told = _nothing(len(kept))
    told |= {
        "ts": Numbers(given.at_us[kept]),
        "decision_id": Ids(made.ids[row]),
        "decided_at": Numbers(made.asked.at_us[row]),
        "arm": Words(ends.deployment[row], cast.names),
        "kind": Words(revised[kept].astype(np.int64), ("rating", "revision")),
        "quality": Numbers(given.quality[kept]),
        "revises_quality": Numbers(before[kept], revised[kept]),
        "feedback_id": Ids(given.ids[kept]),
        "version_id": Words(version.codes[kept], version.names),
    }
    return told


def _nothing(count: int) -> Columns:
    """All that an update may say, unsaid."""
    void: Reals = np.zeros(count)
    unknown = np.zeros(count, bool)
    none = Numbers(void, unknown)
    return {
        "quality": none, "revises_quality": none, "cost_usd": none, "latency_s": none,
        "tokens_out": Numbers(void.astype(np.int64), unknown), "failed": Numbers(unknown, unknown),
        "feedback_id": Ids(np.zeros((count, 16), np.uint8), unknown), "model_id": nulls(count),
        "weight": Numbers(void + 1.0), "revises_weight": Numbers(void + 1.0),
    }  # fmt: skip
