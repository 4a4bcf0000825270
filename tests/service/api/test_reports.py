"""The routes of reports: those that are kept are listed and given, to analysts alone."""

from __future__ import annotations

import httpx

from experiments.errors import CannotSay
from experiments.reviewing.finding import Finding, Review
from service.reporting.shelf import keep
from tests.conftest import Service

BAD = "<script>alert(1)</script>"
FINDING = Finding("override", "o", BAD, BAD, CannotSay(BAD), None, "", BAD)
REVIEW = Review("weekly-2026-W47", BAD, "a", "b", "c", (), (FINDING,), {})


def test_kept_reports_are_listed_and_given(service: Service) -> None:
    auth = {"Authorization": f"Bearer {service.key}"}
    with httpx.Client(base_url=service.url, headers=auth, timeout=10) as client:
        assert client.get("/admin/reports").json() == {"reports": []}
        keep(service.runtime.kept.state_dir, REVIEW)
        names = [each["name"] for each in client.get("/admin/reports").json()["reports"]]
        assert names == [f"weekly-2026-W47.{form}" for form in ("html", "json", "md")]
        page = client.get(f"/admin/reports/{names[0]}")
        assert page.headers["content-type"].startswith("text/html")
        assert "sandbox" in page.headers["content-security-policy"] and BAD not in page.text
        assert client.get(f"/admin/reports/{names[1]}").json()["name"] == "weekly-2026-W47"
        for name in ("weekly-2026-W48.html", "plan.yaml", "..%2Fplan.yaml"):
            answer = client.get(f"/admin/reports/{name}")
            assert answer.status_code == 404 and answer.json()["error"]["message"]


def test_no_key_no_report(service: Service) -> None:
    assert httpx.get(f"{service.url}/admin/reports", timeout=10).status_code == 401


def test_reviews_are_among_the_jobs_of_the_clock(service: Service) -> None:
    (job,) = (each for each in service.runtime.scheduler.jobs if each.name == "reviews")
    assert job.every_s == 60.0
