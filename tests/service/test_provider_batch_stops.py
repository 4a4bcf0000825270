"""Provider batches over kill -9: each request is answered once, here and at the provider."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from service.simulate_batches import Trouble
from tests.conftest import KEY
from tests.service.batching.away import PLAN, provider
from tests.service.processes import Process

pytestmark = pytest.mark.slow  # real processes

AUTH = {"authorization": f"Bearer {KEY}"}
COUNT = 30


def serve(state: Path) -> Process:
    made = Process("serve", "--plan", str(state / "plan.yaml"), "--state", str(state / "state"),
                   log=state / "log")  # fmt: skip
    made.ready()
    return made


def client(process: Process) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{process.url}/v1", api_key=KEY, max_retries=0)


def until(what: Any) -> Any:
    deadline = time.monotonic() + 60
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def test_a_kill_in_the_midst_of_a_providers_batch_loses_and_doubles_nothing(
    tmp_path: Path,
) -> None:
    with provider() as (made, url):
        made.calm(Trouble(line_s=0.1, breaks=1))
        text = PLAN.format(url=url, usd=100, offer="").replace("poll_s: 30", "poll_s: 0.3")
        (tmp_path / "plan.yaml").write_text(text + "service: {most_lag_s: 60}\n", "utf-8")
        process = serve(tmp_path)
        ai = client(process)
        lines = [
            json.dumps({"custom_id": f"n-{n}", "method": "POST", "url": "/v1/chat/completions",
                        "body": {"model": "auto", "max_tokens": 50,
                                 "messages": [{"role": "user", "content": f"say {n}"}]}})
            for n in range(COUNT)
        ]  # fmt: skip
        file = ai.files.create(file=("in.jsonl", "\n".join(lines).encode()), purpose="batch")
        batch = ai.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions",
                                  completion_window="24h")  # fmt: skip
        until(lambda: made.batches.submitted)
        process.kill()  # the provider has just taken it, and the word of that was lost
        process = serve(tmp_path)
        ai = client(process)
        until(lambda: ai.batches.retrieve(batch.id).status == "completed")
        done = ai.batches.retrieve(batch.id)
        assert done.request_counts is not None and done.request_counts.completed == COUNT
        assert done.error_file_id is None and done.output_file_id is not None
        told = [
            json.loads(each) for each in ai.files.content(done.output_file_id).text.splitlines()
        ]
        assert [each["custom_id"] for each in told] == [f"n-{n}" for n in range(COUNT)]
        assert {each["headgate"]["mode"] for each in told} == {"batch"}
        assert made.batches.submitted == 1 and set(made.batches.seen.values()) == {1}
        assert sum(made.simulated.calls.values()) == COUNT
        rows = until(lambda: httpx.get(f"{process.url}/admin/batches/savings",
                                       headers=AUTH).json()["rows"])  # fmt: skip
        assert (rows[0]["requests"], rows[0]["provider"]) == (COUNT, COUNT)
        paid = sum(round(each["headgate"]["cost_usd"] * 1e6) for each in told)
        assert rows[0]["paid_micro_usd"] == paid < rows[0]["list_micro_usd"]
        assert process.stop() == 0
