"""`headgate generate-history`: written, told, and refused in words."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from service.cli.main import app
from service.storage.history import connect

RUN = CliRunner()
ROOT = Path(__file__).parents[3]


def test_it_writes_for_a_plan_of_one_s_own_and_refuses_a_second_time(tmp_path: Path) -> None:
    plan, state = ROOT / "examples/contentforge.yaml", tmp_path / "state"
    asked = ["generate-history", "--days", "7", "--decisions", "400", "--seed", "5", "--plan",
             str(plan), "--until", "2026-11-25", "--state", str(state), "--json"]  # fmt: skip
    first = RUN.invoke(app, asked)
    assert first.exit_code == 0, first.output
    told = json.loads(first.stdout)
    assert told["rows"]["decisions"] == told["rows"]["outcomes"] == 400
    assert Path(told["plan"]).read_bytes() == plan.read_bytes()
    assert set(json.loads(Path(told["truth"]).read_text())["deployments"]) == {
        "essayist", "journeyman", "apprentice",
    }  # fmt: skip
    ruled = connect(state).execute(
        "SELECT count(*) FROM decisions WHERE list_contains(disqualified_by, 'rule') AND "
        "tier = 'premium' AND mode <> 'pinned' AND list_contains(eligible, 'apprentice') AND "
        "task <> 'social_post'"
    )
    assert ruled.fetchone() == (0,)
    again = RUN.invoke(app, asked)
    said = " ".join(again.stderr.split())
    assert again.exit_code == 1 and "must not be mixed with real" in said


def test_a_day_that_is_none_is_refused(tmp_path: Path) -> None:
    asked = ["generate-history", "--until", "yesterday", "--state", str(tmp_path / "s")]
    found = RUN.invoke(app, asked)
    assert found.exit_code == 2 and "give one as 2026-11-25" in found.stderr
    assert not (tmp_path / "s").exists()
