"""S07 and S09: texts of others' languages in every string; they stay texts."""

from __future__ import annotations

import csv
import io
import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi.routing import APIRoute

from service.storage.tables import NAMES as TABLES
from tests.conftest import KEY, Service
from tests.security.bodies import NAMES, ROUTES, path_of, smallest

PAYLOADS = (
    "' OR '1'='1", "'; DROP TABLE acts; --", "x' UNION SELECT digest FROM keys --", "\\'; --",
    "$$; DELETE FROM decisions; $$", "%27%20OR%201=1", "a\nb: c", "{{7*7}}${7*7}", "../../hash.key",
)  # fmt: skip
pytestmark = pytest.mark.slow
AUTH = {"Authorization": f"Bearer {KEY}"}


def intact(service: Service) -> dict[str, int]:
    cursor = service.runtime.kept.database.cursor()
    counts = {}
    for name in TABLES:
        row = cursor.execute(f"SELECT count(*) FROM {name}").fetchone()
        counts[name] = int(row[0]) if row else -1
    return counts


@pytest.mark.parametrize(("method", "route"), ROUTES, ids=[f"S07-{n}" for n in NAMES])
def test_in_every_place_of_a_path_and_every_field_of_a_body(
    service: Service, http: httpx.Client, document: dict[str, Any], method: str, route: APIRoute
) -> None:
    before = intact(service)
    body = smallest(document, method, route.path)
    for payload in PAYLOADS[:5]:
        path = path_of(route, quote(payload, safe=""))
        bodies = [body]
        if isinstance(body, dict):
            bodies = [body, {n: payload if isinstance(v, str) else v for n, v in body.items()}]
        for each in bodies:
            answer = http.request(method, path, headers=AUTH, json=each)
            assert answer.status_code < 500 or answer.status_code == 503, answer.text
            assert "duckdb" not in answer.text.lower() and "Parser Error" not in answer.text
    after = intact(service)
    assert all(after[name] >= before[name] for name in TABLES), "nothing was taken away"


def test_S07_in_the_header_of_the_key(http: httpx.Client, service: Service) -> None:
    before = intact(service)
    for payload in PAYLOADS:
        if "\n" not in payload:
            answer = http.get("/admin/status", headers={"Authorization": f"Bearer {payload}"})
            assert answer.status_code == 401 and payload not in answer.text
    assert intact(service)["keys"] == before["keys"]


@pytest.mark.parametrize("number", range(len(PAYLOADS)), ids=[f"S07-{n}" for n in range(9)])
def test_S07_in_every_filter(http: httpx.Client, number: int) -> None:
    payload = PAYLOADS[number]
    for name in ("actor", "act", "subject"):
        found = http.get("/admin/audit", params={name: payload}, headers=AUTH)
        assert found.status_code == 200 and found.json()["acts"] == []
    for name in ("since", "until", "page", "limit", "order"):
        assert http.get("/admin/audit", params={name: payload}, headers=AUTH).status_code in (
            400, 422,
        )  # fmt: skip
    for path, name in (("/admin/knowledge", "words"), ("/admin/knowledge", "tag"),
                       ("/admin/weights", "task"), ("/admin/knowledge", "since")):  # fmt: skip
        assert http.get(path, params={name: payload}, headers=AUTH).status_code in (200, 400)


def test_S07_what_is_written_comes_back_as_it_was(http: httpx.Client) -> None:
    for payload in PAYLOADS:
        text = f"{payload} and more"
        body = {"action": "exclude", "deployment": "mill", "reason": text, "author": text[:100]}
        made = http.post("/admin/overrides", headers=AUTH, json=body)
        assert made.status_code == 201
        (act,) = http.get("/admin/audit", params={"subject": made.json()["id"]},
                          headers=AUTH).json()["acts"]  # fmt: skip
        assert act["reason"] == text and act["author"] == text[:100]
    looked = http.get("/admin/audit/verify", headers=AUTH).json()
    assert looked["holds"], looked


def test_S09_nothing_of_an_export_is_a_formula(http: httpx.Client) -> None:
    hostile = ("=cmd|' /C calc'!A0", "+1+2+3+4+5", "-1+2+3+4+5", "@SUM(A1:A9)", "\t=1+2+3+4+5")
    for text in hostile:
        body = {"action": "exclude", "deployment": "mill", "reason": text, "author": text[:9]}
        made = http.post("/admin/overrides", headers=AUTH, json=body)
        assert made.status_code == 201
    told = http.get("/admin/audit/export?format=csv", headers=AUTH)
    assert told.headers["content-type"].startswith("text/csv")
    assert "attachment" in told.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(told.text, newline="")))
    assert {f"'{text}" for text in hostile} <= {row["reason"] for row in rows}
    for row in rows:
        assert not any(str(v).lstrip().startswith(("=", "+", "-", "@")) for v in row.values())
    lines = http.get("/admin/audit/export", headers=AUTH).text.splitlines()
    assert {json.loads(line)["reason"] for line in lines} >= set(hostile)
