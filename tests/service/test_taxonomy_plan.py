"""A plan's taxonomy: what it comes to, what `check` says, and a service that fits its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from learning.taxonomies import default
from learning.taxonomy import Classifier
from service.api.chat import hundredths
from service.bootstrap.relearning import adopt
from service.bootstrap.taxonomy import finder_of, wanted_of
from service.check import load_checked
from service.domain.errors import PlanInvalid
from service.plan.taxonomy_check import taxonomy_problems
from service.plan.whole import Plan
from tests.conftest import make_runtime
from tests.service.faults.refusing import AUTH, Stage, staged
from tests.service.test_config import GOOD, write
from tests.upstream import Upstream, answer_json, http, say

SAFE = "taxonomy: {safe: a}\n"
FIVE = "examples: [one thing, two things, three things, four things, five things]"
OWN = f"tasks:\n  - {{name: mine, {FIVE}}}\n  - {{name: prose, like: [writing]}}\n"


def plan(tmp_path: Path, more: str) -> Plan:
    return load_checked(write(tmp_path, GOOD + more))


def test_a_plan_without_it_has_none_and_one_with_it_has_the_defaults_tasks(tmp_path: Path) -> None:
    assert plan(tmp_path, "").task_names == ("other",)
    assert wanted_of(plan(tmp_path, "")) is None and finder_of(plan(tmp_path, ""), tmp_path) is None
    found = plan(tmp_path, SAFE)
    assert found.task_names == default.NAMES and found.threshold == 0.75
    assert found.review.classification is not None
    finder = finder_of(found, tmp_path)
    assert finder is not None and finder.safe == ("a",) and finder.wanted is None
    assert finder.current is default.classifier()


def test_there_is_one_threshold(tmp_path: Path) -> None:
    review = "review: {classification: {threshold: 0.6}}\n"
    assert plan(tmp_path, SAFE + review).threshold == 0.6
    assert plan(tmp_path, review).threshold == 0.6
    assert plan(tmp_path, "taxonomy: {safe: a, threshold: 0.8}\n").threshold == 0.8
    with pytest.raises(PlanInvalid, match="there is one threshold"):
        plan(tmp_path, "taxonomy: {safe: a, threshold: 0.8}\n" + review)


def test_its_own_tasks_are_fitted_from_examples_and_what_they_are_like(tmp_path: Path) -> None:
    wanted = wanted_of(plan(tmp_path, OWN + "taxonomy: {use: plan, safe: a, version: mine-3}\n"))
    assert wanted is not None and wanted.version == "mine-3"
    assert wanted.tasks == ("mine", "prose", "other")
    assert wanted.places == {"writing": "prose"} and len(wanted.examples) == 5
    both = wanted_of(plan(tmp_path, OWN + SAFE))
    assert both is not None and both.places["maths"] == "maths"
    assert both.places["writing"] == "prose" and "writing" not in both.tasks


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("taxonomy: {}\n", "does not say by whom"),
        ("taxonomy: {safe: [b]}\n", "no deployment 'b'"),
        ("taxonomy: {safe: a, ask: {deployment: b}}\n", "no deployment 'b'"),
        ("taxonomy: {safe: a, use: plan}\n", "the plan has no tasks"),
        (f"tasks: [{{name: t, {FIVE}}}]\n", "the plan has no taxonomy"),
        (SAFE + "tasks: [{name: t, examples: [one]}]\n", "has 1 examples"),
        (SAFE + "tasks: [{name: t, like: [poems]}]\n", "no task 'poems'"),
        (SAFE + "tasks: [{name: t, like: [code]}, {name: u, like: [code]}]\n", "under t already"),
        (SAFE + f"tasks: [{{name: t, {FIVE}}}, {{name: u, {FIVE}}}]\n", "of t is given again"),
        ("taxonomy: {safe: a, thresold: 0.7}\n", "did you mean threshold"),
        ("taxonomy: {safe: a, ask: {deployment: a, timeout: 1}}\n", "did you mean timeout_s"),
    ],
)  # fmt: skip
def test_check_says_what_is_wrong(tmp_path: Path, more: str, said: str) -> None:
    with pytest.raises(PlanInvalid, match=said):
        plan(tmp_path, more)


def test_a_safe_deployment_of_the_plan_is_the_safe_one(tmp_path: Path) -> None:
    found = plan(tmp_path, "taxonomy: {}\nsafe_deployment: a\n")
    finder = finder_of(found, tmp_path)
    assert list(taxonomy_problems(found)) == [] and finder is not None and finder.safe == ("a",)


def test_without_labels_and_without_a_fit_there_is_none_until_it_is_fitted(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path, GOOD + OWN + SAFE)
    try:
        finder, shipped = runtime.router.table.finder, default.classifier()
        assert finder is not None and finder.wanted is not None and finder.current is None
        tasks = finder.wanted.tasks
        coef, intercept = np.zeros((len(tasks), shipped.width)), np.zeros(len(tasks))
        learned = Classifier(tasks, "learned", coef, intercept, 1.0, {})
        assert adopt(runtime, learned.state()) and finder.current is not None
        assert not adopt(runtime, None) and finder.current is None
    finally:
        runtime.kept.close()


TASKS = """tasks:
  - name: recipe
    examples: [How do I cook risotto, A recipe with leeks and potatoes, What goes into pesto,
      How long must an egg boil, Bake a loaf with rye flour]
"""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Upstream() as upstream:
        upstream.act = say(http(200, answer_json()))
        more = TASKS + "taxonomy: {safe: b}\nreview: {classification: {audit: 0}}\n"
        with staged(tmp_path_factory.mktemp("own"), upstream, more) as running:
            yield running


@pytest.mark.slow
def test_a_service_fits_its_own_meanwhile_and_routes_by_it(stage: Stage) -> None:
    def classified(text: str) -> dict[str, object]:
        body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
        found = httpx.post(f"{stage.url}/v1/classify", json=body, headers=AUTH)
        assert found.status_code == 200, found.text
        shown: dict[str, object] = found.json()
        return shown

    deadline = time.monotonic() + 280
    while classified("hm")["classifier"] is None:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    sure = classified("Translate to Polish: good night")
    assert (sure["task"], sure["goes"]) == ("translation", "auto")
    answer = stage.ask(messages=[{"role": "user", "content": "hm the thing with the pot"}])
    assert answer.status_code == 200
    headers = answer.headers
    unsure = classified("hm the thing with the pot")
    assert unsure["goes"] == "review" and unsure["safe"] == ["b"]
    assert headers["x-headgate-task"] == unsure["task"]
    assert headers["x-headgate-deployment"] == "b"
    assert headers["x-headgate-confidence"] == hundredths(float(str(unsure["confidence"]))).decode()
    why = httpx.get(
        f"{stage.url}/v1/decisions/{headers['x-headgate-decision-id']}", headers=AUTH
    ).json()
    assert why["task_source"] == "classifier" and unsure["task"] in why["task_classes"]
    rows = httpx.get(f"{stage.url}/admin/review", headers=AUTH).json()["reviews"]
    assert [row["subject"] for row in rows] == [why["decision_id"]]
