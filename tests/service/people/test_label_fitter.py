"""The fit of the classifier with people's labels: on the real base, by what people said."""

from __future__ import annotations

import numpy as np
import pytest

from learning.features import RequestShape, inspect
from learning.labels import Labels
from learning.snapshot import freeze, thaw
from learning.taxonomies.own import Wanted
from learning.taxonomy import classifier_features
from service.feedback.label_fitter import fitted, known

pytestmark = pytest.mark.slow

WANTED = Wanted("v", ("code", "ballads", "other"), {"code": "code"}, ())
SAID = (
    "Sing of the miller's daughter and the drowned bell, in quatrains.",
    "A ballad of the wreck off the north pier, with a refrain.",
    "Quatrains about a tinker who outwits the devil, to be sung.",
    "Let a ballad tell how the old lock-keeper lost his lantern.",
)


def labels(texts: tuple[str, ...], times: int) -> Labels:
    x = np.array([classifier_features(inspect(RequestShape(text, 20))) for text in texts * times])
    place = WANTED.tasks.index("ballads")
    y = np.full(len(x), place, dtype=np.int64)
    return Labels(WANTED.tasks, x.astype(np.float32), y, np.ones(len(x)))


def test_labels_teach_a_task_that_the_base_has_no_prompt_of() -> None:
    made = fitted(WANTED.told(), labels(SAID[:3], 60), "two")
    old, new, far = (
        inspect(RequestShape(text, 20)) for text in (SAID[0], SAID[3], "What is the time in Lima?")
    )
    told = [
        dict(zip(made.tasks, made.probabilities(each), strict=True)) for each in (old, new, far)
    ]
    assert told[0]["ballads"] > 0.5  # as it was labelled
    assert told[1]["ballads"] > 5.0 * told[2]["ballads"]  # of that kind, and of another
    assert sum(told[1].values()) == pytest.approx(1.0)
    code = made.probabilities(inspect(RequestShape("Fix the bug in this python function", 20)))
    assert made.tasks[int(code.argmax())] == "code" and made.version == "two"
    again = known(thaw(freeze(made.state())))
    assert again.probabilities(new).tolist() == made.probabilities(new).tolist()
