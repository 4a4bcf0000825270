"""A request made in this process: what the app sees of it, and what comes back."""

from __future__ import annotations

from typing import Any

import pytest

from service.domain.inward import Inward

ASKED = Inward("POST", "/a b", b'{"x": 1}', "10.0.0.1", {"mark": "who"}, ((b"if-match", b"t"),),
               "c=d")  # fmt: skip


def app(seen: dict[str, Any], answers: bool, fails: bool) -> Any:
    async def run(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope, body=(await receive())["body"])
        if answers:
            await send({"type": "http.response.start", "status": 201})
            for part in (b'{"y":', b" 2}"):
                await send({"type": "http.response.body", "body": part})
        if fails:
            raise RuntimeError("after all")

    return run


@pytest.mark.parametrize("fails", [False, True])
async def test_what_is_seen_and_what_comes_back(fails: bool) -> None:
    seen: dict[str, Any] = {}
    assert await ASKED.through(app(seen, True, fails)) == (201, {"y": 2})
    assert (seen["mark"], seen["client"], seen["raw_path"]) == ("who", ("10.0.0.1", 0), b"/a%20b")
    assert seen["query_string"] == b"c=d"
    assert seen["body"] == ASKED.body and dict(seen["headers"]) == {
        b"if-match": b"t", b"content-type": b"application/json", b"content-length": b"8",
    }  # fmt: skip


async def test_what_fails_before_it_answers_is_raised() -> None:
    with pytest.raises(RuntimeError):
        await ASKED.through(app({}, False, True))
