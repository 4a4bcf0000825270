"""The rows of a refit: each answer once, as it is rated now, of the arms and features meant."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from service.domain.clock import new_id
from service.domain.records import Act, Decision, PolicyMark, Update, Version
from service.storage.database import Database
from service.storage.ratings import (
    first_ratings,
    last_act,
    last_prior,
    new_ratings,
    rated_answers,
)
from service.storage.tables import TABLES
from tests.service.storage.test_tables import NOW, decision

FEATURES = ["a", "b", "c", "d", "constant"]


def version(identity: str, features: list[str]) -> Version:
    parameters = json.dumps({"features": features})
    return Version(identity, NOW, "default", "linear", parameters, None, "plan", "first start")


VERSIONS = [version("v0", [*FEATURES[:4], "bias"]), version("v", FEATURES)]


def rating(of: Decision, seq: int, quality: float, **more: Any) -> Update:
    made = Update(seq, NOW + seq, of.id, of.at_us, "x", "rating", quality, None, None, None, None,
                  None, new_id(), "v")  # fmt: skip
    return replace(made, **more)


def filled(*records: Any) -> Database:
    database = Database(None)
    for start, record in enumerate(records, start=1):
        table = TABLES[type(record)]
        database.write({table.name: table.batch([table.row(record)], start)})
    return database


def test_each_answer_once_as_it_is_rated_now() -> None:
    day = 86_400_000_000
    made = [decision(at_us=NOW - day * at) for at in range(4)]
    other = decision(policy=PolicyMark("default", "v0", "c", 1))
    shorter = decision(features=np.ones(3, np.float32))
    database = filled(
        *made, other, shorter,
        rating(made[0], 1, 0.1), rating(made[1], 2, 0.2, arm="y"), rating(made[2], 3, 0.3),
        rating(made[0], 4, 0.9, kind="revision", revises_quality=0.1),
        rating(other, 5, 0.5), rating(shorter, 6, 0.5), rating(made[3], 7, 0.7, arm="gone"),
        replace(rating(made[3], 8, 0.0), kind="outcome"), rating(decision(), 9, 0.4),
    )  # fmt: skip
    rows = rated_answers(database.cursor(), ["x", "y"], VERSIONS, half_life_s=86_400.0)
    assert rows.quality.tolist() == [0.2, 0.3, 0.9] and rows.order.tolist() == [2, 3, 4]
    assert rows.arm.tolist() == [1, 0, 0] and rows.features == tuple(FEATURES)
    assert rows.weight == pytest.approx([0.5, 0.25, 1.0])
    assert (rows.x == made[0].features.astype(np.float64)).all()
    assert rated_answers(database.cursor(), ["x", "y"], VERSIONS, 1.0, newest=5).order.tolist() == [
        4
    ]
    assert new_ratings(database.cursor(), 0) == (8, 9) and new_ratings(database.cursor(), 9) == (
        0,
        0,
    )
    assert len(rated_answers(database.cursor(), ["nobody"], VERSIONS, 1.0)) == 0


def test_the_last_prior_the_ratings_since_and_the_last_act() -> None:
    one, two, three = decision(), decision(), decision()
    identity = new_id()
    prior = replace(rating(one, 2, 0.0), kind="prior", quality=None, decision_id="", arm="",
                    feedback_id=None, model_id=identity)  # fmt: skip
    acts = [Act(new_id(), NOW, "headgate", act, identity, "", "{}") for act in ("a", "b", "a")]
    database = filled(
        one, two, three, rating(one, 1, 0.1), prior, rating(two, 3, 0.3), rating(three, 4, 0.4),
        rating(two, 5, 0.9, kind="revision", revises_quality=0.3), *acts,
    )  # fmt: skip
    cursor = database.cursor()
    assert last_prior(cursor) == (identity, 2)
    found = list(first_ratings(cursor, 2))
    assert [(arm, quality) for arm, _, quality, _ in found] == [("x", 0.3), ("x", 0.4)]
    assert (found[0][1] == two.features).all()
    assert [quality for _, _, quality, _ in first_ratings(cursor, 2, newest=1)] == [0.4]
    last = last_act(cursor, "a", "b")
    assert last is not None and last["act"] == "a" and last_act(cursor, "c") is None
    empty = Database(None).cursor()
    assert last_prior(empty) is None and new_ratings(empty, 0) == (0, 0)
