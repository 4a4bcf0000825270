"""The chaos upstream does what its plan says, in this process and as one of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.chaos import Chaos, Plan, Step, fault
from tests.chaos_answers import FAULTS


def faults(plan: Plan, number: int) -> list[str]:
    return [plan.next()[0].fault for _ in range(number)]


def test_steps_hold_by_count_by_number_and_by_seeded_chance() -> None:
    plan = Plan([fault("reset", 2), Step("drip", first=4, last=5), Step("close", probability=0.5)])
    found = faults(plan, 200)
    assert found[:2] == ["reset", "reset"] and found[3:5] == ["drip", "drip"]
    assert 60 < found[5:].count("close") < 140 and set(found[5:]) == {"close", "healthy"}
    again = Plan([fault("reset", 2), Step("drip", first=4, last=5), Step("close", probability=0.5)])
    assert faults(again, 200) == found
    assert sum(plan.counts().values()) == plan.number == 200


def test_a_plan_is_read_with_the_faults_parameters() -> None:
    plan = Plan.read({"seed": 3, "steps": [{"fault": "drip", "interval_s": 0.1, "count": 3}]})
    assert plan.steps == [Step("drip", 3, parameters={"interval_s": 0.1})]
    with pytest.raises(ValueError, match="no fault 'nonsense'"):
        Plan.read({"steps": [{"fault": "nonsense"}]})


def test_every_fault_says_what_it_does() -> None:
    assert len(FAULTS) > 30 and all(act.__doc__ for act in FAULTS.values())


def test_healthy_answers_keep_their_connection() -> None:
    with Chaos() as chaos, httpx.Client() as client:
        for stream in (False, True, False):
            body = json.dumps({"stream": stream}, separators=(",", ":"))
            answer = client.post(chaos.url + "/chat/completions", content=body, timeout=5)
            assert answer.text.endswith("data: [DONE]\n\n") == stream
        assert chaos.connections == 1 and len(chaos.requests) == 3


def test_it_runs_alone_takes_another_plan_and_tells_its_counts(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(json.dumps({"steps": [{"fault": "status", "code": 503, "count": 1}]}))
    command = [sys.executable, "-m", "tests.chaos", "--plan", str(file), "--seconds", "30"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    try:
        assert process.stderr is not None
        url = process.stderr.readline().split("listening on ")[1].strip()
        with httpx.Client(base_url=url, timeout=5) as client:
            codes = [client.post("/v1/chat/completions", content="{}").status_code for _ in "ab"]
            assert codes == [503, 200]
            told = client.post("/chaos", json={"steps": [{"fault": "status", "code": 529}]}).json()
            assert told == {"requests": 2, "faults": {"status": 1, "healthy": 1}}
            assert client.post("/v1/chat/completions", content="{}").status_code == 529
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()
