"""Makes the default taxonomy's classifier: templates to prompts, prompts to the fitted file.

    python -m benchmarks.taxonomy_default [--check]

Reads the templates and the prompts written by hand in data/taxonomy (all but test.tsv); writes
data/taxonomy/prompts.jsonl and the two files in learning/taxonomies. The same input gives the same
files, byte for byte, on one machine; with --check nothing is written, and it is told whether they
would be the same. The figures on test.tsv, of which nothing was fitted or tuned, come last.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from pathlib import Path

import numpy as np
import yaml

from experiments.statistics.selective import upper_bound
from learning.snapshot import freeze
from learning.taxonomies import default
from learning.taxonomy import THRESHOLD, Classifier, LabelledRows
from learning.taxonomy_fit import calibration_error, fit

DATA = Path(__file__).resolve().parents[1] / "data" / "taxonomy"
SEED = 20261126
FILLS = 7
WRITTEN = ("handwritten.tsv", "handwritten_later.tsv")
WRITTEN_WEIGH = 8.0  # each is a wish of its own, as no filled template is
SLOT = re.compile(r"(?<!\{)\{(\w+)\}(?!\})")
BEFORE = ("Please ", "Can you ", "Hi, ", "Could you please ", "I need you to ", "Hello! ", "pls ")
AFTER = (" Thanks!", " Thank you.", " please", " Be brief.", " It is urgent.")


def expanded(templates: Path) -> list[dict[str, object]]:
    """Every template filled a few times; half of them as they are, the others reworded a little."""
    found = yaml.safe_load(templates.read_text("utf-8"))
    slots = found["slots"]
    rows: list[dict[str, object]] = []
    number = 0
    for task, patterns in found["tasks"].items():
        for pattern in patterns:
            chance = np.random.default_rng([SEED, number])
            texts: dict[str, None] = {}
            for turn in range(FILLS):
                texts[_reworded(_filled(pattern, slots, chance), turn, chance)] = None
            rows += [
                {"task": task, "template": number, "text": text, "weight": 1.0} for text in texts
            ]
            number += 1
    for name in WRITTEN:  # two wordings of one wish are held out together
        pairs: dict[str, int] = {}
        for task, pair, text in handwritten(name):
            at = pairs.setdefault(pair, number) if pair else number
            number += 1
            rows.append({"task": task, "template": at, "text": text, "weight": WRITTEN_WEIGH})
    return rows


def _filled(pattern: str, slots: dict[str, list[str]], chance: np.random.Generator) -> str:
    text = SLOT.sub(lambda m: str(chance.choice(slots[m[1]])), pattern)
    return text.replace("{{", "{").replace("}}", "}")


def _reworded(text: str, turn: int, chance: np.random.Generator) -> str:
    """As people write: with and without courtesies, capitals, stops."""
    if turn < 3:
        return text
    if turn in (3, 5):
        before = str(chance.choice(BEFORE))
        text = before + text[0].lower() + text[1:]
    if turn in (4, 5):
        text += str(chance.choice(AFTER))
    return text.lower().rstrip(".!?") if turn == 6 else text


def handwritten(name: str) -> list[tuple[str, str, str]]:
    """Task, pair and text of the prompts written by hand."""
    lines = (DATA / name).read_text("utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line]
    return [(task, pair, text.replace("\\n", "\n")) for task, pair, text in rows]


def rows_of(prompts: default.Prompts) -> LabelledRows:
    """The prompts as rows, held out by template."""
    y = np.array([default.NAMES.index(task) for task in prompts.tasks], np.int64)
    group = np.array(prompts.templates, np.int64)
    return LabelledRows(default.NAMES, prompts.features(), y, np.array(prompts.weights), group)


def tell(classifier: Classifier) -> None:
    """The figures of the fit, and those on the prompts written by hand."""
    print(json.dumps(classifier.about))
    for name in ("test.tsv",):
        rows = handwritten(name)
        p = np.stack([classifier.probabilities(default.signals_of(text)) for _, _, text in rows])
        y = np.array([classifier.tasks.index(task) for task, _, _ in rows])
        right, sure = p.argmax(1) == y, p.max(1)
        kept = sure >= THRESHOLD
        wrong = int((~right[kept]).sum())
        error = calibration_error(sure, right, np.ones(len(rows)))
        print(
            f"{name}: n {len(rows)}, accuracy {right.mean():.3f}, ece {error:.3f}, mean confidence "
            f"{sure.mean():.3f}; from {THRESHOLD} on: coverage {kept.mean():.3f}, error "
            f"{wrong / kept.sum():.3f} (95 % bound {upper_bound(wrong, int(kept.sum())):.3f})"
        )
        order = np.argsort(-sure, kind="stable")
        cuts = {share: round(share * len(rows)) for share in (0.2, 0.4, 0.6, 0.8, 1.0)}
        print("  error among the surest: " + ", ".join(
            f"{share:.0%} {1.0 - right[order[:cut]].mean():.3f}" for share, cut in cuts.items()
        ))  # fmt: skip
        by_task = {task: float(right[y == i].mean()) for i, task in enumerate(classifier.tasks)}
        print("  by task: " + ", ".join(f"{task} {share:.2f}" for task, share in by_task.items()))
        told = p.argmax(1)
        pairs = sorted({pair for _, pair, _ in rows if pair})
        same = [len({int(told[i]) for i, r in enumerate(rows) if r[1] == q}) == 1 for q in pairs]
        if same:
            print(f"  two wordings of one wish, the same task: {np.mean(same):.3f} of {len(same)}")
        print(
            f"  a courtesy, a capital or a stop changes the task: {_changed(classifier, rows):.4f}"
        )


def _changed(classifier: Classifier, rows: list[tuple[str, str, str]]) -> float:
    """How often a harmless rewording changes the task."""
    changed = total = 0
    for _, _, text in rows:
        said = int(classifier.probabilities(default.signals_of(text)).argmax())
        others = [b + text[0].lower() + text[1:] for b in BEFORE] + [text + a for a in AFTER]
        others += [text.lower(), text.rstrip(".!?"), f"  {text}  ", text.upper()]
        for other in others:
            total += 1
            found = classifier.probabilities(default.signals_of(other))
            changed += int(found.argmax()) != said
    return changed / total


def main() -> None:
    """Make them, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    rows = expanded(DATA / "templates.yaml")
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    packed = gzip.compress(lines, 9, mtime=0)
    made = default.Prompts(
        *(tuple(row[key] for row in rows) for key in ("task", "template", "text", "weight"))  # type: ignore[arg-type]
    )
    classifier = fit(rows_of(made), default.VERSION)
    data = freeze(classifier.state())
    files = {DATA / "prompts.jsonl": lines, default.PROMPTS: packed, default.CLASSIFIER: data}
    for path, content in files.items():
        if check:
            same = path.exists() and path.read_bytes() == content
            print(f"{path.name}: {'the same' if same else 'NOT the same'}")
        else:
            path.write_bytes(content)
            print(f"{path.name}: {len(content)} bytes")
    tell(classifier)


if __name__ == "__main__":
    main()
