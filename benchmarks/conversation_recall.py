"""How many of the facts that were said in a conversation are still there once it was compacted.

    python -m benchmarks.conversation_recall [--part dev|test|later] [--conversations N]

Conversations are made by a seed from our own sentences (`data/conversation_facts.tsv`, and lines
that say nothing of weight between them). Only what is no longer there word for word counts: a
fact in a turn that is still sent is no feat. The words that sentences are weighed by were chosen
on the part `dev`; a first look at `test` (0.82) showed that too little was kept, and which notes
are kept was changed; `later` was written after that, and nothing was changed by it.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import dataclass
from pathlib import Path

from service.domain.conversations import Conversation, Turn
from service.orchestration.conversation.compaction import NewTurn, compose, sum_tokens
from service.orchestration.conversation.extracting import of_turn

DATA = Path(__file__).parent.parent / "data"
NEW = NewTurn((), (b'{"role":"user","content":"And now?"}',), True)


@dataclass(frozen=True)
class Recall:
    """Of the facts whose turns were left out: how many there were, how many are still told of; and
    those that are not. ``kept_share``: tokens sent of the tokens that were said.
    """

    out: int
    told: int
    lost: tuple[str, ...]
    kept_share: float

    @property
    def share(self) -> float:
        """The recall."""
        return self.told / self.out


def facts(part: str) -> list[tuple[str, str, str]]:
    """Who says it, the words that must be found again, and the sentence."""
    lines = (DATA / "conversation_facts.tsv").read_text("utf-8").splitlines()
    rows = [line.split("\t") for line in lines]
    return [(who, key, said) for of, who, key, said in rows if of == part]


def filler() -> dict[str, list[str]]:
    """What may be said without saying anything, by whom."""
    found: dict[str, list[str]] = {}
    for line in (DATA / "conversation_filler.tsv").read_text("utf-8").splitlines():
        who, said = line.split("\t")
        found.setdefault(who, []).append(said)
    return found


def conversation(
    chance: random.Random, said: list[tuple[str, str, str]], turns: int
) -> tuple[Conversation, dict[int, list[str]]]:
    """A conversation in which these facts are said, each at some turn; and at which."""
    idle = filler()
    at: dict[int, list[str]] = {}
    placed: dict[int, list[tuple[str, str, str]]] = {}
    for fact in said:
        number = chance.randrange(turns)
        placed.setdefault(number, []).append(fact)
        at.setdefault(number, []).append(fact[1])
    made = []
    for number in range(turns):
        words = {who: [chance.choice(lines)] for who, lines in idle.items()}
        messages: list[dict[str, object]] = []
        for who, _, sentence in placed.get(number, []):
            if who == "tool":
                call = {"id": f"c{number}", "type": "function",
                        "function": {"name": "look", "arguments": "{}"}}  # fmt: skip
                messages += [
                    {"role": "assistant", "content": None, "tool_calls": [call]},
                    {"role": "tool", "tool_call_id": f"c{number}", "content": sentence},
                ]
            else:
                words[who].insert(chance.randrange(len(words[who]) + 1), sentence)
        whole = [
            {"role": "user", "content": " ".join(words["user"])}, *messages,
            {"role": "assistant", "content": " ".join(words["assistant"])},
        ]  # fmt: skip
        raw = tuple(json.dumps(each).encode() for each in whole)
        found = of_turn(raw)
        made.append(Turn(number + 1, 0, str(number), "d", raw, sum_tokens(raw), True, found.notes))
    return Conversation("c", "o", turns=tuple(made)), at


def measured(
    part: str, conversations: int = 30, turns: int = 60, budget: int = 2_000, seed: int = 1
) -> Recall:
    """The recall over some conversations, each with twelve facts, at a budget of tokens."""
    chance, everything = random.Random(seed), facts(part)
    out = told = sent = whole = 0
    lost: list[str] = []
    for _ in range(conversations):
        kept, at = conversation(chance, chance.sample(everything, 12), turns)
        made = compose(kept, NEW, budget)
        sent += made.tokens
        whole += sum(turn.tokens for turn in kept.turns)
        text = b"".join(made.messages).decode()
        text = text.replace('\\"', '"').replace("\\\\", "\\")
        for number in range(made.cut):
            for key in at.get(number, []):
                out += 1
                if key.casefold() in text.casefold():
                    told += 1
                else:
                    lost.append(key)
    return Recall(out, told, tuple(lost), sent / whole)


def main() -> None:
    """Measure, and print a line a budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("dev", "test", "later"), default="later")
    parser.add_argument("--conversations", type=int, default=100)
    asked = parser.parse_args()
    for budget in (1_000, 1_500, 2_000, 3_000):
        found = measured(asked.part, asked.conversations, budget=budget)
        print(
            f"{asked.part}: budget {budget}, {found.kept_share:.0%} of the tokens sent: recall "
            f"{found.share:.3f} of {found.out} facts left out"
            + (f"; lost most often: {_often(found.lost)}" if found.lost else "")
        )


def _often(lost: tuple[str, ...]) -> str:
    ranked = sorted(set(lost), key=lambda key: -lost.count(key))
    return ", ".join(f"{key} ({lost.count(key)})" for key in ranked[:8])


if __name__ == "__main__":
    main()
