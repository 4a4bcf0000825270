"""A session stays where its draw put it, until it has been idle too long."""

from __future__ import annotations

from service.routing.sessions import Held, Sessions


def test_held_until_idle() -> None:
    sessions = Sessions(idle_s=10.0)
    sessions.hold("s", Held("wide", "d1", 0.0))
    assert sessions.held("x", 0.0) is None
    for now in (5.0, 14.0, 23.0):  # every use begins the idle time anew
        held = sessions.held("s", now)
        assert held is not None and (held.deployment, held.decision_id) == ("wide", "d1")
    assert sessions.held("s", 34.0) is None and sessions.held("s", 34.0) is None


def test_memory_is_bounded() -> None:
    sessions = Sessions(idle_s=10.0, bound=3)
    for name in "abcd":
        sessions.hold(name, Held("wide", name, 0.0))
    assert sessions.held("a", 0.0) is None and sessions.held("d", 0.0) is not None
