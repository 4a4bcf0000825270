"""A plan's problems are all told at once, with line, key and mend."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from service.config import Settings, child_environment, client_key, process_environment
from service.domain.errors import PlanInvalid
from service.plan.reading import Lines, load
from service.plan.whole import Plan
from tests.conftest import ROOT

GOOD = """
deployments:
  - name: a
    base_url: http://127.0.0.1:1/v1
    model: m
    price: {input_usd_per_mtok: 1.5, output_usd_per_mtok: 2}
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(text, "utf-8")
    return path


MAIL = (
    "alerts: {{channels: [{{name: a, kind: email, smtp_host: mail.inner, sender: h@example.com, "
    "recipients: [d@example.com], {}}}]}}\n"
)


def problems(tmp_path: Path, text: str) -> list[tuple[int | None, str, str]]:
    with pytest.raises(PlanInvalid) as caught:
        load(write(tmp_path, text))
    return [(p.line, p.key, f"{p.message} {p.mend}") for p in caught.value.problems]


def test_a_small_plan_has_sound_defaults(tmp_path: Path) -> None:
    plan, lines = load(write(tmp_path, GOOD))
    (deployment,) = plan.catalog({})
    assert deployment.price_at(0).input_micro_usd_mtok == 1_500_000
    assert deployment.provider == "127.0.0.1:1" and plan.task_names == ("other",)
    assert plan.service.attempt_timeouts_s == [30.0, 25.0, 20.0] and plan.service.deadline_s == 75
    assert (plan.quality.refit_minutes, plan.quality.least_ratings) == (10.0, 200)
    assert lines.of(("deployments", 0, "model")) == 5


def test_every_problem_with_its_line_and_its_mend(tmp_path: Path) -> None:
    text = GOOD + "    modle: x\n    capabilities: [telepathy]\nbudget: {}\npolicy:\n  nmae: x\n"
    found = {key: (line, said) for line, key, said in problems(tmp_path, text)}
    assert found["deployments.0.modle"] == (7, "unknown key did you mean model?")
    assert found["deployments.0.capabilities.0"][0] == 8
    assert found["budget"] == (9, "unknown key did you mean budgets?")
    assert found["policy.nmae"] == (11, "unknown key did you mean name?")


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        ("", "file", "must be a mapping"),
        ("[1, 2]", "file", "must be a mapping"),
        ("a: [1", "file", "expected"),
        ("deployments: []", "deployments", "at least 1"),
        (GOOD.replace("1.5", "-1"), "deployments.0.price.input_usd_per_mtok", "greater"),
        (GOOD.replace("1.5", ".nan"), "deployments.0.price.input_usd_per_mtok", "finite"),
        (GOOD.replace("http://", "ftp://"), "deployments.0.base_url", "pattern"),
        (GOOD.replace("//127", "//u:p@127"), "deployments.0.base_url", "pattern"),
        (GOOD.replace("name: a", "name: 'a b'"), "deployments.0.name", "pattern"),
        (GOOD + "    model: twice\n", "file", "given twice"),
        (GOOD + "tasks:\n  - {name: t, when: 'word_count'}\n", "tasks.0.when", "no yes-or-no"),
        (GOOD + "rules:\n  - {when: 'has_code'}\n", "rules.0", "must give use or exclude"),
        (GOOD + "service: {deadline_s: .inf}\n", "service.deadline_s", "finite"),
        (GOOD + "quality: {refit_minutes: -1}\n", "quality.refit_minutes", "greater"),
        (GOOD + "quality: {least_ratings: 0}\n", "quality.least_ratings", "greater"),
        (GOOD + "refusals: {most_per_hour: -1}\n", "refusals.most_per_hour", "greater"),
        (GOOD + "refusals: {remember_s: .inf}\n", "refusals.remember_s", "finite"),
        (
            GOOD + "refusals: {suggestions: [{when: 'tokens', text: x}]}\n",
            "refusals.suggestions.0.when",
            "no yes-or-no",
        ),
        (GOOD + "refusals: {suggestions: [{txt: x}]}\n", "refusals.suggestions.0.txt", "text"),
        (GOOD + "queue: {enabeld: true}\n", "queue.enabeld", "did you mean enabled?"),
        (GOOD + "queue: {tries: 0}\n", "queue.tries", "greater"),
        (GOOD + "queue: {webhook_hosts: ['https://h']}\n", "queue.webhook_hosts.0", "pattern"),
        (GOOD + "notify: {shape: pager}\n", "notify.shape", "pagerduty"),
        (GOOD + "notify: {shape: pagerduty}\n", "notify", "routing_key_env"),
        (GOOD + "notify: {webhook_env: 'https://h'}\n", "notify.webhook_env", "pattern"),
        (GOOD + "alerts: {latncy: {p95_s: 3}}\n", "alerts.latncy", "did you mean latency?"),
        (GOOD + "alerts: {latency: {p95: 3}}\n", "alerts.latency.p95", "did you mean p95_s?"),
        (
            GOOD + "alerts: {latency: {raise_cache: true}}\n",
            "alerts.latency.raise_cache",
            "did you mean raise_caching?",
        ),
        (GOOD + "cache: {ttl: 5}\n", "cache.ttl", "did you mean ttl_s?"),
        (GOOD + "cache: {max_bytes: 100000, entry_bytes: 200000}\n", "cache", "entry_bytes is"),
        (GOOD + "alerts: {errors: {share: 2}}\n", "alerts.errors.share", "less"),
        (GOOD + "alerts: {burn_fast: {short_minutes: 60}}\n", "alerts.burn_fast", "less than long"),
        (GOOD + "alerts: {digest_at: 24:00}\n", "alerts.digest_at", "string"),
        (GOOD + "alerts: {digest_at: '24:00'}\n", "alerts.digest_at", "pattern"),
        (GOOD + "alerts: {channels: [{name: a, kind: fax}]}\n", "alerts.channels.0.kind", "slack"),
        (
            GOOD + "alerts: {channels: [{name: a, kind: webhook, url_env: A}]}\n",
            "alerts.channels.0",
            "needs secret_env",
        ),
        (
            GOOD + "alerts: {channels: [{name: a, kind: slack, url_env: A, secret_env: B}]}\n",
            "alerts.channels.0",
            "takes no secret_env",
        ),
        (
            GOOD + "alerts: {channels: [{name: a, kind: slack, url: A}]}\n",
            "alerts.channels.0.url",
            "did you mean url_env?",
        ),
        (
            GOOD + MAIL.format("tls: none, username_env: U, password_env: P"),
            "alerts.channels.0",
            "a password is not sent without TLS",
        ),
        (GOOD + MAIL.format("username_env: U"), "alerts.channels.0", "go together"),
        (
            GOOD + MAIL.format("smtp_port: 25").replace("d@example.com", "'a@b, c@d'"),
            "alerts.channels.0.recipients.0",
            "pattern",
        ),
        (
            GOOD + "alerts: {channels: [{name: a, kind: slack, url_env: A}, "
            "{name: a, kind: slack, url_env: B}]}\n",
            "alerts",
            "a is given twice",
        ),
        (GOOD + "slo: {availability: 1.0}\n", "slo.availability", "less"),
        (GOOD + "quality: {refit_minuts: 1}\n", "quality.refit_minuts", "refit_minutes"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, key: str, said: str) -> None:
    found = problems(tmp_path, text)
    assert any(k == key and said in message for _, k, message in found), found


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(PlanInvalid, match="cannot be read"):
        load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff")
    with pytest.raises(PlanInvalid, match="not UTF-8"):
        load(tmp_path / "latin.yaml")
    with pytest.raises(PlanInvalid):
        load(write(tmp_path, "a: &x [*x]"))


def test_prices_have_their_days(tmp_path: Path) -> None:
    text = GOOD.replace(
        "price: {input_usd_per_mtok: 1.5, output_usd_per_mtok: 2}",
        "price:\n      - {input_usd_per_mtok: 4, output_usd_per_mtok: 2}\n"
        "      - {from: 2026-06-01, input_usd_per_mtok: 3, output_usd_per_mtok: 2}",
    )
    plan, _ = load(write(tmp_path, text))
    (deployment,) = plan.catalog({})
    assert deployment.price_at(1_780_185_600_000_000 - 1).input_micro_usd_mtok == 4_000_000
    assert deployment.price_at(1_780_272_000_000_000).input_micro_usd_mtok == 3_000_000


def test_secrets_come_from_the_environment_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, _ = load(write(tmp_path, GOOD + "    api_key_env: MY_KEY\n"))
    assert plan.missing_secrets(process_environment()) == [(0, "MY_KEY")]
    monkeypatch.setenv("MY_KEY", "sk-1")
    assert (
        plan.missing_secrets(process_environment()) == []
        and plan.catalog(process_environment())[0].api_key == "sk-1"
    )
    monkeypatch.setenv("HEADGATE_BOOTSTRAP_KEY", "hg-1")
    monkeypatch.setenv("HEADGATE_KEY", "hg-2")
    settings = Settings.from_environment(tmp_path)
    assert settings.state_dir == tmp_path and settings.bootstrap_key == "hg-1"
    assert "hg-1" not in repr(settings) and client_key() == "hg-2"
    child = child_environment()
    assert not {"MY_KEY", "HEADGATE_KEY", "HEADGATE_BOOTSTRAP_KEY"} & set(child)
    assert child["OPENBLAS_NUM_THREADS"] == "1"


def test_the_threads_of_algebra_are_set_before_numpy_loads() -> None:
    """And a command that only asks a service loads none of it."""
    seen = "import sys, service.config, service.client; print('numpy' in sys.modules)"
    child = subprocess.run([sys.executable, "-c", seen], capture_output=True, check=True, text=True)
    assert child.stdout.strip() == "False"


def test_every_example_is_of_the_form() -> None:
    for path in sorted((ROOT / "examples").glob("*.yaml")):
        plan, _ = load(path)
        assert isinstance(plan, Plan) and plan.deployments
    assert Lines("").of(("x",)) is None
