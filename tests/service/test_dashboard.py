"""The dashboard is one that Grafana takes, and asks for nothing that is not counted."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

import pytest

from service.telemetry import Telemetry, declared
from tests.conftest import ROOT

BOARD: dict[str, Any] = json.loads((ROOT / "docs/grafana/headgate.json").read_text("utf-8"))
PANELS: list[dict[str, Any]] = BOARD["panels"]
LABELS = {each.name: set(each.labels) for each in declared()}
HISTOGRAMS = {each.name for each in declared() if each.kind == "histogram"}
PROCESS = {
    word.split("{")[0].split(" ")[0]
    for word in Telemetry().text().decode().splitlines()
    if word.startswith("process_")
}
QUERIES = [
    (panel["title"], target["expr"], target["legendFormat"])
    for panel in PANELS
    for target in panel.get("targets", ())
]
WORDS = {
    "sum", "max", "min", "by", "rate", "histogram_quantile", "or", "vector", "le", "ignoring",
    "changes",
}  # fmt: skip


def metrics(query: str) -> list[tuple[str, set[str]]]:
    """Each metric that a query names, with the labels by which it picks."""
    found = []
    for name, _, inside in re.findall(r"\b(headgate_\w+|process_\w+)(\{([^}]*)\})?", query):
        found.append((name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", inside))))
    return found


def labels_of(name: str) -> set[str]:
    """The labels of a metric that is counted."""
    if name in PROCESS:
        return set()
    whole = re.sub("_(bucket|sum|count)$", "", name)
    assert whole in LABELS, f"{name} is not counted"
    if whole != name:
        assert whole in HISTOGRAMS, f"{name} is no histogram's"
        return LABELS[whole] | ({"le"} if name.endswith("_bucket") else set())
    assert whole not in HISTOGRAMS, f"{name} needs _bucket, _sum or _count"
    return LABELS[whole]


def check(query: str, legend: str) -> None:
    """A query names what is counted, picks and groups by labels that are there, and is closed."""
    named = metrics(query)
    assert named, query
    every = set.union(*(labels_of(name) for name, _ in named))
    for name, picks in named:
        assert picks <= labels_of(name), f"{name} has no {picks - labels_of(name)}"
        if name.endswith("_total"):
            counter = re.search(rf"(rate|changes)\({name}[^\[]*\[", query)
            assert counter or query == name, f"{name} is a counter: {query}"
        if name.endswith("_bucket"):
            assert "le" in "".join(re.findall(r"by \(([^)]*)\)", query)), query
    grouped = [re.split(r",\s*", each) for each in re.findall(r"by \(([^)]*)\)", query)]
    for group in grouped:
        assert set(group) <= every, f"{set(group) - every} of {query}"
    shown = set(re.findall(r"\{\{(\w+)\}\}", legend))
    left = set().union(*grouped) if grouped else every
    assert shown <= left - {"le"}, f"{shown - left} in the legend of {query}"
    bare = re.sub(r'"[^"]*"', "", query)
    for pair in ("()", "{}", "[]"):
        assert bare.count(pair[0]) == bare.count(pair[1]), query
    plain = re.sub(r"\{[^}]*\}|\[[^\]]*\]|by \([^)]*\)|ignoring \([^)]*\)", "", bare)
    unknown = set(re.findall(r"\b[a-z_]+\b", plain)) - WORDS - {name for name, _ in named}
    assert not unknown, f"{unknown} in {query}"


@pytest.mark.parametrize(("title", "query", "legend"), QUERIES)
def test_what_is_asked_is_counted(title: str, query: str, legend: str) -> None:
    check(query, legend)


@pytest.mark.parametrize(
    ("query", "legend"),
    [
        ("headgate_nothing", ""), ("rate(headgate_requests_total[5m]", ""),
        ('sum(rate(headgate_requests_total{tenant="a"}[5m]))', ""), ("headgate_ttft_seconds", ""),
        ("sum by (task) (headgate_in_flight)", ""), ("sum(headgate_requests_total)", ""),
        ("sum by (deployment) (headgate_in_flight)", "{{state}}"), ("avgg(headgate_outage)", ""),
        ("histogram_quantile(0.9, sum by (deployment) (rate(headgate_ttft_seconds_bucket[5m])))",
         ""),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found(query: str, legend: str) -> None:
    with pytest.raises(AssertionError):
        check(query, legend)


def test_it_is_a_dashboard() -> None:
    assert BOARD["schemaVersion"] >= 36 and BOARD["id"] is None and BOARD["uid"] == "headgate"
    ids = [panel["id"] for panel in PANELS]
    assert len(ids) == len(set(ids)) and all(isinstance(each, int) for each in ids)
    rows = [panel["title"] for panel in PANELS if panel["type"] == "row"]
    assert rows == ["Now", "Deployments", "Money", "Learning", "Operators", "Health"]
    for panel in PANELS:
        assert panel["title"]
        if panel["type"] != "row":
            letters = [target["refId"] for target in panel["targets"]]
            assert letters and len(letters) == len(set(letters))
            assert panel["datasource"]["uid"] == "${datasource}"


def test_no_panel_lies_over_another() -> None:
    places = [panel["gridPos"] for panel in PANELS]
    for place in places:
        assert place["x"] >= 0 and place["x"] + place["w"] <= 24 and place["h"] > 0
    for one, two in combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= two["x"] or two["x"] + two["w"] <= one["x"]
            or one["y"] + one["h"] <= two["y"] or two["y"] + two["h"] <= one["y"]
        )  # fmt: skip
        assert apart, f"{one} {two}"


def test_every_variable_is_there_and_asks_what_is_counted() -> None:
    variables = {each["name"]: each for each in BOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(PANELS))) - {"__rate_interval"}
    assert used == set(variables)
    for each in variables.values():
        if each["type"] == "query":
            name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", each["definition"]).groups()  # type: ignore[union-attr]
            assert label in labels_of(name)
    for each in BOARD["annotations"]["list"]:
        if "expr" in each:
            check(each["expr"], "")
