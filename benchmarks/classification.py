"""How well tasks are found on recorded prompts: accuracy, calibration, risk and coverage, CPU.

    python -m benchmarks.classification FOLDER [--cpu]

FOLDER holds Parquet files of recorded outcomes with the columns `prompt_id`, `prompt` and `domain`.
Two questions. How good is the default taxonomy's classifier on prompts that nobody wrote for it,
where a set's label says plainly which task it is? And how good is a classifier of the same features
fitted to a set's own labels, on the half that it has not seen? Prints aggregate figures alone.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from experiments.statistics.selective import upper_bound
from learning.difficulty import demand
from learning.features import Featurizer, RequestShape, inspect
from learning.taxonomies import default
from learning.taxonomy import LabelledRows, classifier_features
from learning.taxonomy_fit import calibration_error, fit

THRESHOLD = 0.75
LEAST = 50  # rows of a label
SEED = 11
# Which of the default's tasks a set's label may be taken for; labels that mix tasks are left out.
MAPPED: dict[tuple[str, str], tuple[str, ...]] = {
    ("pareto", "mbpp"): ("code",), ("pareto", "gsm8k"): ("maths",),
    ("pareto", "bbh"): ("reasoning", "maths"), ("pareto", "winogrande"): ("reasoning",),
    ("pareto", "arc_challenge"): ("knowledge",), ("pareto", "openbookqa"): ("knowledge",),
    ("pareto", "truthful_qa"): ("knowledge",), ("routellm_gsm8k", ""): ("maths",),
    ("mmlupro", "math"): ("maths",), ("mmlupro", "history"): ("knowledge",),
    ("mmlupro", "psychology"): ("knowledge",), ("mmlupro", "health"): ("knowledge",),
    ("mmlupro", "biology"): ("knowledge",),
    ("mmlupro", "physics"): ("maths", "knowledge"),
    ("mmlupro", "chemistry"): ("maths", "knowledge"),
    ("mmlupro", "engineering"): ("maths", "knowledge"),
    ("mmlupro", "philosophy"): ("knowledge", "reasoning"),
    ("mmlupro", "law"): ("knowledge", "reasoning"),
}  # fmt: skip


def prompts_of(path: Path) -> dict[str, tuple[str, str]]:
    """Each prompt once: its text and its label."""
    table = pq.read_table(path, columns=["prompt_id", "prompt", "domain"])
    columns = (table[name].to_pylist() for name in ("prompt_id", "prompt", "domain"))
    return {name: (text, label) for name, text, label in zip(*columns, strict=True)}


def figures(sure: np.ndarray, right: np.ndarray) -> str:
    """Accuracy, calibration, and what would be accepted without a person."""
    kept = sure >= THRESHOLD
    wrong = int((~right[kept]).sum())
    risk, bound = wrong / max(int(kept.sum()), 1), upper_bound(wrong, int(kept.sum()))
    return (
        f"n {len(right)}, accuracy {right.mean():.3f}, ece "
        f"{calibration_error(sure, right, np.ones(len(right))):.3f}; from {THRESHOLD} on: coverage "
        f"{kept.mean():.3f}, error {risk:.3f} (95 % bound {bound:.3f})"
    )


def curve(sure: np.ndarray, right: np.ndarray) -> str:
    """The error among the surest 20, 40, 60, 80 and 100 per cent."""
    order = np.argsort(-sure, kind="stable")
    shares = (0.2, 0.4, 0.6, 0.8, 1.0)
    cuts = [max(round(share * len(right)), 1) for share in shares]
    return ", ".join(
        f"{share:.0%} {1.0 - right[order[:cut]].mean():.3f}"
        for share, cut in zip(shares, cuts, strict=True)
    )


def by_default(name: str, rows: dict[str, tuple[str, str]]) -> None:
    """The default classifier on the labels that can be mapped."""
    classifier = default.classifier()
    sure, right, labels = [], [], []
    for text, label in rows.values():
        family = "pareto" if name.startswith("pareto") else name
        tasks = MAPPED.get((family, label)) or MAPPED.get((family, ""))
        if tasks is None:
            continue
        p = classifier.probabilities(default.signals_of(text))
        at = int(p.argmax())
        sure.append(float(p[at]))
        right.append(classifier.tasks[at] in tasks)
        labels.append(label)
    if not right:
        return
    s, r, every = np.array(sure), np.array(right), np.array(labels)
    print(f"{name}, default taxonomy: {figures(s, r)}")
    print(f"  error among the surest: {curve(s, r)}")
    for label in np.unique(every):
        mine = every == label
        print(f"  {label}: n {mine.sum()}, accuracy {r[mine].mean():.3f}")


def by_own(name: str, rows: dict[str, tuple[str, str]]) -> None:
    """A classifier of the set's own labels: half to fit, half to test."""
    texts, labels = zip(*rows.values(), strict=True)
    known, counts = np.unique(labels, return_counts=True)
    tasks = tuple(known[counts >= LEAST].tolist())
    if len(tasks) < 2:
        return
    kept = [i for i, label in enumerate(labels) if label in tasks]
    x = np.stack([classifier_features(default.signals_of(texts[i])) for i in kept])
    y = np.array([tasks.index(labels[i]) for i in kept], np.int64)
    order = np.random.default_rng(SEED).permutation(len(kept))
    early, late = order[: len(order) // 2], order[len(order) // 2 :]
    made = fit(LabelledRows(tasks, x[early], y[early], np.ones(len(early))), name, (1.0,))
    p = np.stack([made.of_features(each) for each in x[late]])
    sure, right = p.max(1), p.argmax(1) == y[late]
    most = np.bincount(y[early]).argmax()
    print(f"{name}, its own {len(tasks)} labels: {figures(sure, right)}; always the most frequent: "
          f"{(y[late] == most).mean():.3f}")  # fmt: skip
    print(f"  error among the surest: {curve(sure, right)}")


def interval(differences: list[float]) -> str:
    """The median of paired differences, with its 95 % interval (of order statistics)."""
    found = np.sort(differences)
    count = len(found)
    reach = 0.98 * count**0.5
    low, high = (round((count - 1) / 2 + side * reach) for side in (-1.0, 1.0))
    return (
        f"{np.median(found):+.1f} us [{found[max(low, 0)]:+.1f}, "
        f"{found[min(high, count - 1)]:+.1f}]"
    )


def cost(texts: list[str], blocks: int = 101) -> None:
    """CPU of reading a request, with and without the classifier, interleaved in one run."""
    featurizer, classifier = Featurizer(default.NAMES), default.classifier()
    shapes = [RequestShape(text=text, tokens_in=len(text) // 4 + 1) for text in texts]

    def plain() -> None:
        for shape in shapes:
            featurizer.vector(inspect(shape), "other")

    def classified() -> None:
        for shape in shapes:
            signals = inspect(shape)
            p = classifier.probabilities(signals)
            featurizer.vector(signals, classifier.tasks[int(p.argmax())])

    def scored() -> None:
        for shape in shapes:
            signals = inspect(shape)
            featurizer.vector(signals, "other")
            demand(signals)

    ways = {"alone": plain, "the classifier": classified, "the scores of the text": scored}
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(blocks + 1):
        for name, way in ways.items() if turn % 2 else reversed(ways.items()):
            began = time.thread_time_ns()
            way()
            if turn:  # the first warms up
                spent[name].append((time.thread_time_ns() - began) / len(shapes) / 1e3)
    size = np.mean([len(text.encode()) for text in texts])
    base = spent.pop("alone")
    print(f"{len(texts)} prompts of {size:.0f} bytes, {blocks} blocks, load "
          f"{os.getloadavg()[0]:.1f}")  # fmt: skip
    print(f"  glance and vector: {np.median(base):.1f} us (least {min(base):.1f})")
    for name, each in spent.items():
        more = interval([v - b for v, b in zip(each, base, strict=True)])
        print(f"  {name}: {more} (least against least {min(each) - min(base):+.1f})")


def main() -> None:
    """All sets of a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cpu", action="store_true", help="nothing but what it costs")
    o = parser.parse_args()
    folder = o.folder
    every: list[str] = []
    for path in sorted(folder.glob("*.parquet")):
        rows = prompts_of(path)
        every += [text for text, _ in rows.values()]
        if o.cpu:
            continue
        by_default(path.stem, rows)
        by_own(path.stem, rows)
    sized = sorted(every, key=lambda text: abs(len(text.encode()) - 1_024))
    cost(sized[:300])
    cost(sorted(every, key=len)[:300])


if __name__ == "__main__":
    main()
