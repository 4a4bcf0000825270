"""Where ratings come for some deployments' answers more than for others', an operator is told."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from experiments.statistics.response_rate import Cell
from service.app import create_app
from service.bootstrap.jobs import jobs
from service.monitoring.responses import ResponseBoard, seen
from service.storage.history import connect, query
from tests.conftest import KEY, HandClock, Server, make_runtime, plan_text
from tests.service.cli.test_commands import run

AUTH = {"Authorization": f"Bearer {KEY}"}


def test_a_difference_is_told_in_words_with_what_it_leaves_open() -> None:
    uneven = seen([Cell("river", "code", 500, 205, 0.8), Cell("brook", "code", 500, 90, 0.5)])
    assert uneven.warning() == (
        "ratings come for 41 % of river's answers and 18 % of brook's (task code): quality is "
        "learned from those who rate; whatever the others think, river's mean lies in "
        "0.33 to 0.92 and brook's in 0.09 to 0.91"
    )
    even = seen([Cell("river", "code", 500, 205, 0.8), Cell("brook", "code", 500, 200, 0.5)])
    assert even.warning() == "" and seen([]).warning() == ""


def test_the_bounds_told_are_those_of_the_task_told() -> None:
    cells = [Cell("river", "code", 500, 205, 0.8), Cell("brook", "code", 500, 90, 0.5)]
    cells += [Cell("river", "other", 500, 500, 0.1), Cell("brook", "other", 500, 500, 0.1)]
    assert "0.33 to 0.92" in seen(cells).warning()


def test_the_board_looks_at_settled_answers_of_the_last_seven_days() -> None:
    asked: list[tuple[int, int]] = []

    def counts(since_us: int, until_us: int) -> list[Cell]:
        asked.append((since_us, until_us))
        return [Cell("a", "code", 5, 5, 0.5)]

    clock = HandClock()
    board = ResponseBoard(counts, clock)
    assert board.warnings() == [] and board.current.report.rates == ()
    assert len(board.evaluate().report.rates) == 1 and board.warnings() == []
    ((since_us, until_us),) = asked
    assert clock.wall - until_us == 600_000_000
    assert until_us - since_us == 6 * 86_400_000_000


@pytest.mark.slow
def test_a_service_whose_callers_rate_one_deployment_more_says_so(
    tmp_path: Path, providers: Server
) -> None:
    """Callers rate every answer of brook and a fifth of the others'; pins and sessions too."""
    clock = HandClock()
    text = plan_text(providers.url).replace("kind: linear", "kind: uniform")
    text = text[: text.index("  parameters:")] + text[text.index("\nreward:") :]
    runtime = make_runtime(tmp_path / "state", text, clock=clock)
    with Server(create_app(runtime)) as server, httpx.Client(headers=AUTH, timeout=10.0) as client:

        def ask(index: int, **more: Any) -> None:
            clock.advance(1.0)
            body = {"model": "auto", "messages": [{"role": "user", "content": f"Kite {index}"}]}
            answer = client.post(server.url + "/v1/chat/completions", json=body | more).json()
            if answer["model"] == "brook" or index % 5 == 0:
                rating = {"id": answer["id"], "value": 0.5}
                assert client.post(server.url + "/v1/feedback", json=rating).status_code == 202

        for index in range(160):
            ask(index)
        for _ in range(20):
            ask(0, model="river")
        for _ in range(11):
            ask(1, headgate={"session_id": "one"})
        runtime.kept.log.flush().result(5)
        assert runtime.responses.evaluate().report.rates == (), "no answer has settled yet"
        clock.advance(700)
        asyncio.run(next(job for job in jobs(runtime) if job.name == "responses").run())
        drawn = "SELECT count(*) FROM outcomes WHERE status = 200 AND mode = 'randomised'"
        settled = runtime.kept.database.cursor().execute(drawn).fetchone()
        assert settled is not None and 150 < settled[0] <= 161, "a session counts once, a pin never"
        status = client.get(server.url + "/admin/status").json()
        rates = {rate["deployment"]: rate for rate in status["responses"]["rates"]}
        assert sum(rate["answers"] for rate in rates.values()) == settled[0]
        assert rates["brook"]["rate"] == 1.0 and rates["river"]["rate"] < 0.5
        assert status["responses"]["verdict"] == "uneven"
        warning, *alerts = status["warnings"]
        assert all(each.startswith("alert uneven_ratings since ") for each in alerts), alerts
        assert warning.startswith("ratings come for 100 % of brook's answers and ")
        quality = {each["deployment"]: each for each in status["responses"]["quality"]}
        assert quality["brook"]["least"] == quality["brook"]["greatest"] == 0.5
        assert quality["river"]["greatest"] - quality["river"]["least"] > 0.5
        code, out, _ = run("status", "--url", server.url)
        assert code == 0 and "warning: ratings come for 100 % of brook's" in out
        code, out, _ = run("status", "--url", server.url, "--json")
        later, *alerts = json.loads(out)["warnings"]  # it may have fired its alert by now
        assert later == warning
        assert all(each.startswith("alert uneven_ratings since ") for each in alerts), alerts
        runtime.kept.publisher.publish(runtime.kept.log.last_seq)
        columns, rows = query(connect(tmp_path / "state"), "SELECT * FROM response_rates")
        found = [dict(zip(columns, row, strict=True)) for row in rows]
        assert sum(row["drawn"] for row in found) == settled[0]
        assert sum(row["answers"] for row in found) > settled[0], "those held by a session too"
        for row in found:
            assert row["rate"] == pytest.approx(row["rated"] / row["answers"])
            assert row["drawn"] == rates[row["deployment"]]["answers"]
            assert row["drawn_rated"] == rates[row["deployment"]]["rated"]
            assert row["mean_rating"] == 0.5
