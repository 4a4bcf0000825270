"""Kept reviews: whole or not there, found by name, and no other file is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.reviewing.finding import Review
from service.domain.errors import NotFound
from service.reporting.shelf import FOLDER, has, keep, kept, read

DESIGN = {"layer": "main", "share": 0.25, "design": {"slug": "without-sage", "hypothesis": "é"}}
REVIEW = Review("monthly-2026-11", "Month", "a", "b", "c", (), (), {},
                {"designs": {"without-sage": DESIGN}})  # fmt: skip


def test_a_review_is_kept_in_all_its_forms(tmp_path: Path) -> None:
    assert kept(tmp_path) == [] and not has(tmp_path, REVIEW.name)
    keep(tmp_path, REVIEW)
    keep(tmp_path, REVIEW)
    names = [each.name for each in kept(tmp_path)]
    assert names == ["monthly-2026-11-without-sage.yaml", "monthly-2026-11.html",
                     "monthly-2026-11.json", "monthly-2026-11.md"]  # fmt: skip
    assert has(tmp_path, REVIEW.name)
    design = read(tmp_path, names[0])
    assert "--share 0.25" in design and "slug: without-sage" in design
    assert all(each.bytes > 0 and each.made.endswith("Z") for each in kept(tmp_path))


@pytest.mark.parametrize("name", ["../headgate.duckdb", "weekly-x.html/../../a", "notes.txt",
                                  "weekly-2026-W47.html"])  # fmt: skip
def test_nothing_else_is_given(tmp_path: Path, name: str) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "notes.txt").write_text("mine", "utf-8")
    with pytest.raises(NotFound):
        read(tmp_path, name)
    assert kept(tmp_path) == []
