"""What nobody waits for: its files are read as they were meant, its results by their names."""

from __future__ import annotations

import json

from service.batching.reading import read_requests
from service.rehearsal.patient import Sent, form, read_line, slack_s
from service.rehearsal.seen import Seen
from service.rehearsal.traffic import CHAT, day


def test_every_line_of_a_day_is_a_request_of_a_batch() -> None:
    patient = [wish for wish in day(900, 3).wishes if wish.patient]
    kind, body = form(b"\n".join(json.dumps(each.line()).encode() for each in patient))
    edge = kind.split("boundary=")[1].encode()
    parts = body.split(b"--" + edge)
    assert len(parts) == 4 and b'name="purpose"\r\n\r\nbatch\r\n' in parts[1]
    content = parts[2].split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")
    requests, problems = read_requests(content, CHAT, 1_000)
    assert not problems and [each.custom_id for each in requests] == [w.custom_id for w in patient]
    assert len({wish.custom_id for wish in patient}) == len(patient) > 30


def test_a_result_says_what_became_of_a_request() -> None:
    wish = next(each for each in day(300, 3).wishes if each.patient)
    answered, refused, late = Seen(wish), Seen(wish), Seen(wish)
    told = {"decision_id": "d-1", "deployment": "apprentice"}
    read_line(answered, {"response": {"status_code": 200, "body": {}}, "headgate": told})
    assert (answered.status, answered.decision_id, answered.deployment) == (
        200,
        "d-1",
        "apprentice",
    )
    body = {"error": {"code": "content_policy_violation"}}
    read_line(refused, {"response": {"status_code": 400, "body": body}})
    assert (refused.status, refused.code, refused.deployment) == (
        400,
        "content_policy_violation",
        "",
    )
    read_line(late, {"response": None, "error": {"code": "batch_expired"}})
    assert (late.status, late.code) == (0, "batch_expired")


def test_slack_is_what_is_left_of_the_time_that_was_given() -> None:
    ends = dict.fromkeys(("completed_at", "expired_at", "cancelled_at", "failed_at"))
    early = Sent("basic", "", [], ends | {"expires_at": 100, "completed_at": 40})
    late = Sent("premium", "", [], ends | {"expires_at": 100, "expired_at": 101})
    assert slack_s([early, late]) == [-1, 60] and slack_s([]) == []
