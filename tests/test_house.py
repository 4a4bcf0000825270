"""The plan of the house is kept: sizes, docstrings, mirrors, who reads what, and what docs say."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import pytest

from learning.policies.registry import POLICIES
from service.providers.registry import PROVIDERS

ROOT = Path(__file__).parent.parent
PACKAGES = ("service", "learning", "experiments")
SOURCES = sorted(p for name in PACKAGES for p in (ROOT / name).rglob("*.py"))
ALL = SOURCES + sorted((ROOT / "tests").rglob("*.py")) + sorted((ROOT / "benchmarks").rglob("*.py"))
MAX_FILE, MAX_FUNCTION, MAX_PARAMETERS = 400, 60, 6


def _id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", ALL, ids=_id)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= MAX_FILE, "divide it by meaning"
    for function in _functions(ast.parse(text)):
        length = (function.end_lineno or 0) - function.lineno + 1
        assert length <= MAX_FUNCTION, f"{function.name} has {length} lines"
        if "cli" not in path.parts and "tests" not in path.parts:
            names = [a.arg for a in function.args.args + function.args.kwonlyargs]
            count = len([name for name in names if name not in ("self", "cls")])
            assert count <= MAX_PARAMETERS, f"{function.name} takes {count} parameters"


@pytest.mark.parametrize("path", SOURCES, ids=_id)
def test_modules_open_with_a_sentence(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree), "a module opens with one sentence that could be its name"
    if path.name == "__init__.py":
        assert len(tree.body) == 1, "__init__.py holds a docstring only"


@pytest.mark.parametrize("path", SOURCES, ids=_id)
def test_no_import_inside_a_function(path: Path) -> None:
    if "cli" in path.parts:
        return  # a command must start fast
    for function in _functions(ast.parse(path.read_text("utf-8"))):
        inner = [n for n in ast.walk(function) if isinstance(n, ast.Import | ast.ImportFrom)]
        assert not inner, f"{function.name} imports at line {inner[0].lineno if inner else 0}"


@pytest.mark.parametrize("path", SOURCES, ids=_id)
def test_only_config_reads_the_environment(path: Path) -> None:
    if path == ROOT / "service" / "config.py":
        return
    tree = ast.parse(path.read_text("utf-8"))
    read = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "putenv")
    ]
    assert not read, "only service/config.py reads the environment"


@pytest.mark.parametrize("path", [p for p in SOURCES if p.parts[-2] != "service"], ids=_id)
def test_learning_and_experiments_hold_no_clock_and_no_global_randomness(path: Path) -> None:
    if not path.is_relative_to(ROOT / "learning") and not path.is_relative_to(ROOT / "experiments"):
        return
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            assert not {a.name for a in node.names} & {"time", "random", "socket", "datetime"}
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute):
            owned = node.value.attr != "random" or node.attr in ("default_rng", "Generator")
            assert owned, f"line {node.lineno}: numpy's global randomness"


def test_no_forbidden_words_in_names() -> None:
    banned = ("utils", "manager", "helper", "common", "backend", "strategy")
    for path in SOURCES:
        assert path.stem not in banned, path
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                assert not any(word in node.name.lower() for word in banned), node.name


def test_the_three_packages_resolve_inside_the_repository() -> None:
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.origin is not None
        assert Path(spec.origin).is_relative_to(ROOT)


def test_every_module_has_its_tests() -> None:
    """A module is mirrored by tests/<package>/.../test_<module>.py or named in MIRRORED."""
    missing = []
    for path in SOURCES:
        if path.name in ("__init__.py", "__main__.py"):
            continue
        relative = path.relative_to(ROOT)
        mirror = ROOT / "tests" / relative.parent / f"test_{path.stem}.py"
        named = str(relative) in MIRRORED or f"{relative.parent}/" in MIRRORED
        if not mirror.exists() and not named:
            missing.append(str(relative))
    assert not missing, f"without tests: {missing}"
    for name, test in MIRRORED.items():
        assert (ROOT / name).exists(), f"{name} is gone from the house: drop it from MIRRORED"
        assert (ROOT / "tests" / test).exists(), f"{test} does not exist"


@pytest.mark.parametrize("text", ["requirements.lock", "requirements-dev.lock"])
def test_locks_pin_hashes_and_name_no_host(text: str) -> None:
    content = (ROOT / text).read_text("utf-8")
    pins = [line for line in content.splitlines() if re.match(r"^[a-z0-9]", line)]
    assert pins and all("==" in line and line.rstrip().endswith("\\") for line in pins)
    assert content.count("--hash=sha256:") >= len(pins)
    assert "://" not in content and "--index-url" not in content


def test_every_registered_thing_stands_in_the_docs() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    for name in (*POLICIES, *PROVIDERS):
        assert f"`{name}`" in text, f"docs/architecture.md does not name {name}"


# Modules whose behaviour is tested through another one's tests, with the reason in the name.
MIRRORED: dict[str, str] = {
    "service/rehearsal/counting.py": "service/rehearsal/test_playing.py",
    "service/rehearsal/report.py": "service/rehearsal/test_playing.py",
    "service/rehearsal/shown.py": "service/rehearsal/test_playing.py",
    "service/cli/rehearse.py": "service/rehearsal/test_playing.py",
    "learning/cues.py": "learning/test_taxonomy.py",
    "service/api/classify.py": "service/routing/test_classified.py",
    "service/cli/classify.py": "service/routing/test_classified.py",
    "service/domain/guesses.py": "service/routing/test_finding.py",
    "service/feedback/classifying.py": "service/feedback/test_classifiers.py",
    "service/domain/capability.py": "service/monitoring/test_capabilities.py",
    "service/storage/benchmark_cells.py": "service/monitoring/test_capabilities.py",
    "service/storage/capabilities.py": "service/monitoring/test_capabilities.py",
    "service/cli/capabilities.py": "service/api/test_capabilities.py",
    "learning/errors.py": "learning/test_interaction.py",
    "learning/policies/base.py": "learning/policies/test_contract.py",
    "learning/policies/registry.py": "learning/policies/test_contract.py",
    "learning/policies/uniform.py": "learning/policies/test_contract.py",
    "learning/policies/fixed.py": "learning/policies/test_contract.py",
    "learning/policies/linear_parameters.py": "learning/policies/test_contract.py",
    "learning/policies/disjoint.py": "learning/policies/test_contract.py",
    "learning/policies/epsilon_greedy.py": "learning/policies/test_contract.py",
    "learning/policies/inverse_gap.py": "learning/policies/test_contract.py",
    "learning/policies/linucb.py": "learning/policies/test_contract.py",
    "learning/policies/thompson.py": "learning/policies/test_contract.py",
    "experiments/errors.py": "experiments/statistics/test_moments.py",
    "experiments/findings.py": "experiments/test_analysis.py",
    "experiments/harm.py": "experiments/test_guardrails.py",
    "experiments/plain.py": "experiments/test_analysis.py",
    "service/api/experiment_schemas.py": "service/api/test_policies.py",
    "service/api/experiments.py": "service/experimentation/test_desk.py",
    "service/api/shown_experiments.py": "service/api/test_policies.py",
    "service/cli/experiment_online.py": "service/cli/test_experiment.py",
    "service/cli/policy.py": "service/cli/test_experiment.py",
    "service/reporting/queries.py": "service/reporting/test_reading.py",
    "service/reporting/making.py": "service/reporting/test_turns.py",
    "service/reporting/designs.py": "service/reporting/test_shelf.py",
    "service/reporting/style.py": "service/reporting/test_pages.py",
    "service/domain/experiments.py": "service/storage/test_frames.py",
    "service/storage/experiments.py": "service/storage/test_frames.py",
    "service/cli/alerts.py": "service/api/test_alerts.py",
    "service/domain/alerts.py": "service/monitoring/test_watch.py",
    "service/domain/minutes.py": "service/monitoring/test_windows.py",
    "service/monitoring/alert_book.py": "service/monitoring/test_alerting.py",
    "service/monitoring/alert_words.py": "service/monitoring/test_alerting.py",
    "service/storage/alerts.py": "service/monitoring/test_watch.py",
    "service/storage/minutes.py": "service/monitoring/test_windows.py",
    "service/api/reading.py": "service/api/test_messages.py",
    "service/api/messages_reading.py": "service/providers/test_translation.py",
    "service/domain/dialects.py": "service/providers/test_translation.py",
    "service/api/access.py": "service/api/test_auth.py",
    "service/api/asgi.py": "service/api/test_chat_bad_input.py",
    "service/api/serving.py": "service/faults/test_host_stop.py",
    "service/api/schemas.py": "service/api/test_caller.py",
    "service/benchmarking/asking.py": "service/benchmarking/test_running.py",
    "service/benchmarking/desk.py": "service/api/test_benchmarks.py",
    "service/benchmarking/fragment.py": "service/benchmarking/test_findings.py",
    "service/benchmarking/pages.py": "service/benchmarking/test_findings.py",
    "service/cli/benchmark_shown.py": "service/cli/test_benchmark_models.py",
    "service/orchestration/sandbox_keeper.py": "service/orchestration/test_sandbox.py",
    "service/storage/benchmark_runs.py": "service/api/test_benchmarks.py",
    "service/api/shown.py": "service/api/test_caller.py",
    "service/cli/prediction.py": "service/api/test_prediction.py",
    "service/domain/prediction.py": "service/storage/test_predictions.py",
    "service/domain/lots.py": "service/people/test_watching.py",
    "service/feedback/acceptance_refit.py": "service/orchestration/test_foretelling.py",
    "service/feedback/acceptance_fitting.py": "service/orchestration/test_foretelling.py",
    "service/api/plan.py": "service/faults/test_host_reload.py",
    "service/api/overrides.py": "service/operating/test_overrides.py",
    "service/operating/trying.py": "service/operating/test_dry_run.py",
    "service/api/override_schemas.py": "service/operating/test_overrides.py",
    "service/api/shown_overrides.py": "service/operating/test_overrides.py",
    "service/storage/held_back.py": "service/operating/test_thawing.py",
    "service/feedback/freezing.py": "service/operating/test_thawing.py",
    "service/feedback/learner_parts.py": "service/feedback/test_learner.py",
    "service/cli/reload.py": "service/faults/test_host_reload.py",
    "service/domain/plan_standing.py": "service/faults/test_host_reload.py",
    "service/storage/manifest.py": "service/faults/test_host_database.py",
    "service/storage/refill.py": "service/faults/test_host_database.py",
    "service/app.py": "service/api/test_document.py",
    "service/cli/shadow.py": "service/api/test_shadows.py",
    "service/api/costs.py": "service/api/test_budgets.py",
    "service/cli/budget.py": "service/api/test_budgets.py",
    "service/cli/cost.py": "service/cli/test_ledger.py",
    "service/cli/costing.py": "service/cli/test_ledger.py",
    "service/domain/budgets.py": "service/routing/test_budgets.py",
    "service/domain/money.py": "service/storage/test_costs.py",
    "service/operating/budgets.py": "service/faults/test_budget_caps.py",
    "service/reporting/showback.py": "service/storage/test_costs.py",
    "service/routing/ended.py": "service/routing/test_dispatch.py",
    "service/storage/money_tables.py": "service/storage/test_costs.py",
    "service/storage/spent.py": "service/storage/test_costs.py",
    "service/bootstrap/": "service/test_restart.py",
    "service/domain/modalities.py": "service/domain/test_modal_requests.py",
    "service/providers/simulated_modal.py": "service/api/test_modal.py",
    "service/providers/simulated_image.py": "service/api/test_modal.py",
    "service/providers/simulated_speech.py": "service/api/test_modal.py",
    "service/providers/simulated_embedding.py": "service/api/test_modal.py",
    "experiments/offline/past_calls.py": "service/storage/test_generated.py",
    "experiments/offline/past_cast.py": "service/cli/test_generate_history.py",
    "experiments/offline/past_choices.py": "service/storage/test_generated.py",
    "experiments/offline/past_columns.py": "experiments/offline/test_past.py",
    "experiments/offline/past_events.py": "service/storage/test_generated.py",
    "experiments/offline/past_policy.py": "experiments/offline/test_past.py",
    "experiments/offline/past_ratings.py": "service/storage/test_generated.py",
    "experiments/offline/past_rows.py": "service/storage/test_generated.py",
    "experiments/offline/past_traffic.py": "experiments/offline/test_past.py",
    "experiments/offline/past_trials.py": "experiments/offline/test_past.py",
    "service/plan/": "service/test_config.py",
    "service/console/": "service/console/test_pages.py",
    "service/console/pages/": "service/console/test_pages.py",
    "service/console/reading/": "service/console/test_pages.py",
    "service/feedback/differing.py": "service/api/test_policies.py",
    "service/runtime.py": "service/test_restart.py",
    "service/client.py": "service/cli/test_commands.py",
    "service/api/knowledge.py": "service/experimentation/test_chronicle.py",
    "service/api/trends.py": "service/experimentation/test_chronicle.py",
    "service/cli/knowledge.py": "service/experimentation/test_chronicle.py",
    "service/cli/trends.py": "service/storage/test_daily.py",
    "service/cli/experiment.py": "service/cli/test_experiment_offline.py",
    "service/cli/main.py": "service/cli/test_commands.py",
    "service/cli/output.py": "service/cli/test_commands.py",
    "service/cli/override.py": "service/cli/test_commands.py",
    "service/cli/serve.py": "service/cli/test_commands.py",
    "service/cli/server.py": "service/cli/test_commands.py",
    "service/cli/show.py": "service/cli/test_commands.py",
    "service/cli/deployment.py": "service/cli/test_commands.py",
    "service/api/queue.py": "service/api/test_tickets.py",
    "service/api/queued.py": "service/queueing/test_whole.py",
    "service/cli/queue.py": "service/cli/test_commands.py",
    "service/cli/propensities.py": "service/cli/test_commands.py",
    "service/cli/judge.py": "service/api/test_judging.py",
    "service/orchestration/rubrics.py": "service/domain/test_judging.py",
    "service/providers/simulated_judge.py": "service/orchestration/test_simulated.py",
    "service/storage/judgings.py": "service/orchestration/test_panel.py",
    "service/storage/prediction_tables.py": "service/storage/test_tables.py",
    "service/storage/judging_tables.py": "service/storage/test_tables.py",
    "service/domain/tickets.py": "service/storage/test_queue.py",
    "service/queueing/desk.py": "service/queueing/test_whole.py",
    "service/queueing/view.py": "service/api/test_tickets.py",
    "service/storage/queue_views.py": "service/storage/test_queue.py",
    "service/domain/errors.py": "service/api/test_chat_bad_input.py",
    "service/domain/live.py": "service/feedback/test_learner.py",
    "service/domain/approvals.py": "service/storage/test_tables.py",
    "service/storage/trail.py": "service/storage/test_chain.py",
    "service/api/trail.py": "service/api/test_keys.py",
    "service/cli/audit.py": "service/api/test_keys.py",
    "service/cli/keys.py": "service/api/test_keys.py",
    "service/api/approvals.py": "service/api/test_four_eyes.py",
    "service/cli/approvals.py": "service/api/test_four_eyes.py",
    "service/storage/approvals.py": "service/api/test_four_eyes.py",
    "service/storage/confined.py": "security/test_s10_sql.py",
    "service/domain/records.py": "service/storage/test_tables.py",
    "service/feedback/child.py": "service/feedback/test_refit.py",
    "service/storage/logged.py": "service/feedback/test_evaluating.py",
    "service/storage/evaluations.py": "service/feedback/test_gate.py",
    "service/feedback/fitting.py": "service/feedback/test_refit.py",
    "service/feedback/label_fitter.py": "service/people/test_label_fitter.py",
    "service/feedback/label_fitting.py": "service/people/test_relearning.py",
    "service/storage/labels.py": "service/people/test_relearning.py",
    "service/storage/learned_from.py": "service/storage/test_tables.py",
    "service/storage/trust.py": "service/api/test_ratings.py",
    "service/domain/ratings.py": "service/feedback/test_trust.py",
    "service/cli/ratings.py": "service/api/test_ratings.py",
    "service/api/classifier.py": "service/api/test_ratings.py",
    "service/cli/classifier.py": "service/api/test_ratings.py",
    "service/feedback/apply.py": "service/feedback/test_learner.py",
    "service/feedback/versions.py": "service/feedback/test_learner.py",
    "service/providers/base.py": "service/providers/test_contract.py",
    "service/providers/calling.py": "service/providers/test_contract.py",
    "service/providers/registry.py": "service/providers/test_contract.py",
    "service/providers/retelling.py": "service/providers/test_contract.py",
    "service/providers/portable.py": "service/providers/test_translation.py",
    "service/providers/anthropic.py": "service/providers/test_contract.py",
    "service/providers/anthropic_asking.py": "service/providers/test_translation.py",
    "service/providers/anthropic_telling.py": "service/providers/test_telling.py",
    "service/providers/gemini.py": "service/providers/test_contract.py",
    "service/providers/gemini_asking.py": "service/providers/test_translation.py",
    "service/providers/gemini_telling.py": "service/providers/test_telling.py",
    "service/providers/simulated_native.py": "service/test_simulate_native.py",
    "service/domain/refusals.py": "service/storage/test_refusals.py",
    "service/domain/reviews.py": "service/storage/test_review_items.py",
    "service/api/shown_reviews.py": "service/people/test_whole.py",
    "service/people/asked.py": "service/people/test_desk.py",
    "service/people/rulings.py": "service/people/test_whole.py",
    "service/people/quality.py": "service/people/test_whole.py",
    "service/experimentation/standing.py": "service/people/test_versions.py",
    "service/routing/refusals.py": "service/faults/test_refusals.py",
    "service/providers/streams.py": "service/faults/test_upstream_streams.py",
    "service/providers/transport.py": "service/faults/test_upstream_connection.py",
    "service/domain/will.py": "service/routing/test_eligibility.py",
    "service/routing/asked.py": "service/routing/test_router.py",
    "service/routing/run.py": "service/routing/test_dispatch.py",
    "service/routing/streaming.py": "service/routing/test_dispatch.py",
    "service/routing/exhaustion.py": "service/routing/test_dispatch.py",
    "service/storage/errors.py": "service/storage/test_database.py",
    "service/storage/audits.py": "service/monitoring/test_audit.py",
    "service/storage/responses.py": "service/monitoring/test_responses.py",
    "service/storage/updates.py": "service/feedback/test_learner.py",
}
