"""`headgate history`: the views and their meaning, queries, savings, and what is lacking."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.storage.catalogue import views
from service.storage.dictionary import dictionary
from service.storage.manifest import FOLDER, MANIFEST, read_manifest
from tests.service.cli.test_commands import run
from tests.service.storage.published import publish
from tests.service.storage.test_catalogue import PRESENT, newer


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("state")
    publish(made)
    return made


def test_views_come_with_a_line_and_their_rows(state: Path) -> None:
    code, out, err = run("history", "--state", str(state), "--json")
    assert code == 0 and not err
    found = json.loads(out)
    assert found["views"]["rounds"] == found["views"]["decisions"] == 400
    assert found["meanings"]["sessions"].startswith("A row for each conversation")
    assert set(views()) <= set(found["meanings"]) and "keys" not in found["views"]


def test_the_dictionary_needs_no_history(tmp_path: Path) -> None:
    code, out, _ = run("history", "--dictionary", "--state", str(tmp_path))
    assert code == 0 and out == dictionary()


def test_savings(state: Path) -> None:
    code, out, _ = run("history", "savings", "--state", str(state), "--since", "30d", "--json")
    found = json.loads(out)
    assert code == 0 and {each["baseline"] for each in found} == {
        "cheapest", "strongest", "best fixed"}  # fmt: skip
    (cheapest,) = [e for e in found if e["task"] is None and e["baseline"] == "cheapest"]
    assert cheapest["draws"] == 400 and "saved_usd" in cheapest
    code, out, _ = run("history", "savings", "--state", str(state), "--since", "30d")
    assert code == 0 and "cheapest" in out
    code, _, err = run("history", "savings", "--state", str(state), "--tenant", "nobody")
    assert code == 1 and "no request was drawn" in err and "nobody" in err
    code, _, err = run("history", "savings", "--state", str(state), "--since", "soon")
    assert code == 2 and "--since" in err


def test_what_is_lacking_is_said_and_the_rest_is_shown(tmp_path: Path) -> None:
    publish(tmp_path, requests=40, days=2)
    manifest = read_manifest(tmp_path)
    gone, half = manifest.files["decisions"][0], manifest.files["outcomes"][0]
    (tmp_path / FOLDER / gone).unlink()
    (tmp_path / FOLDER / half).write_bytes(b"PAR1 and no more")
    code, out, err = run("history", "--state", str(tmp_path), "--json")
    told = " ".join(err.split())
    assert code == 0 and told.count("missing or cut short") == 2
    assert 0 < json.loads(out)["views"]["decisions"] < 40
    code, out, err = run(
        "history", "--state", str(tmp_path), "--sql", "SELECT count(*) FROM rounds"
    )
    assert code == 0 and "missing or cut short" in " ".join(err.split())


@pytest.mark.slow  # the catalogue is made twice
@pytest.mark.parametrize("part", ["the footer", "the rows"])
def test_a_damaged_file_is_said_and_left_out(tmp_path: Path, part: str) -> None:
    publish(tmp_path, requests=40, days=2)
    path = tmp_path / FOLDER / read_manifest(tmp_path).files["feedback"][0]
    data = bytearray(path.read_bytes())
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    span = slice(4, footer) if part == "the rows" else slice(footer, len(data) - 8)
    data[span] = bytes(len(data[span]))
    path.write_bytes(bytes(data))
    if part == "the rows":  # only who reads them finds it
        sql = "SELECT sum(quality), min(id), min(author) FROM feedback"
        code, _, err = run("history", "--state", str(tmp_path), "--sql", sql)
        assert code == 2 and "--check" in err
    asked = ["--check"] if part == "the rows" else []
    code, out, err = run("history", "--state", str(tmp_path), "--json", *asked)
    told = " ".join(err.split())
    assert code == 0 and told.count("is damaged; the history is shown without it") == 1
    assert json.loads(out)["views"]["decisions"] == 40


@pytest.mark.slow  # as the catalogue's own test, from outside
def test_a_newer_schema_and_no_history(tmp_path: Path) -> None:
    code, _, err = run("history", "--state", str(tmp_path))
    assert code == 1 and "no published history" in err
    publish(tmp_path, requests=40, days=2)
    newer(tmp_path)
    code, out, err = run("history", "--state", str(tmp_path), "--json")
    assert code == 0 and json.loads(out)["views"]["decisions"] == 0
    assert f"schema {PRESENT + 1}" in err and "newer version" in " ".join(err.split())
    path = tmp_path / FOLDER / MANIFEST
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    code, _, err = run("history", "--state", str(tmp_path))
    assert code == 1 and "newer version of Headgate" in " ".join(err.split())
