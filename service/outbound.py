"""Calls to addresses that people name: webhooks. Only to hosts that the plan lists."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

import httpx

TIMEOUT_S = 10.0
MAX_URL = 2_048
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>[/?][\x21-\x7e]*)?"
)
_EMBEDS_V4 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("2002::/16"))

Resolve = Callable[[str, int], Awaitable[list[str]]]


def signature(secret: str, unix_s: int, body: bytes) -> str:
    """The header's value: the time, and HMAC-SHA256 over the time, a dot and the body."""
    signed = hmac.new(secret.encode(), b"%d." % unix_s + body, hashlib.sha256).hexdigest()
    return f"t={unix_s},v1={signed}"


class OutboundRefused(Exception):
    """An address that must not be called; the text goes after the field's name."""


class OutboundFailed(Exception):
    """A call that came to nothing; another try may do better."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A URL taken apart. ``exact``: the plan lists its host with its port."""

    scheme: str
    host: str
    port: int
    target: str
    exact: bool


class Outbound:
    """POSTs without redirects, proxies or cookies, to an address that was resolved and looked at.

    ``hosts``: names (https on the usual port, public addresses alone) or ``name:port`` (that
    port, private addresses too; plain http to loopback alone).
    """

    def __init__(
        self,
        hosts: Iterable[str],
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._hosts = frozenset(each.lower() for each in hosts)
        self._resolve = resolve or resolved
        self._tls = tls
        self._http: httpx.AsyncClient | None = None

    def check(self, url: str) -> Destination:
        """A URL's parts, if it may be called as far as its text tells; raises OutboundRefused."""
        found = _URL.fullmatch(url) if len(url) <= MAX_URL else None
        if found is None or "#" in url:
            raise OutboundRefused("must be a plain https:// URL: a host, perhaps a port, a path")
        scheme, host = found["scheme"], found["host"].lower().rstrip(".")
        port = int(found["port"] or (443 if scheme == "https" else 80))
        exact = f"{host}:{port}" in self._hosts
        if not self._hosts:
            raise OutboundRefused("is not taken here: the plan's queue.webhook_hosts names no host")
        if not exact and (host not in self._hosts or (scheme, port) != ("https", 443)):
            raise OutboundRefused(
                "must go to a host of the plan's queue.webhook_hosts, by https; ask the operators"
            )
        return Destination(scheme, host, port, found["target"] or "/", exact)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """The status of a POST. The host is resolved once and that address is called.

        Raises OutboundRefused, OutboundFailed.
        """
        to = self.check(url)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                address = await self._address(to)
                return await self._send(to, address, headers, body)
        except (httpx.HTTPError, OSError, UnicodeError) as error:  # TimeoutError is an OSError
            raise OutboundFailed(f"no answer ({type(error).__name__})") from None

    async def _address(self, to: Destination) -> str:
        addresses = await self._resolve(to.host.strip("[]"), to.port)
        if not addresses:
            raise OutboundFailed("the host has no address")
        for each in addresses:
            address = ipaddress.ip_address(each)
            if not to.exact and not is_public(address):
                raise OutboundRefused("leads to an address that is not public")
            if to.scheme == "http" and not address.is_loopback:
                raise OutboundRefused("must be https; plain http goes to loopback alone")
        return addresses[0]

    async def _send(
        self, to: Destination, address: str, headers: Mapping[str, str], body: bytes
    ) -> int:
        if self._http is None:
            self._http = httpx.AsyncClient(
                verify=self._tls or True,
                trust_env=False,
                follow_redirects=False,
                timeout=TIMEOUT_S,
                limits=httpx.Limits(max_connections=16, max_keepalive_connections=0),
            )
        bare = f"[{address}]" if ":" in address else address
        usual = to.port == (443 if to.scheme == "https" else 80)
        host = to.host if usual else f"{to.host}:{to.port}"
        async with self._http.stream(
            "POST",
            f"{to.scheme}://{bare}:{to.port}{to.target}",
            content=body,
            headers={**headers, "Host": host, "User-Agent": "headgate"},
            extensions={"sni_hostname": to.host.strip("[]")},
        ) as response:
            return response.status_code  # what it says besides is not read

    async def close(self) -> None:
        """Let the connections go."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address lies in the public internet, whatever it is dressed up as."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if any(address in network for network in _EMBEDS_V4):
            return False
    return address.is_global and not address.is_multicast


async def resolved(host: str, port: int) -> list[str]:
    """The addresses of a host, in the system's order; raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(each[4][0]) for each in found]
