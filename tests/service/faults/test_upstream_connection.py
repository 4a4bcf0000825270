"""Upstream faults of the connection: refused, unresolved, untrusted, silent, dripping, reset."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from aiohttp.abc import ResolveResult

from service.domain.records import ErrorKind
from service.providers.resolver import Lookup, Resolver
from service.providers.transport import Transport
from tests.certificates import Authority
from tests.chaos import Chaos, fault
from tests.service.faults.rig import HASTY, PLAN, Rig, rigged


def transported(rig: Rig, transport: Transport) -> None:
    """Let the service call through another transport."""
    provider: Any = rig.runtime.providers["openai"]
    provider._transport = transport


def test_F01_a_refused_connection(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with rigged(tmp_path / "state", PLAN.replace("FAULTY", url)) as rig:
            rig.both_fall_back(ErrorKind.CONNECTION)


def test_F02_a_name_that_does_not_resolve(tmp_path: Path) -> None:
    text = PLAN.replace("FAULTY", "http://no-such-provider.invalid/v1")
    with rigged(tmp_path / "state", text) as rig:
        got = rig.ask()
        got.served_by("steady")
        # A machine whose own resolver is slow to say so meets the attempt's time limit first.
        assert got.kinds[0] in (ErrorKind.CONNECTION, ErrorKind.TIMEOUT) and len(got.kinds) == 2
        assert got.attempts[0].usage.cost_micro_usd == 0


@pytest.mark.parametrize(
    ("bound_s", "kind"), [(0.05, ErrorKind.CONNECTION), (5.0, ErrorKind.TIMEOUT)]
)
def test_F02_slow_names_cost_an_attempt_and_no_money(
    tmp_path: Path, bound_s: float, kind: ErrorKind
) -> None:
    asked = []

    async def slow(host: str, port: int, family: int) -> list[ResolveResult]:
        asked.append(host)
        await asyncio.sleep(10)
        return []

    text = HASTY.replace("FAULTY", "http://slow.test/v1")
    with rigged(tmp_path / "state", text) as rig:
        transported(rig, Transport(Resolver(slow, bound_s)))
        rig.falls_back(kind)
        assert asked == ["slow.test"]


def test_F02_a_name_that_was_known_serves_while_names_fail(tmp_path: Path) -> None:
    down = threading.Event()
    with Chaos() as chaos:
        lookup = _lookup(down)
        text = PLAN.replace("FAULTY", f"http://known.test:{chaos.port}/v1")
        with rigged(tmp_path / "state", text) as rig:
            transport = Transport(Resolver(lookup))
            transported(rig, transport)
            chaos.play(fault("close_after"))  # so that the next call connects anew
            rig.ask().served_by("faulty")
            down.set()
            session: Any = transport._session
            session.connector.clear_dns_cache()  # as when its time is over
            rig.ask().served_by("faulty")
            assert len(chaos.requests) == 2 and chaos.connections == 2


def _lookup(down: threading.Event) -> Lookup:
    async def lookup(host: str, port: int, family: int) -> list[ResolveResult]:
        if down.is_set():
            raise OSError("no answer")
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET,
                              proto=0, flags=0)]  # fmt: skip

    return lookup


def test_F03_a_certificate_that_nobody_trusts(tmp_path: Path) -> None:
    with (
        Chaos(tls=Authority(tmp_path / "ca").server()) as faulty,
        rigged(tmp_path / "state", faulty=faulty) as rig,
    ):
        rig.both_fall_back(ErrorKind.CONNECTION)
        assert faulty.requests == []
        assert rig.runtime.board.standings()[0].last_error == "connection"


@pytest.mark.parametrize("expired", [True, False])
def test_F03_an_expired_certificate_of_a_trusted_authority(tmp_path: Path, expired: bool) -> None:
    authority = Authority(tmp_path / "ca")
    with (
        Chaos(tls=authority.server(expired)) as faulty,
        rigged(tmp_path / "state", faulty=faulty) as rig,
    ):
        transported(rig, Transport(tls=authority.trust()))
        if expired:
            rig.falls_back(ErrorKind.CONNECTION)
        else:
            rig.ask().served_by("faulty")


def test_F03_no_tls_behind_an_https_address(tmp_path: Path) -> None:
    with Chaos() as faulty:
        text = PLAN.replace("FAULTY", faulty.url.replace("http:", "https:"))
        with rigged(tmp_path / "state", text) as rig:
            rig.falls_back(ErrorKind.CONNECTION)


def test_F04_silence_before_the_head(hasty: Rig) -> None:
    _silent(hasty, "silence")


def test_F05_silence_after_the_head(hasty: Rig) -> None:
    _silent(hasty, "headers_silence")


def _silent(hasty: Rig, how: str) -> None:
    hasty.play(fault(how))
    for got in hasty.both_fall_back(ErrorKind.TIMEOUT, billed=True):
        assert got.attempts[0].latency_s >= 0.29  # the whole of the first attempt's time


def test_F06_a_drip_is_bounded_by_the_whole_time_of_the_attempt(hasty: Rig) -> None:
    hasty.play(fault("drip", interval_s=0.02))
    hasty.both_fall_back(ErrorKind.TIMEOUT, billed=True)


def test_F06_a_drip_after_the_first_content_breaks_the_stream_off(hasty: Rig) -> None:
    content = '{"choices": [{"index": 0, "delta": {"content": "the first words"}}]}'
    drip = ['data: {"choices": '] + [" "] * 100
    hasty.play(fault("bytes_of_stream", parts=[f"data: {content}\n\n", *drip], pause_s=0.05))
    hasty.ask(stream=True).broke_off(ErrorKind.STALLED)
    hasty.stays_healthy()


def test_F07_a_reset_before_any_answer(rig: Rig) -> None:
    rig.play(fault("reset"))
    rig.both_fall_back(ErrorKind.CONNECTION)


def test_F07_a_reset_in_the_middle_of_a_whole_answer(rig: Rig) -> None:
    rig.play(fault("reset_midway"))
    rig.falls_back(ErrorKind.CUT, billed=True)


def test_F07_a_reset_in_the_middle_of_a_stream(rig: Rig) -> None:
    rig.play(fault("reset_midway"))
    rig.ask(stream=True).broke_off(ErrorKind.CUT)
    rig.stays_healthy()


@pytest.mark.parametrize(
    "step",
    [fault("short"), fault("lying_length", by=100), fault("half_close"), fault("short", at=90)],
    ids=["close", "length-says-more", "half-close", "close-after-a-byte"],
)
def test_F08_an_answer_shorter_than_it_says(rig: Rig, step: Any) -> None:
    rig.play(step)
    rig.falls_back(ErrorKind.CUT, billed=True)


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (fault("lying_length", by=-40), ErrorKind.MALFORMED),
        (fault("lying_chunks"), ErrorKind.MALFORMED),
        (fault("garbage"), ErrorKind.MALFORMED),
    ],
    ids=["length-says-less", "chunks", "not-http"],
)
def test_F08_an_answer_that_lies_about_its_length(rig: Rig, step: Any, kind: ErrorKind) -> None:
    rig.play(step)
    rig.falls_back(kind, billed=True)
    rig.play()
    rig.ask().served_by("faulty")  # nothing of the lie is left in a kept connection


def test_a_kept_connection_that_the_provider_closed_is_replaced_once(rig: Rig) -> None:
    rig.play(fault("healthy", 1), fault("close", 1))
    rig.ask().served_by("faulty")
    got = rig.ask()
    got.served_by("faulty")
    assert got.kinds == [None] and len(rig.faulty.requests) == 3
    assert 'headgate_upstream_reconnects_total{deployment="faulty"} 1.0' in rig.metrics()


def test_a_fresh_connection_that_is_closed_is_a_failure(rig: Rig) -> None:
    rig.play(fault("close"))
    rig.falls_back(ErrorKind.CONNECTION)
    assert len(rig.faulty.requests) == 1


def test_a_kept_connection_is_replaced_no_more_than_once(rig: Rig) -> None:
    rig.play(fault("healthy", 1), fault("close"))
    rig.ask().served_by("faulty")
    rig.falls_back(ErrorKind.CONNECTION)
    assert len(rig.faulty.requests) == 3
