"""What a benchmark will ask: deployments, prompts, the order, and what that may cost and take."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.benchmarking.prompts import Item
from service.routing.eligibility import ANSWER_RESERVE

FEATURE = "benchmark"  # the label that its requests have in the log
WARM_UP = "Say ready."
WARM_TOKENS = 8
JUDGE_TOLD = 800  # tokens of a judge's instructions, on the safe side
JUDGE_SAYS = 16  # tokens of its answer: a code and a letter
SHARE_OF_MOST = 0.4  # of max_tokens, that answers are taken to have where nothing is known


@dataclass(frozen=True, slots=True)
class Candidate:
    """A deployment as the service tells of it."""

    name: str
    prior_quality: float
    prior_latency_s: float
    input_usd_per_mtok: float
    output_usd_per_mtok: float

    def cost_usd(self, tokens_in: float, tokens_out: float) -> float:
        """By its list price."""
        whole = tokens_in * self.input_usd_per_mtok + tokens_out * self.output_usd_per_mtok
        return whole / 1e6


@dataclass(frozen=True, slots=True)
class Design:
    """All that fixes which trials there are and in which order; kept with the run."""

    run_id: str
    prompts: str  # the digest of the file
    source: str  # its name, for people
    tasks: tuple[str, ...]
    deployments: tuple[str, ...]
    prompt_ids: tuple[str, ...]
    repeats: int
    seed: int
    url: str

    @property
    def digest(self) -> str:
        """What another run must share to be the same but for its id."""
        told = [self.prompts, self.tasks, self.deployments, self.prompt_ids, self.repeats,
                self.seed, self.url]  # fmt: skip
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Ask:
    """One trial to be: which prompt, of whom, for the how many-th time."""

    prompt: str
    deployment: str
    turn: int

    @property
    def key(self) -> str:
        """What tells it from all others of its run."""
        return f"{self.prompt}|{self.deployment}|{self.turn}"


@dataclass(frozen=True, slots=True)
class Estimate:
    """What it is expected to cost and take, and what it can cost at most."""

    calls: int
    usd: float
    most_usd: float
    seconds: float


def order(design: Design) -> tuple[Ask, ...]:
    """The trials: prompts shuffled anew each turn, and each prompt asked of all deployments, in a
    shuffled order of their own, before the next one. So whatever the hour does, it does to all.
    """
    draw = random.Random(design.seed)
    made = []
    for turn in range(design.repeats):
        prompts = list(design.prompt_ids)
        draw.shuffle(prompts)
        for prompt in prompts:
            whom = list(design.deployments)
            draw.shuffle(whom)
            made += [Ask(prompt, each, turn) for each in whom]
    return tuple(made)


def reserve_usd(item: Item, who: Candidate) -> float:
    """What one call can cost at most: a full answer, and the prompt counted generously, twice, as
    a call that failed may be made once more.
    """
    return 2.0 * who.cost_usd(item.tokens_in, item.max_tokens)


def judge_usd(item: Item, judges: Sequence[Candidate], answer: float, says: int) -> float:
    """What judging an answer of so many tokens costs with the dearest judge, who is asked twice and
    says so many tokens; nothing where no judge is needed.
    """
    if item.check.scorer != "rubric":
        return 0.0
    rubric = len(str(item.check.reference or "").encode()) / 3
    told = JUDGE_TOLD + item.tokens_in + rubric + answer
    return max((2.0 * each.cost_usd(told, says) for each in judges), default=0.0)


def judge_reserve_usd(item: Item, judges: Sequence[Candidate]) -> float:
    """What judging one answer can cost at most: a full answer, whose line ends and quotation marks
    count double in a JSON text, and a judge who talks as long as the service reserves for.
    """
    return judge_usd(item, judges, 2.0 * item.max_tokens, ANSWER_RESERVE)


def estimate(
    asks: Sequence[Ask],
    items: Mapping[str, Item],
    candidates: Mapping[str, Candidate],
    concurrency: int,
    judges: Sequence[Candidate] = (),
) -> Estimate:
    """By list prices and the plan's latencies, with the judging of answers that need it."""
    usd = most = seconds = 0.0
    for each in asks:
        item, who = items[each.prompt], candidates[each.deployment]
        answer = SHARE_OF_MOST * item.max_tokens
        usd += who.cost_usd(item.tokens_in, answer) + judge_usd(item, judges, answer, JUDGE_SAYS)
        most += reserve_usd(item, who) + judge_reserve_usd(item, judges)
        seconds += who.prior_latency_s
    return Estimate(len(asks), usd, most, seconds / max(1, concurrency))


def design_json(design: Design) -> dict[str, Any]:
    """A design as JSON holds it."""
    return {
        "run_id": design.run_id, "prompts": design.prompts, "source": design.source,
        "tasks": list(design.tasks), "deployments": list(design.deployments),
        "prompt_ids": list(design.prompt_ids), "repeats": design.repeats, "seed": design.seed,
        "url": design.url,
    }  # fmt: skip


def design_of(content: Mapping[str, Any]) -> Design:
    """A design from JSON; raises KeyError or TypeError where it is none."""
    return Design(
        str(content["run_id"]), str(content["prompts"]), str(content["source"]),
        tuple(content["tasks"]), tuple(content["deployments"]), tuple(content["prompt_ids"]),
        int(content["repeats"]), int(content["seed"]), str(content["url"]),
    )  # fmt: skip
