"""When a key was last seen survives a restart, to the minute, and its loss harms nothing."""

from __future__ import annotations

from pathlib import Path

from service.storage.key_uses import FILE, KeyUses

MINUTE = 60_000_000


def test_uses_are_kept_to_the_minute_and_only_when_one_has_changed(tmp_path: Path) -> None:
    uses = KeyUses(tmp_path)
    assert uses.read() == {} and not uses.keep({})
    assert uses.keep({"a": 5 * MINUTE + 7}) and not uses.keep({"a": 5 * MINUTE + 9})
    assert KeyUses(tmp_path).read() == {"a": 5 * MINUTE}
    assert uses.keep({"a": 6 * MINUTE, "b": 1})
    assert KeyUses(tmp_path).read() == {"a": 6 * MINUTE, "b": 0}


def test_a_spoiled_file_is_only_not_known(tmp_path: Path) -> None:
    for text in ("{ half", "[1]", '{"a": "x"}'):
        (tmp_path / FILE).write_text(text)
        assert KeyUses(tmp_path).read() == {}


def test_where_it_cannot_be_written_nothing_fails(tmp_path: Path) -> None:
    assert not KeyUses(tmp_path / "gone").keep({"a": MINUTE})
