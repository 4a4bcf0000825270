"""H13: a commit that takes its time: routing does not wait for it, a rating does, then 202."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conftest import Server, plan_text
from tests.service.faults.host import Disk, client, running


def test_H13_a_slow_commit_holds_up_nothing_but_who_waits_for_it(
    tmp_path: Path, providers: Server
) -> None:
    with running(tmp_path / "state", plan_text(providers.url)) as service:
        first = service.ask("Describe kite 0").json()["id"]
        disk = Disk(service.runtime.kept.database)
        disk.free.clear()
        with ThreadPoolExecutor(1) as pool, client(service.url) as at:

            def rate() -> int:
                rating = {"id": first, "value": 0.5}
                return at.post("/v1/feedback", json=rating).status_code

            rated = pool.submit(rate)
            assert disk.held.wait(10), "the commit is under way"
            for number in range(30):  # each is answered while the commit does not end
                assert service.ask(f"Describe kite {number}").status_code == 200
            assert service.client.get("/health/ready").status_code == 200
            assert service.status()["log"]["queued"] > 30
            assert not rated.done() and not disk.free.is_set()
            disk.free.set()
            assert rated.result(15) == 202
        service.settle()
