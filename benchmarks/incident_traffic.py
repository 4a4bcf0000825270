"""Callers at a steady rate who rate what they get, and what each of their requests showed."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from service.providers.simulated import Stream, prompts

PERIOD_S = 0.8  # of a caller, so that a slow answer holds up only its own
GIVE_UP_S = 20.0
RATED = 0.5
WINDOWS_S = (1.0, 3.0)


@dataclass(frozen=True, slots=True)
class Seen:
    """One request: when it was sent and ended (monotonic), what came, and who was drawn.

    ``code``: of the error, where one came.
    """

    sent_s: float
    ended_s: float
    status: int
    served: str
    drawn: str
    code: str = ""


class Callers(threading.Thread):
    """Threads that ask until told to stop; ``seen`` grows as answers come."""

    def __init__(self, port: int, key: str, rate: float, seed: int) -> None:
        super().__init__(name="callers")
        self._port, self._key = port, key
        self._number = max(1, round(rate * PERIOD_S))
        self._halt = threading.Event()
        self._texts = itertools.cycle(prompts(seed, 5_000))
        self._world = Stream(seed=seed)
        self.seen: list[Seen] = []

    def run(self) -> None:
        callers = [threading.Thread(target=self._ask, args=(n,)) for n in range(self._number)]
        for each in callers:
            each.start()
        for each in callers:
            each.join()

    def stop(self) -> None:
        """Ask no more; what is under way is waited for."""
        self._halt.set()
        self.join(2 * GIVE_UP_S)

    def _ask(self, number: int) -> None:
        chance = random.Random(number)
        connection: http.client.HTTPConnection | None = None
        self._halt.wait(chance.random() * PERIOD_S)
        while not self._halt.is_set():
            connection = connection or http.client.HTTPConnection(
                "127.0.0.1", self._port, timeout=GIVE_UP_S
            )
            sent_s, text = time.monotonic(), next(self._texts)
            try:
                self._one(connection, text, sent_s, chance.random() < RATED)
            except (OSError, http.client.HTTPException):
                self.seen.append(Seen(sent_s, time.monotonic(), 0, "", "", "no answer"))
                connection.close()
                connection = None
            self._halt.wait(max(sent_s + PERIOD_S - time.monotonic(), 0.0))
        if connection is not None:
            connection.close()

    def _one(
        self, connection: http.client.HTTPConnection, text: str, sent_s: float, rate: bool
    ) -> None:
        body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
        answer, status, code = self._post(connection, "/v1/chat/completions", body)
        served = answer.get("x-headgate-deployment", "")
        drawn = answer.get("x-headgate-fallback-from") or served
        self.seen.append(Seen(sent_s, time.monotonic(), status, served, drawn, code))
        if status == 200 and rate:
            worth = self._world.answer(served, text, 10).quality
            rating = {"id": answer["x-headgate-decision-id"], "value": round(worth, 3)}
            self._post(connection, "/v1/feedback", rating)

    def _post(
        self, connection: http.client.HTTPConnection, path: str, body: dict[str, object]
    ) -> tuple[dict[str, str], int, str]:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(body), headers)
        reply = connection.getresponse()
        data = reply.read()
        code = "" if reply.status < 400 else str(json.loads(data)["error"]["code"])
        return {name.lower(): value for name, value in reply.getheaders()}, reply.status, code


def share(seen: Sequence[Seen], name: str, start_s: float, stop_s: float) -> float | None:
    """The part of the requests sent in a time that were drawn for a deployment."""
    drawn = [each.drawn for each in seen if start_s <= each.sent_s < stop_s and each.drawn]
    return drawn.count(name) / len(drawn) if drawn else None


def crossing(
    seen: Sequence[Seen], name: str, level: float, span: tuple[float, float]
) -> tuple[float | None, float | None]:
    """From ``span`` (start, end): seconds until the end of the first second in which the share, as
    in the three seconds that begin with it, is at most ``level``; and in which it is at least that.
    """
    start_s, end_s = span
    below = above = None
    for step in range(int((end_s - WINDOWS_S[-1] - start_s) * 10) + 1):
        at_s = start_s + step / 10
        now = [share(seen, name, at_s, at_s + width_s) for width_s in WINDOWS_S]
        shares = [each for each in now if each is not None]
        if len(shares) == len(now):
            told = step / 10 + WINDOWS_S[0]
            below = told if below is None and max(shares) <= level else below
            above = told if above is None and min(shares) >= level else above
    return below, above
