"""The default taxonomy: exclusive, exhaustive, what it was made from, and how good it is."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np

from learning.taxonomies import default
from learning.taxonomy import OTHER, SCHEMA
from learning.taxonomy_fit import calibration_error

DATA = Path(__file__).parents[3] / "data"


def by_hand(name: str) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """The probabilities, the tasks, the pairs and the texts of a file of prompts."""
    lines = (DATA / "taxonomy" / name).read_text("utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line]
    classifier = default.classifier()
    texts = [text.replace("\\n", "\n") for _, _, text in rows]
    p = np.stack([classifier.probabilities(default.signals_of(text)) for text in texts])
    y = np.array([default.NAMES.index(task) for task, _, _ in rows])
    return p, y, [pair for _, pair, _ in rows], texts


def test_every_file_of_data_is_the_one_that_is_described() -> None:
    told = (DATA / "README.md").read_text("utf-8")
    files = sorted(p for p in DATA.rglob("*") if p.is_file() and p.name != "README.md")
    assert files
    for path in files:
        name, content = str(path.relative_to(DATA)), path.read_bytes()
        row = re.search(rf"\| `{re.escape(name)}` \|.*", told)
        assert row, f"data/README.md does not tell of {name}"
        assert hashlib.sha256(content).hexdigest() in row[0], name
        assert f"| {len(content):,} |" in row[0], name


def test_it_is_exclusive_and_exhaustive_and_its_classifier_is_of_it() -> None:
    assert len(set(default.NAMES)) == len(default.NAMES) and default.NAMES[-1] == OTHER
    classifier = default.classifier()
    assert classifier.tasks == default.NAMES and classifier.version == default.VERSION
    assert all(task.description and task.examples for task in default.TASKS)
    assert default.CLASSIFIER.stat().st_size + default.PROMPTS.stat().st_size < 1_000_000
    assert SCHEMA == "grams-1"  # with another, make the files anew


def test_the_prompts_that_ship_are_those_of_data() -> None:
    packed = default.prompts()
    lines = (DATA / "taxonomy" / "prompts.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == len(packed.texts) > 2_000
    hand = {text for _, _, _, texts in [by_hand("test.tsv")] for text in texts}
    assert not hand & set(packed.texts)


def test_it_is_as_good_as_the_docs_say() -> None:
    """Pinned a little below what was measured, so that a change that costs is seen."""
    classifier = default.classifier()
    assert classifier.about["held_out_accuracy"] > 0.83 and classifier.about["ece"] <= 0.05
    p, y, pairs, _ = by_hand("test.tsv")
    right, sure = p.argmax(1) == y, p.max(1)
    assert len(y) >= 150 and right.mean() > 0.78
    kept = sure >= 0.75
    assert kept.mean() > 0.7 and right[kept].mean() > 0.85
    assert calibration_error(sure, right, np.ones(len(y))) < 0.08
    said = {pair: set(p.argmax(1)[[i for i, q in enumerate(pairs) if q == pair]].tolist())
            for pair in pairs if pair}  # fmt: skip
    assert np.mean([len(each) == 1 for each in said.values()]) > 0.7
