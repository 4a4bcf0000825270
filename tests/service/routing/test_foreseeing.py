"""What is foreseen on the way: scores in conditions, made when read; what it costs is counted."""

from __future__ import annotations

import numpy as np
import pytest

from learning.difficulty import demand
from learning.features import Featurizer, RequestShape, inspect
from service.domain.expressions import parse
from service.domain.records import Caller
from service.routing.asked import names_of
from service.routing.foreseeing import COLD, OFF, TIMED, Foreseer, PredictionRules, Published
from tests.service.routing.foresight import NAMES, model, prediction
from tests.service.routing.world import ask

TEXT = "First calculate the total, then compare both markets, exactly in four lines."


def test_conditions_read_the_scores_and_only_then_are_they_made() -> None:
    request = ask(TEXT)
    signals = inspect(request.shape)
    names = names_of(request, signals, Caller("k"))
    assert parse("word_count > 3 and has_maths")(names) and "complexity" not in names
    assert parse("complexity > 20 and ambiguity < 50 and difficulty > 10")(names)
    assert names["complexity"] == demand(signals).complexity
    with pytest.raises(KeyError):
        names["nothing"]


def test_where_a_fit_is_believed_difficulty_is_mostly_the_chance_to_fall_short() -> None:
    chances = dict.fromkeys(NAMES, 0.9)
    made = prediction(model(chances), PredictionRules())
    signals = inspect(RequestShape(TEXT, 20))
    x = Featurizer(["code", "other"]).vector(signals, "other")
    ahead = made.foreseer.ahead(signals, x)
    assert ahead is not None
    text = demand(signals)
    assert ahead.of_text == text
    assert ahead.demand.difficulty == pytest.approx(0.3 * text.difficulty + 7.0)
    assert ahead.chances == pytest.approx([0.9] * len(NAMES))
    cold = prediction(None, PredictionRules(), COLD).foreseer.ahead(signals, x)
    assert cold is not None and cold.demand == text
    assert cold.chances == pytest.approx([0.5] * len(NAMES))


def test_one_in_some_is_timed_and_nothing_is_foreseen_when_it_is_off() -> None:
    made = prediction(model(dict.fromkeys(NAMES, 0.9)), PredictionRules()).foreseer
    signals = inspect(RequestShape(TEXT, 20))
    x = np.ones(len(Featurizer(["code", "other"]).names), np.float32)
    for _ in range(3 * TIMED):
        made.ahead(signals, x)
    assert (made.predictions, made.timed) == (3 * TIMED, 3) and made.seconds_each > 0.0
    off = Foreseer(NAMES, PredictionRules(), Published(made.published.foresight, state=OFF))
    assert off.ahead(signals, x) is None and off.predictions == 0 and off.seconds_each == 0.0
