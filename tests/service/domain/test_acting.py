"""Who did it is the key; what the service does by itself is its own."""

from __future__ import annotations

import json

from service.domain.acting import ITSELF, Person, Told, act_of

ANN = Person("ann-key", "k1", "operator", "127.0.0.1", "r1")
TOLD = Told("override.force", "o1", "it is faster", "Ann", {"x": 1}, None, {"task": "maths"})


def test_a_persons_act_names_the_key_and_keeps_the_author_beside() -> None:
    act = act_of(ANN, 7, TOLD)
    assert (act.actor, act.author, act.role, act.key_id) == ("ann-key", "Ann", "operator", "k1")
    assert (act.ip, act.request_id, act.at_us) == ("127.0.0.1", "r1", 7)
    assert act.before == "" and json.loads(act.after) == {"task": "maths"}
    assert json.loads(act.detail) == {"x": 1} and act.reason == "it is faster"


def test_without_a_person_it_is_the_services_or_the_named_ones() -> None:
    assert act_of(None, 7, Told("breaker.open", "mill")).actor == ITSELF
    named = act_of(None, 7, TOLD)
    assert named.actor == "Ann" and named.key_id == named.ip == named.role == ""
