"""Only listed hosts, only public addresses, resolved once, no redirects: nothing else is called."""

from __future__ import annotations

import asyncio
import ipaddress
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from service import outbound
from service.outbound import Outbound, OutboundFailed, OutboundRefused, is_public, resolved
from tests.upstream import Upstream, hang, http, say


def leading_to(*answers: list[str]) -> tuple[Callable[[str, int], object], list[str]]:
    """A resolver that gives each answer in turn, and what it was asked."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return resolve, asked


GOOD = ("https://hooks.test/a?b=c", "https://HOOKS.test", "https://hooks.test:443/")
BAD = (
    "http://hooks.test/", "https://hooks.test:8443/", "https://user@hooks.test/",
    "https://hooks.test@evil.test/", "https://evil.test/", "https://hooks.test.evil.test/",
    "https://hooks.test#@evil.test/", "https://hooks.test\\@evil.test/", "//hooks.test/",
    "https://169.254.169.254/", "https://0x7f.1/", "https://2130706433/", "https://[::1]/",
    "https://hooks.test/\r\nX: y", "https://hooks.test/ x", "ftp://hooks.test/", "",
    "https://hooks.test:0443x/", "https://hooks.test/" + "a" * 2_100, "https://h\u00f6oks.test/",
)  # fmt: skip


@pytest.mark.parametrize("url", GOOD)
def test_a_listed_host_by_https(url: str) -> None:
    to = Outbound(["hooks.test"]).check(url)
    assert (to.host, to.port, to.exact) == ("hooks.test", 443, False)


@pytest.mark.parametrize("url", BAD)
def test_S01_everything_else_is_refused(url: str) -> None:
    with pytest.raises(OutboundRefused):
        Outbound(["hooks.test"]).check(url)


def test_S01_without_hosts_nothing_is_called() -> None:
    with pytest.raises(OutboundRefused, match="names no host"):
        Outbound([]).check("https://hooks.test/")


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
     "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1",
     "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::"],
)  # fmt: skip
async def test_S01_a_listed_name_may_not_lead_inside(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    resolve, _ = leading_to(["8.8.8.8", address])
    made = Outbound(["hooks.test"], resolve)  # type: ignore[arg-type]
    with pytest.raises(OutboundRefused, match="not public"):
        await made.post("https://hooks.test/", {}, b"{}")


def test_public_addresses_are_known() -> None:
    for address in ("8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"):
        assert is_public(ipaddress.ip_address(address))


async def test_S01_a_host_is_resolved_once_and_that_address_is_called() -> None:
    with Upstream() as upstream:
        resolve, asked = leading_to(["127.0.0.1"], ["169.254.169.254"])
        made = Outbound([f"hooks.test:{upstream.port}"], resolve)  # type: ignore[arg-type]
        url = f"http://hooks.test:{upstream.port}/hook"
        assert await made.post(url, {"X-One": "1"}, b"{}") == 200
        assert asked == ["hooks.test"]
        head = upstream.requests[0].lower()
        assert f"host: hooks.test:{upstream.port}".encode() in head and b"x-one: 1" in head
        assert head.startswith(b"post /hook http/1.1")
        with pytest.raises(OutboundRefused, match="loopback"):  # plain http goes nowhere else
            await made.post(url, {}, b"{}")
        await made.close()


async def test_S01_a_redirect_is_not_followed() -> None:
    with Upstream() as upstream, Upstream() as inner:
        where = f"location: http://127.0.0.1:{inner.port}/"
        upstream.act = say(http(302, b"", where))
        made = Outbound([f"127.0.0.1:{upstream.port}", f"127.0.0.1:{inner.port}"])
        assert await made.post(f"http://127.0.0.1:{upstream.port}/", {}, b"{}") == 302
        assert inner.requests == []
        await made.close()


async def test_what_does_not_answer_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "TIMEOUT_S", 0.2)
    with Upstream() as upstream:
        made = Outbound([f"127.0.0.1:{upstream.port}", "127.0.0.1:9", "nowhere.invalid"])
        upstream.act = hang
        for url in (f"http://127.0.0.1:{upstream.port}/", "http://127.0.0.1:9/"):
            with pytest.raises(OutboundFailed, match="no answer"):
                await made.post(url, {}, b"{}")
        await made.close()
    resolve, _ = leading_to([])
    with pytest.raises(OutboundFailed, match="no address"):
        await Outbound(["a.test"], resolve).post("https://a.test/", {}, b"")  # type: ignore[arg-type]


async def test_the_system_resolves() -> None:
    assert "127.0.0.1" in await resolved("127.0.0.1", 80)
    assert await resolved("0x7f.1", 80) == ["127.0.0.1"], "such spellings are seen through"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate")
async def test_the_certificate_must_be_the_names_though_the_address_is_called(
    tmp_path: Path,
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=hooks.test", "-addext", "subjectAltName=DNS:hooks.test", "-keyout", str(key),
         "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate, key)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http(204, b""))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=served)
    port = server.sockets[0].getsockname()[1]
    trusted = ssl.create_default_context(cafile=str(certificate))
    resolve, _ = leading_to(["127.0.0.1"])
    hosts = [f"hooks.test:{port}", f"other.test:{port}"]
    made = Outbound(hosts, resolve, trusted)  # type: ignore[arg-type]
    assert await made.post(f"https://hooks.test:{port}/", {}, b"{}") == 204
    with pytest.raises(OutboundFailed):
        await made.post(f"https://other.test:{port}/", {}, b"{}")
    stranger = Outbound(hosts, resolve)  # type: ignore[arg-type]
    with pytest.raises(OutboundFailed):
        await stranger.post(f"https://hooks.test:{port}/", {}, b"{}")
    await made.close()
    await stranger.close()
    server.close()
    await server.wait_closed()
