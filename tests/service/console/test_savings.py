"""The page of savings, of a service that keeps answers and takes batches; and its acts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import openai
import pytest

from service.app import create_app
from service.console.looker import Looker
from service.console.pages import opportunities
from tests.conftest import KEY, Server, Service, make_runtime, plan_text
from tests.service.api.test_batches import begun, line
from tests.service.cli.test_commands import run
from tests.service.console.looking import (
    AUTH,
    REASON,
    act,
    acts_offered,
    beside,
    drawn,
    page,
    texts,
)

pytestmark = pytest.mark.slow
SECTIONS = """
cache:
  tasks: {maths: {enabled: false}}
  semantic: {tasks: {other: {}}}
  raised: {ttl_s: 172800, without_temperature: true}
batches: {windows: [WINDOW]}
"""


@pytest.fixture(scope="module")
def service(providers: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """It keeps answers, and takes batches in one minute of the day that is far off."""
    hour = (datetime.now(UTC).hour + 12) % 24
    sections = SECTIONS.replace("WINDOW", f'"{hour:02}:00-{hour:02}:01 UTC"')
    runtime = make_runtime(tmp_path_factory.mktemp("saving"), plan_text(providers.url) + sections)
    with Server(create_app(runtime)) as server:
        yield Service(runtime, server)


def ask(service: Service, text: str, tag: str) -> None:
    body = {"model": "auto", "temperature": 0, "messages": [{"role": "user", "content": text}],
            "headgate": {"cache": {"tags": [tag]}}}  # fmt: skip
    url = service.url + "/v1/chat/completions"
    httpx.post(url, json=body, headers=AUTH, timeout=30).raise_for_status()


async def seen(looker: Looker) -> tuple[list[Any], str]:
    """The page once its log is added up."""
    async with asyncio.timeout(30):
        while "is being added up" in texts(found := await drawn(page("/savings"), looker)):
            await asyncio.sleep(0.05)
    return found, texts(found)


async def test_it_tells_what_was_saved_by_what(
    service: Service, busy: Service, look: Callable[..., Looker]
) -> None:
    for _ in range(3):
        ask(service, "Tell me of the heron.", "birds")
    _, told = await seen(look())
    assert all(each in told for each in ("It would have been", "By kept answers", "In memory"))
    assert "about, and 2 calls more" in told
    assert "not known yet" in told and "Hits by count" in told
    code, out, err = run("cost", "saved", "--url", service.url, "--json")
    saved = json.loads(out)
    assert code == 0 and saved["kept_answers"]["exact"]["answers"] == 2, err
    assert saved["saved_micro_usd"] == saved["kept_answers_micro_usd"] > 0
    code, out, err = run("cost", "saved", "--url", service.url)
    assert code == 0 and "kept answers" in out and "would have been" in out, err
    code, out, err = run("status", "--url", service.url)
    assert code == 0 and "saved by value" in out and "batches: " in out, err


async def test_answers_are_taken_back_in_two_steps(
    service: Service, busy: Service, look: Callable[..., Looker]
) -> None:
    caching, looker = service.runtime.caching, look()
    assert caching is not None
    ask(service, "Tell me of the rail.", "rails")
    ask(service, "Tell me of the crake.", "crakes")
    before = len(caching.shelf)
    await act(looker, "ask", "invalidate")
    await act(looker, "confirm", tag="rails", reason=REASON)
    assert looker.open is not None and "Look at what it would do first" in looker.open.problem
    for fields, told in (({"tag": "nobody"}, "No answer that is kept"),
                         ({"before": "soon"}, "is no time")):  # fmt: skip
        await act(looker, "next", **({"tag": "rails", "before": "", "reason": REASON} | fields))
        assert told in looker.open.problem and looker.open.step == 1
    await act(looker, "next", tag="rails", before="", reason=REASON)
    assert looker.open.step == 2 and f"1 of {before} answers" in str(looker.open.found)
    await act(looker, "confirm")
    assert looker.told == "Taken back: 1 answer." and len(caching.shelf) == before - 1
    await act(looker, "ask", "invalidate")
    await act(looker, "next", reason=REASON)
    await act(looker, "confirm")
    assert not len(caching.shelf)


async def test_caching_is_raised_for_a_while(
    service: Service, busy: Service, look: Callable[..., Looker]
) -> None:
    looker = look()
    assert "raise" in acts_offered((await seen(looker))[0])
    await act(looker, "ask", "raise")
    await act(looker, "next", task="maths", lasts="900", reason=REASON, action="kill")
    assert looker.open is not None and "for 2" in str(looker.open.found)  # days; it was off
    await act(looker, "confirm")
    [made] = service.runtime.operating.holding
    assert (made.action, made.task, made.reason) == ("raise_caching", "maths", REASON)
    found, told = await seen(looker)
    assert "kept, raised" in told and REASON in told and "lift" in acts_offered(found)
    await act(looker, "ask", f"lift:{made.id}")
    await act(looker, "confirm", reason=REASON)
    assert not service.runtime.operating.holding


async def test_answers_for_like_questions_are_put_off_and_on(
    service: Service, busy: Service, look: Callable[..., Looker]
) -> None:
    looker = look()
    for form, told, shown in (("likeoff", "are off", "Put on again"),
                              ("likeon", "are on again", "not known yet")):  # fmt: skip
        assert form in acts_offered((await seen(looker))[0])
        await act(looker, "ask", f"{form}:other")
        await act(looker, "confirm", reason=REASON)
        assert told in looker.told and shown in (await seen(looker))[1]


async def test_a_batch_is_called_off(
    service: Service, busy: Service, look: Callable[..., Looker]
) -> None:
    ai = openai.OpenAI(base_url=f"{service.url}/v1", api_key=KEY, max_retries=0)
    batch = begun(ai, [line("a"), line("b")])
    failed = begun(ai, [{"custom_id": "c"}])
    looker = look()
    found, told = await seen(looker)
    assert "cancel" in acts_offered(found) and batch.id[-8:] in told and failed.id[-8:] in told
    assert "0 of 2" in told and "line 1" in told and ":00-" in told and ":01 UTC" in told
    await act(looker, "ask", f"cancel:{batch.id}")
    await act(looker, "confirm", reason=REASON)
    assert looker.told.startswith("Called off")
    _, told = await seen(looker)
    assert "cancelled" in told and ai.batches.retrieve(batch.id).status == "cancelled"
    await act(looker, "ask", f"cancel:{batch.id}")
    await act(looker, "confirm", reason=REASON)
    assert looker.open is not None and "cannot be cancelled any more" in looker.open.problem
    assert "cancel" not in acts_offered((await seen(look(role="analyst")))[0])


async def test_opportunities_are_looked_for_when_somebody_asks(
    busy: Service, look: Callable[..., Looker]
) -> None:
    looker, savings = look(role="analyst"), page("/savings")
    assert "Nothing is computed before somebody asks" in (await seen(looker))[1]
    await beside(looker, looker.do(savings.handlers["look_for"], "", {}))
    assert "history is looked through" in texts(await drawn(savings, looker))
    async with asyncio.timeout(60):
        while "Look again" not in (told := texts(await drawn(savings, looker))):
            await asyncio.sleep(0.1)
    assert "requests, looked at" in told or "no published history" in told


async def test_the_list_tells_what_is_sure_and_how_to_try_it(look: Callable[..., Looker]) -> None:
    row = {
        "number": 1, "change": "tier:code=mill", "saved_micro_usd": 5_000_000, "pareto": True,
        "interval_micro_usd": {"estimate": 5_000_000, "low": 4_000_000, "high": 6_000_000},
        "together": True, "quality_change": {"estimate": -0.01, "low": -0.02, "high": 0.0},
        "answers_at_risk": 9.0, "trial": {"words": "a draft", "design": {}, "plan": ""},
    }  # fmt: skip
    unsure = row | {
        "number": 2, "change": "cache:* ttl=86400s", "quality_change": None,
        "interval_micro_usd": {"low": -1, "high": 9}, "answers_at_risk": 0.0,
    }  # fmt: skip
    joint = {"saved_micro_usd": 6_000_000, "before_micro_usd": 9_000_000,
             "interval_micro_usd": {"cannot_say": "thin"}}  # fmt: skip
    found = {"requests": 7, "opportunities": [row, unsure],
             "joint": joint, "unsaid": [{"change": "skip:*", "why": "no checks"}],
             "at_us": 0}  # fmt: skip
    looker = look()
    looker.kept["opportunities"] = task = asyncio.create_task(asyncio.sleep(0, found))
    await task
    told = str(opportunities.opportunities(looker))
    assert "every request of code to mill" in told and "answers for all tasks kept for 24h" in told
    assert "$4.00" in told and "'nothing'" in told and "how stale" in told
    assert "quality -0.010 (-0.020 to +0.000)" in told and "no checks" in told
    assert 'try "tier:code=mill"' in told
