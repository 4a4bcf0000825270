"""`headgate ledger` and `cost`: on a published history, in every form, with exit codes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from service.cli.cost import dollars
from service.storage.database import FILE, Database
from service.storage.event_log import EventLog
from service.storage.history import Publisher
from tests.service.cli.test_commands import run
from tests.service.storage.test_tables import attempt, decision

pytestmark = pytest.mark.slow
DAY = "2026-09-20"
AT_US = 1_789_900_000_000_000  # of that day, UTC
WHOLE = ("--since", "2026-09-01", "--until", "2026-10-01")


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ledger")
    database = Database(folder / FILE)
    log = EventLog(database)
    log.start()
    for number in range(10):
        made = decision(at_us=AT_US)
        log.append(made)
        log.append(attempt(made, at_us=AT_US + number, error_kind=None, status=200))
    log.flush().result(20)
    Publisher(database, folder).publish(log.last_seq)
    log.stop()
    database.close()
    return folder


def test_the_ledger_is_shown_and_divided(state: Path, tmp_path: Path) -> None:
    code, out, err = run("ledger", "show", "--state", str(state), *WHOLE, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["total"]["cost_micro_usd"] == 30 and found["total"]["calls"] == 10
    (row,) = found["rows"]
    assert (row["day"], row["deployment"], row["tokens_out"]) == (DAY, "y", 20)
    code, out, _ = run("ledger", "show", "--state", str(state), *WHOLE)
    assert code == 0 and "10 calls, $0.000030, of it estimated $0.000030" in out
    file, other = tmp_path / "spend.csv", tmp_path / "spend.parquet"
    code, out, err = run("cost", "by", "tenant,feature", "--state", str(state), *WHOLE, "--csv",
                         str(file), "--parquet", str(other))  # fmt: skip
    assert code == 0 and "acme" in out and "in all $0.000030" in out, err
    (row,) = csv.DictReader(file.read_text("utf-8").splitlines())
    assert (row["tenant"], row["feature"], row["cost_micro_usd"]) == ("acme", "search", "30")
    assert other.stat().st_size > 0
    code, out, err = run("cost", "by", "planet", "--state", str(state))
    assert code == 2 and "no dimension 'planet'" in err
    code, _, err = run("cost", "by", "tenant", "--state", str(tmp_path / "none"))
    assert code == 1 and "no published history" in err
    code, _, err = run("cost", "by", "tenant", "--state", str(state), "--since", "soon")
    assert code == 2 and "--since takes a time" in err


def test_the_showback_of_a_month(state: Path) -> None:
    asked = ("cost", "showback", "--state", str(state), "--month", "2026-09")
    code, out, err = run(*asked)
    assert code == 0 and "acme: $0.000030 for answers" in out, err
    code, out, _ = run(*asked, "--json", "--time-zone", "Europe/Berlin")
    found = json.loads(out)
    assert code == 0 and found["total"]["cost_micro_usd"] == 30
    assert found["since"] == "2026-08-31T22:00:00.000Z"
    assert run(*asked, "--tenant", "nobody")[0] == 1
    code, _, err = run("cost", "showback", "--state", str(state), "--month", "09/2026")
    assert code == 2 and "YYYY-MM" in err
    code, _, err = run(*asked, "--time-zone", "Mars")
    assert code == 2 and "no time zone" in err


@pytest.mark.parametrize(
    ("rows", "code", "told"),
    [
        (f"{DAY},y,10,20,0.00003\n", 0, "within 0.1 %"),
        (f"{DAY},y,10,20,0.00009\n", 1, "NOT within 0.1 %"),
        (f"{DAY},y,10,20,0.00003\n{DAY},=z,1,1,0.1\n", 1, "missing here"),
        (f"{DAY},y,10,20,0.00003\nsoon,y,1,1,1\n", 1, "1 rows could not be read"),
        (f"{DAY},y,11,20,0.00003\n", 0, "tokens_in -1"),
    ],
)
def test_the_ledger_beside_an_export(
    state: Path, tmp_path: Path, rows: str, code: int, told: str
) -> None:
    file, lines = tmp_path / "usage.csv", tmp_path / "lines.csv"
    file.write_text("date,model,input_tokens,output_tokens,cost\n" + rows, "utf-8")
    asked = ("ledger", "reconcile", str(file), "--state", str(state))
    found, out, err = run(*asked, "--csv", str(lines))
    assert found == code and told in out, out + err
    assert "soon" not in rows or "line 3: 'soon' is no date" in err
    assert "=z" not in rows or "'=z" in lines.read_text("utf-8")
    found, out, _ = run(*asked, "--json")
    assert found == code and json.loads(out)["within"] is (told in ("within 0.1 %", "tokens_in -1")
                                                           or "could not" in told)  # fmt: skip


def test_what_cannot_be_reconciled_is_misuse(state: Path, tmp_path: Path) -> None:
    file = tmp_path / "usage.csv"
    file.write_text("a,b\n1,2\n", "utf-8")
    for more, said in (
        ((), "no column for time"),
        (("--unit", "euro"), "--unit is one of"),
        (("--column", "cost"), "NAME=VALUE"),
        (("--model", "x="), "NAME=VALUE"),
    ):
        code, _, err = run("ledger", "reconcile", str(file), "--state", str(state), *more)
        assert code == 2 and said in err, err


@pytest.mark.parametrize(("micro", "text"), [(0, "0.000000"), (1, "0.000001"), (-5, "-0.000005"),
                                             (1_234_567_890, "1234.567890")])  # fmt: skip
def test_dollars_are_exact(micro: int, text: str) -> None:
    assert dollars(micro) == text
