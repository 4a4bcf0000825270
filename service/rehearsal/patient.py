"""The day's work that nobody waits for: files cut and uploaded, batches begun, results fetched."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.domain.errors import HeadgateError
from service.rehearsal.inside import App, ask
from service.rehearsal.seen import Seen
from service.rehearsal.traffic import CHAT

# When files are cut, in seconds after midnight UTC, each with what was kept since the one before.
CUTS_S = (2_700.0, 21_600.0, 43_200.0, 64_800.0, 86_400.0)
WINDOW = "24h"
# The premium tier's texts of the forenoon are to stand in the shop by the evening.
HASTY: tuple[str, float, str] = ("premium", 43_200.0, "6h")
LOOK_S = 1_800.0  # between looks at a batch that is under way
LIVE = ("in_progress", "cancelling")
_EDGE = "the-edge-of-a-file-of-the-day"


@dataclass(slots=True)
class Sent:
    """A batch of the day. ``shown``: as the service shows it, in the end; ``lines``: how many it
    was given; ``told``: the names that its result files hold, each as often as it stands there.
    """

    tier: str
    key: str
    lines: list[Seen]
    shown: dict[str, Any] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)


class Patient:
    """Those who hand in files for one tier of the studio each, with a key of that tenant's.

    ``rate``: how an answer is rated, with the key it was asked by; ``over``: called once a request.
    """

    def __init__(
        self, app: App, now_s: Callable[[], float], key: str,
        rate: Callable[[Seen, str], Awaitable[None]], over: Callable[[], None],
    ) -> None:  # fmt: skip
        self._app, self._now_s, self._key = app, now_s, key
        self._rate, self._over = rate, over
        self._keys: dict[str, str] = {}
        self._piles: dict[str, list[Seen]] = {}
        self.sent: list[Sent] = []

    def keep(self, seen: Seen) -> None:
        """For the next file."""
        self._piles.setdefault(seen.wish.tier, []).append(seen)

    async def run(self) -> None:
        """Cut and send all files of the day, and follow each batch to its end."""
        following = []
        for at_s in CUTS_S:
            await asyncio.sleep(max(at_s - self._now_s(), 0.0))
            for tier in sorted(self._piles):
                sent = await self._send(tier, self._piles.pop(tier), at_s)
                following.append(asyncio.create_task(self._follow(sent)))
        await asyncio.gather(*following)

    async def _send(self, tier: str, lines: list[Seen], at_s: float) -> Sent:
        key = await self._key_of(tier)
        content = b"\n".join(json.dumps(each.wish.line()).encode() for each in lines)
        kind, body = form(content)
        file = await self._asked(("POST", "/v1/files"), key, body, kind)
        window = HASTY[2] if (tier, at_s) == HASTY[:2] else WINDOW
        wanted = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": window}
        shown = await self._asked(("POST", "/v1/batches"), key, json.dumps(wanted).encode())
        self.sent.append(sent := Sent(tier, key, lines, shown))
        for each in lines:
            each.batch = shown["id"]
        return sent

    async def _key_of(self, tier: str) -> str:
        if tier not in self._keys:
            wanted = {"name": f"files of {tier}", "role": "caller", "tenant": f"studio-{tier}",
                      "tier": tier, "reason": "hands in files"}  # fmt: skip
            made = await self._asked(
                ("POST", "/admin/keys"), self._key, json.dumps(wanted).encode()
            )
            self._keys[tier] = made["key"]
        return self._keys[tier]

    async def _follow(self, sent: Sent) -> None:
        """Look until it has ended, which its completion window sees to; then read what came."""
        path = f"/v1/batches/{sent.shown['id']}"
        while sent.shown["status"] in LIVE:
            await asyncio.sleep(LOOK_S)
            sent.shown = await self._asked(("GET", path), sent.key)
        of = {each.wish.custom_id: each for each in sent.lines}
        for name in (sent.shown["output_file_id"], sent.shown["error_file_id"]):
            if name is None:
                continue
            where = ("GET", f"/v1/files/{name}/content")
            _, _, content = await ask(self._app, where, sent.key)
            for line in map(json.loads, content.splitlines()):
                sent.told.append(line["custom_id"])
                read_line(of[line["custom_id"]], line)
        for each in sent.lines:
            self._over()
            if each.status == 200 and each.wish.rates:
                await self._rate(each, sent.key)

    async def _asked(
        self, asked: tuple[str, str], key: str, body: bytes = b"", kind: str = "application/json"
    ) -> dict[str, Any]:
        """What a route says that must not refuse."""
        status, _, data = await ask(self._app, asked, key, body, kind)
        found: dict[str, Any] = json.loads(data)
        if status >= 400:
            raise HeadgateError(f"{asked[1]} answered {status}: {found['error']['message']}")
        return found


def form(content: bytes) -> tuple[str, bytes]:
    """A file for a batch as a form: its content type, and the body."""
    parts = (
        f'--{_EDGE}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'.encode(),
        f'--{_EDGE}\r\ncontent-disposition: form-data; name="file"; filename="day.jsonl"\r\n'
        "content-type: application/jsonl\r\n\r\n".encode(),
        content, f"\r\n--{_EDGE}--\r\n".encode(),
    )  # fmt: skip
    return f"multipart/form-data; boundary={_EDGE}", b"".join(parts)


def read_line(seen: Seen, line: dict[str, Any]) -> None:
    """What a line of a result file says of its request."""
    response, told = line["response"], line.get("headgate")
    if response is None:
        seen.code = line["error"]["code"]
        return
    seen.status = response["status_code"]
    if told is not None:
        seen.decision_id, seen.deployment = told["decision_id"], told["deployment"]
    else:
        seen.code = str(response["body"]["error"]["code"])


def slack_s(sent: Sequence[Sent]) -> list[float]:
    """How long before its deadline each ended, the least first."""
    ends = ("completed_at", "expired_at", "cancelled_at", "failed_at")
    return sorted(
        each.shown["expires_at"] - next(each.shown[name] for name in ends if each.shown[name])
        for each in sent
    )
