"""Who and what a made-up past is made of: deployments, tasks, callers, prompts, and their truth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from experiments.offline.past_columns import Flags, Reals, Whole
from learning.features import Featurizer, RequestShape, inspect

PROMPTS = 160  # of every task
REPEATED = 0.12  # of the prompts come word for word, over and over
MICRO = 1_000_000
PER_TURN = 160  # tokens that a turn adds to what is sent

_PATTERNS = (
    "Write a Python function that {} the {} and returns it.",
    "Calculate {} percent of {} and show the steps.",
    "Summarise this text about {} for a reader who knows {}.",
    "A customer asks about {} and is unhappy with {}; write an answer.",
    "Describe {} to a child who likes {}.",
    "Rewrite the paragraph on {} so that it is about {}.",
)
_NOUNS = (
    "rivers", "gardens", "old maps", "trains", "bread", "winter", "chess", "lanterns", "invoices",
    "orchards", "letters", "tides", "violins", "markets", "storms", "bridges", "kites", "refunds",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Member:
    """A deployment: prices in micro-dollars per million tokens, time to the first token."""

    name: str
    provider: str
    price_in: int
    price_out: int
    latency_s: float


@dataclass(frozen=True, slots=True)
class Tenant:
    """A caller's organisation: its share of the traffic, tier (a place), key, features, tags."""

    name: str
    share: float
    tier: int
    key_id: str
    features: tuple[int, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """What the plan says of quality: the metric, its scale (``unit`` or ``stars``), a second one
    for judges (empty: none), and what a point is worth in dollars and in seconds.
    """

    metric: str
    scale: str
    judged: str
    judged_scale: str
    worth_usd: float
    patience_s: float


@dataclass(frozen=True)
class Cast:
    """Everything that does not change with time.

    ``dials``: what a dollar counts, by tier. ``allowed``: who may answer by the plan's rules,
    [tasks, prompts, tiers, K]. ``quality``: the truth for the easiest prompt, [K, tasks];
    ``slope``: what the hardest prompt loses, [K].
    """

    members: tuple[Member, ...]
    tasks: tuple[str, ...]
    tiers: tuple[str, ...]
    dials: Reals
    told: Told
    floor: float
    tenants: tuple[Tenant, ...]
    features: tuple[str, ...]
    prompts: Prompts
    allowed: Flags
    quality: Reals
    slope: Reals
    rating_rate: Reals

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The deployments' names."""
        return tuple(each.name for each in self.members)

    @cached_property
    def ranks(self) -> Whole:
        """The place of each deployment by price, the cheapest 0."""
        return ranks_of(self.members)

    @cached_property
    def price(self) -> Whole:
        """Micro-dollars per million tokens in and out, as they are at the end, [K, 2]."""
        return np.array([(each.price_in, each.price_out) for each in self.members], np.int64)

    @cached_property
    def first_token_s(self) -> Reals:
        """The median time to the first token, [K]."""
        return np.array([each.latency_s for each in self.members])

    @cached_property
    def token_s(self) -> Reals:
        """Seconds a token, [K]: the dearer, the slower."""
        return 0.002 + 0.004 * self._spread

    @cached_property
    def verbosity(self) -> Reals:
        """How long a deployment's answers are beside the task's, [K]."""
        return 0.8 + 0.4 * self._spread

    @cached_property
    def errors(self) -> Reals:
        """The usual share of failed calls, [K]."""
        found: Reals = 0.004 + 0.004 * np.abs(np.sin(1.0 + np.arange(len(self.members))))
        return found

    @property
    def _spread(self) -> Reals:
        return self.ranks / max(len(self.members) - 1, 1)

    def quality_of(self, task: Whole, difficulty: Reals) -> Reals:
        """The true mean quality of every deployment, [n, K]."""
        mean = self.quality.T[task] - difficulty[:, None] * self.slope
        found: Reals = np.clip(mean, 0.02, 0.98)
        return found


@dataclass(frozen=True, slots=True)
class Prompts:
    """The prompts of every task: [tasks, prompts] each; ``vectors`` [tasks, prompts, features].

    ``share``: how often each is asked; ``tokens_out``: the mean length of an answer;
    ``repeated``: asked word for word, so that a cache could answer.
    """

    vectors: NDArray[np.float32]
    shapes: tuple[tuple[RequestShape, ...], ...]
    names: tuple[str, ...]
    share: Reals
    difficulty: Reals
    tokens_in: Whole
    tokens_out: Reals
    limit: Whole
    repeated: Flags
    hashes: NDArray[np.uint8]

    def features(self, task: Whole, prompt: Whole, turn: Whole) -> NDArray[np.float32]:
        """The features of requests: those of the prompt, with the turns so far and their tokens."""
        found = self.vectors[task, prompt]
        found[:, self.names.index("log_turns")] = np.log1p(turn)
        tokens = self.tokens_in[task, prompt] + PER_TURN * turn
        found[:, self.names.index("log_tokens_in")] = np.log1p(tokens) / 4.0 - 1.2
        return found


def ranks_of(members: tuple[Member, ...]) -> Whole:
    """Places by price, the cheapest 0."""
    order = np.argsort([each.price_in + each.price_out for each in members], kind="stable")
    found: Whole = np.argsort(order, kind="stable").astype(np.int64)
    return found


def prompts_of(tasks: tuple[str, ...], seed: int) -> Prompts:
    """The prompts of all tasks, our own text; long ones are rarer, heavy-tailed in tokens."""
    rng = np.random.default_rng([seed, 1])
    featurizer = Featurizer(tasks)
    shape = len(tasks), PROMPTS
    tokens_in = np.clip(rng.lognormal(5.6, 0.9, shape), 24, 12_000).astype(np.int64)
    limit = rng.choice([0, 256, 1024, 2048], shape, p=[0.5, 0.15, 0.25, 0.1]).astype(np.int64)
    difficulty = np.round(rng.beta(2.0, 3.0, shape), 3)
    mean_out = np.geomspace(380.0, 90.0, len(tasks))[:, None] * rng.lognormal(0.0, 0.3, shape)
    vectors = np.zeros((*shape, featurizer.dimension), np.float32)
    shapes: list[tuple[RequestShape, ...]] = []
    for at, name in enumerate(tasks):
        row = []
        for number in range(PROMPTS):
            text = _text(at, number, float(difficulty[at, number]))
            told = RequestShape(
                text, int(tokens_in[at, number]), system=number % 3 == 0,
                tokens_out_limit=int(limit[at, number]),
            )  # fmt: skip
            vectors[at, number] = featurizer.vector(inspect(told), name)
            row.append(told)
        shapes.append(tuple(row))
    zipf = 1.0 / np.arange(1.0, PROMPTS + 1.0) ** 0.6
    return Prompts(
        vectors, tuple(shapes), featurizer.names, np.tile(zipf / zipf.sum(), (len(tasks), 1)),
        difficulty, tokens_in, mean_out, limit, rng.random(shape) < REPEATED,
        rng.integers(0, 256, (*shape, 16), dtype=np.uint8),
    )  # fmt: skip


def _text(task: int, number: int, difficulty: float) -> str:
    """A harder prompt is a longer one: so difficulty shows in the features."""
    one, two = _NOUNS[number % len(_NOUNS)], _NOUNS[(number * 7 + 3) % len(_NOUNS)]
    if task % len(_PATTERNS) == 1:
        one, two = str(3 + number % 90), str(100 + number * 7)
    text = _PATTERNS[task % len(_PATTERNS)].format(one, two)
    extra = [_NOUNS[(number + at * 5) % len(_NOUNS)] for at in range(round(90 * difficulty))]
    return f"{text} Keep in mind: {', '.join(extra)}." if extra else text


def truth_of(members: tuple[Member, ...], tasks: int, seed: int) -> tuple[Reals, Reals]:
    """The quality of every deployment at every task, [K, tasks]; what hard prompts lose, [K]."""
    spread = ranks_of(members) / max(len(members) - 1, 1)
    liking = np.random.default_rng([seed, 2]).uniform(-0.08, 0.08, (len(members), tasks))
    quality = np.round(0.66 + 0.26 * spread[:, None] ** 0.8 + liking, 4)
    return quality, np.round(0.42 - 0.30 * spread, 4)
