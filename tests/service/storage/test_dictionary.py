"""The data dictionary tells every column, and the page in the docs is what is generated."""

from __future__ import annotations

from service.storage.database import migrations
from service.storage.dictionary import dictionary, undocumented
from tests.conftest import ROOT


def test_every_table_view_and_column_is_told() -> None:
    assert not undocumented(), "write what it means in storage/columns.txt or above the view's SQL"


def test_the_page_is_what_is_generated() -> None:
    page = (ROOT / "docs" / "data-dictionary.md").read_text("utf-8")
    assert page == dictionary(), "headgate history --dictionary > docs/data-dictionary.md"


def test_types_units_and_schemas_are_told() -> None:
    lines = dictionary().splitlines()
    assert f"The schema is at {max(migrations())}." in "\n".join(lines)
    (state,) = [line for line in lines if line.startswith("| `state` |") and "| 3 |" in line]
    assert "varchar" in state
    (cost,) = [line for line in lines if line.startswith("| `lost_usd` |")]
    assert cost == "| `lost_usd` | double | US dollars | what that call cost |"
    assert any(line.startswith("| `units` | varchar[]") and line.endswith("| 5 |")
               for line in lines)  # fmt: skip
