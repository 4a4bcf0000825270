"""`check` finds what cannot be served from, and lets what can be."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from learning.features import Featurizer
from service.bootstrap.learning import policy_wanted
from service.check import load_checked
from service.cli.serve import alerts_in_words
from service.domain.errors import PlanInvalid
from tests.conftest import ROOT
from tests.service.test_config import GOOD, write

TWO = GOOD + GOOD.replace("deployments:\n", "").replace("name: a", "name: b")


def test_check_says_which_rules_alert_and_whom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_URL", "https://example.com/x")
    channel = "{name: a, kind: slack, url_env: A_URL}"
    more = f"alerts:\n  drift: {{enabled: false}}\n  channels:\n    - {channel}\n"
    plan = load_checked(write(tmp_path, GOOD + more))
    assert alerts_in_words(plan) == (
        "alerts: 15 rules, told: a (page, ticket, info); silent: drift, spend (no limit is set)"
    )
    plan = load_checked(write(tmp_path, GOOD + "alerts: {spend: {usd_per_hour: 1}}\n"))
    assert alerts_in_words(plan) == "alerts: 16 rules, told: nobody: name alerts.channels"
    plan = load_checked(write(tmp_path, GOOD + "alerts: {enabled: false}\n"))
    assert alerts_in_words(plan) == "alerts: off"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (GOOD + GOOD.replace("deployments:\n", ""), 8, "a is given twice"),
        (GOOD + "requirements: [{regions: [eu]}]\n", 7, "no deployment meets this requirement"),
        (GOOD + "requirements: [{task: none, data_policy: []}]\n", 7, "must give regions or"),
        (GOOD + "    region: eu\nrequirements: [{task: x, regions: [eu]}]\n", 8, "no task 'x'"),
        (GOOD + "    strengths: {chess: 0.9}\n", 7, "no task 'chess'"),
        (GOOD + "    data_policy: [kind]\n", 7, "Input should be 'no_training'"),
        (GOOD + "    dialect: klingon\n", 7, "no dialect 'klingon'"),
        (GOOD.replace("name: a", "name: auto"), 3, "reserved"),
        (GOOD + "    tasks: [poems]\n", 7, "no task 'poems'"),
        (GOOD + "    tasks: [t]\ntasks:\n  - name: t\n", None, "serves the task other"),
        (GOOD + "    api_key_env: NO_SUCH_KEY\n", 7, "NO_SUCH_KEY is not set"),
        (TWO + "rules:\n  - use: [c]\n", None, "no deployment 'c'"),
        (TWO + "rules:\n  - {use: [a]}\n  - {when: has_code, use: [b]}\n", None, "never reached"),
        (TWO + "rules:\n  - {when: 'tokens < 0', use: [b]}\n", None, "can never be true"),
        (TWO + "rules:\n  - {use: [a]}\n  - {task: other, use: [b]}\n", None, "never reached"),
        (TWO + "tasks:\n  - {name: s, when: has_code}\n  - {name: t, when: has_code and stream}\n",
         None, "never reached"),
        (GOOD + "notify: {webhook_env: NO_SUCH_HOOK}\n", 7, "NO_SUCH_HOOK is not set"),
        (GOOD + "alerts:\n  channels:\n    - {name: a, kind: slack, url_env: NO_SUCH_URL}\n", 9,
         "NO_SUCH_URL is not set"),
        (GOOD + "policy: {kind: psychic}\n", 7, "unknown policy kind 'psychic'"),
        (GOOD + "policy: {parameters: {gama: 3}}\n", 7, "unknown parameter 'gama'"),
        (GOOD + "policy: {kind: fixed, parameters: {arm: z}}\n", 7, "unknown arm 'z'"),
        (GOOD + "policy: {kind: uniform}\nbudgets: {usd_per_request: 1}\n", 8, "does not pace"),
        (TWO + "policy: {kind: fixed}\nbudgets: {usd_per_request: 1}\n", None,
         "use one of linear, epsilon_greedy"),
        (GOOD + "budgets:\n  named:\n    - {name: a, scope: global, period: day, hard_usd: 1}\n"
         "    - {name: a, scope: task, of: poems, period: day, hard_usd: 1}\n", 10, "given twice"),
        (GOOD + "budgets:\n  named:\n    - {name: a, scope: task, of: poems, period: day, "
         "hard_usd: 1}\n", 9, "no task 'poems'"),
        (GOOD + "budgets:\n  named:\n    - {name: a, scope: deployment, of: z, period: day, "
         "hard_usd: 1}\n", 9, "no deployment 'z'"),
        (GOOD + "budgets:\n  named:\n    - {name: a, scope: global, period: day, hard_usd: 1, "
         "at_cap: queue}\n", 9, "has no queue"),
        (GOOD + "policy: {kind: uniform}\nbudgets:\n  named:\n    - {name: a, scope: global, "
         "period: day, hard_usd: 1, at_cap: pace}\n", 10, "cannot pace"),
        (GOOD.replace("price: {", "price: {cached_input_usd_per_mtok: 99, "), None,
         "cache_write_usd_per_mtok"),
        (GOOD + "    similar_to: z\n", 7, "no deployment 'z'"),
        (GOOD + "judging: {judges: [z], usd_per_day: 1}\n", 7, "no deployment 'z'"),
        (GOOD + "judging: {judges: [a], usd_per_day: 1, rubric: z}\n", 7, "no rubric 'z'"),
        (GOOD + "judging: {judges: [a], usd_per_day: 1, metric: z}\n", 7, "no metric 'z'"),
        (GOOD + "judging: {judges: [a], usd_per_day: 1, metric: t}\n"
         "feedback: {metrics: {rating: {}, t: {scale: labels, labels: [x]}}}\n", 7, "has labels"),
        (GOOD + "    similar_to: a\n", 7, "a resembles itself"),
        (TWO.replace("model: m\n", "model: m\n    similar_to: b\n", 1) + "    similar_to: a\n", 6,
         "in a circle: a -> b -> a"),
        (GOOD + "dials: {tiers: {gold: 0.5}}\n", 7, "no tier 'gold' the plan has no tiers"),
        (GOOD + "refusals: {review_tiers: [gold]}\n", 7, "no tier 'gold' the plan has no tiers"),
        (GOOD + "refusals:\n  suggestions:\n    - {task: poems, text: x}\n", 9, "no task 'poems'"),
        (GOOD + "refusals:\n  suggestions:\n    - {text: x}\n    - {when: has_code, text: y}\n", 10,
         "never reached"),
        (GOOD + "reward: {metric: joy}\n", 7, "no feedback metric 'joy'"),
        (GOOD + "feedback:\n  metrics:\n    rating: {scale: labels}\n", None, "labels"),
    ],
)  # fmt: skip
def test_what_cannot_be_served_from(tmp_path: Path, text: str, line: int | None, said: str) -> None:
    with pytest.raises(PlanInvalid) as caught:
        load_checked(write(tmp_path, text))
    found = [p for p in caught.value.problems if said in f"{p.message} {p.mend}"]
    assert found, caught.value.message
    assert line is None or found[0].line == line
    assert all(p.line for p in caught.value.problems)


@pytest.mark.parametrize("kind", ["linear", "epsilon_greedy", "linucb", "thompson", "inverse_gap"])
def test_a_budget_goes_with_every_policy_that_paces(tmp_path: Path, kind: str) -> None:
    plan = load_checked(
        write(tmp_path, f"{GOOD}policy: {{kind: {kind}}}\nbudgets: {{usd_per_request: 1}}\n")
    )
    wanted = policy_wanted(plan, plan.catalog({}), Featurizer(plan.task_names), 0)
    assert wanted.parameters == {"budget_usd": 1.0}


def test_what_a_deployment_resembles_reaches_the_learner(tmp_path: Path) -> None:
    plan = load_checked(
        write(tmp_path, TWO + "    similar_to: a\ntiers: [t]\ndials: {tiers: {t: 1}}\n")
    )
    wanted = policy_wanted(plan, plan.catalog({}), Featurizer(plan.task_names), 0)
    assert [arm.similar_to for arm in wanted.setup.arms] == ["", "a"]


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ("period: day", "needs hard_usd, soft_usd, or both"),
        ("period: day, soft_usd: 1, at_cap: cheaper", "at_cap cheaper needs hard_usd"),
        ("period: day, soft_usd: 2, hard_usd: 1", "must not be more than hard_usd"),
        ("period: request, hard_usd: 1, at_cap: queue", "cannot queue: it never begins anew"),
        ("period: request, soft_usd: 1", "needs hard_usd"),
        ("period: day, hard_usd: 1, at_soft: cheaper", "at_soft cheaper needs soft_usd"),
        ("period: request, hard_usd: 1, soft_usd: 1", "has no soft_usd"),
        ("period: week, hard_usd: 1", "'hour'"),
        ("period: day, hard_usd: -1", "greater than or equal to 0"),
        ("period: day, hard_usd: 1, of: x", "the scope global has no of"),
        ("period: day, hard_usd: 1, alert_at: [2]", "less than or equal to 1"),
        ("period: day, hard: 1", "did you mean hard_usd?"),
    ],
)
def test_a_budget_that_says_too_little_or_too_much(tmp_path: Path, budget: str, said: str) -> None:
    text = f"{GOOD}budgets:\n  named:\n    - {{name: a, scope: global, {budget}}}\n"
    with pytest.raises(PlanInvalid) as caught:
        load_checked(write(tmp_path, text))
    assert all(each.line == 9 for each in caught.value.problems)
    assert any(said in f"{p.message} {p.mend}" for p in caught.value.problems), caught.value.message


@pytest.mark.parametrize(
    ("section", "said"),
    [("budgets: {time_zone: Mars/Base}", "no time zone 'Mars/Base'"),
     ("budgets: {reserve_output_tokens: 0}", "greater than or equal to 1")],
)  # fmt: skip
def test_a_zone_and_a_reserve_that_cannot_be(tmp_path: Path, section: str, said: str) -> None:
    with pytest.raises(PlanInvalid, match=said):
        load_checked(write(tmp_path, f"{GOOD}{section}\n"))


@pytest.mark.parametrize(
    ("price", "said"),
    [("batch_factor: 2", "batch_factor: Input should be less than or equal to 1"),
     ("usd_per_image: -1", "usd_per_image"), ("reasoning_usd_per_mtok: .nan", "reasoning"),
     ("usd_per_pixel: 1", "unknown key")],
)  # fmt: skip
def test_a_price_that_cannot_be(tmp_path: Path, price: str, said: str) -> None:
    with pytest.raises(PlanInvalid, match=said):
        load_checked(write(tmp_path, GOOD.replace("price: {", f"price: {{{price}, ")))


def test_a_rule_of_one_task_before_one_for_all_is_reached(tmp_path: Path) -> None:
    load_checked(write(tmp_path, TWO + "rules:\n  - {task: other, use: [b]}\n  - {use: [a]}\n"))


def test_examples_and_the_demos_plan_can_be_served_from() -> None:
    paths = [*sorted((ROOT / "examples").glob("*.yaml")), ROOT / "service" / "demo.yaml"]
    for path in paths:
        text = path.read_text("utf-8").replace("PROVIDERS", "http://127.0.0.1:9100")
        assert load_checked(write_aside(path, text), secrets=False).deployments


def write_aside(path: Path, text: str) -> Path:
    """With the folder of the same name, which its workflows lie in."""
    aside = Path(tempfile.mkdtemp()) / path.name
    aside.write_text(text, "utf-8")
    if path.with_suffix("").is_dir():
        shutil.copytree(path.with_suffix(""), aside.with_suffix(""))
    return aside
