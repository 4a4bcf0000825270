"""The files of tests that take longest, which are begun first."""

from __future__ import annotations

LONGEST = (  # of a minute and more down to some ten seconds, on a machine with nothing else to do
    "tests/test_playbook.py", "tests/test_playbook_past.py", "tests/service/test_restart.py",
    "tests/service/api/test_schema_fuzz.py", "tests/service/queueing/test_whole.py",
    "tests/service/experimentation/test_whole.py", "tests/service/test_demo.py",
    "tests/service/rehearsal/test_playing.py", "tests/security/test_s05_admin_bypass.py",
    "tests/service/faults/test_host_kills.py", "tests/experiments/statistics/test_judged.py",
    "tests/service/feedback/test_replay.py", "tests/experiments/test_trends.py",
    "tests/experiments/offline/test_policy_verdict.py", "tests/experiments/test_analysis.py",
    "tests/service/faults/test_refusal_reviews.py", "tests/service/api/test_keys.py",
    "tests/experiments/test_slopes.py", "tests/experiments/test_guardrails.py",
    "tests/service/cli/test_commands.py", "tests/service/test_batch_stops.py",
    "tests/service/test_workflow_stops.py", "tests/service/api/test_auth.py", "tests/test_house.py",
    "tests/test_contracts.py",
)  # fmt: skip
