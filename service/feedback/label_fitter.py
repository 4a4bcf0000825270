"""The task classifier with people's labels among its rows, fitted in the child of labels."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from learning.labels import Labels
from learning.snapshot import Frozen
from learning.taxonomies.own import Wanted
from learning.taxonomy import Classifier, LabelledRows
from learning.taxonomy_fit import fit
from service.feedback.label_fitting import run


def fitted(wanted: Mapping[str, Any], labels: Labels, version: str) -> Classifier:
    """Each label stands alone, and weighs as ``Labels.clipped`` says beside the base's rows."""
    base = Wanted.of(wanted).rows()
    if not len(labels):
        return fit(base, version, strengths=(1.0,))
    place = np.array([base.tasks.index(task) for task in labels.tasks], dtype=np.int64)
    first = int(base.groups.max()) + 1
    rows = LabelledRows(
        base.tasks,
        np.concatenate([base.x, labels.x]),
        np.concatenate([base.y, place[labels.y]]),
        np.concatenate([base.weight, labels.clipped]),
        np.concatenate([base.groups, first + np.arange(len(labels))]),
    )
    return fit(rows, version, strengths=(1.0,))


def known(frozen: Frozen) -> Classifier:
    """A classifier that was frozen."""
    return Classifier.of(frozen)


if __name__ == "__main__":
    run(fitted, known, sys.argv[1:])
