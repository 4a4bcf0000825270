"""Which published files become one: all of a day that is over, the small newest of another."""

from __future__ import annotations

from service.storage.compaction import FAN_IN, MOST_BYTES, by_day, in_order, joined_name, to_join


def names(count: int, day: str = "2026-01-01") -> list[str]:
    return [f"acts/day={day}/rows-{n:012d}-{n:012d}.parquet" for n in range(1, count + 1)]


def test_a_day_that_is_over_becomes_one_file() -> None:
    assert to_join(names(3), True, lambda _: 1) == names(3)
    assert to_join(names(1), True, lambda _: 1) == []


def test_large_files_of_a_day_that_is_over_are_left_as_they_are() -> None:
    paths = names(7)
    sizes = dict(zip(paths, [1, 1, 1, MOST_BYTES, 1, MOST_BYTES // 4, 1], strict=True))
    assert to_join(paths, True, sizes.__getitem__) == paths[:3]
    assert to_join(paths[2:], True, sizes.__getitem__) == paths[4:]
    assert to_join(paths[2:5], True, sizes.__getitem__) == []
    assert to_join(paths, True, lambda _: MOST_BYTES // 4) == paths[:4]


def test_an_open_day_is_joined_once_there_are_enough() -> None:
    assert to_join(names(FAN_IN - 1), False, lambda _: 1) == []
    assert to_join(names(FAN_IN), False, lambda _: 1) == names(FAN_IN)


def test_large_files_are_not_written_again_for_small_ones() -> None:
    paths = names(FAN_IN + 1)
    assert to_join(paths, False, lambda p: 10**9 if p == paths[0] else 1) == paths[1:]
    assert to_join(paths[:FAN_IN], False, lambda p: 10**9 if p == paths[0] else 1) == []


def test_a_day_of_publications_has_few_files_and_rows_are_written_few_times() -> None:
    """2,880 publications of a megabyte: as the service's busiest table."""
    sizes: dict[str, int] = {}
    paths: list[str] = []
    written = most = 0
    for name in names(2_880):
        sizes[name] = 1_000_000
        paths.append(name)
        parts = to_join(paths, False, sizes.__getitem__)
        if parts:
            joined = joined_name(parts)
            sizes[joined] = sum(sizes[part] for part in parts)
            written += sizes[joined]
            paths = [p for p in paths if p not in parts] + [joined]
        most = max(most, len(paths))
    assert most <= 60 and written <= 4 * 2_880 * 1_000_000
    assert in_order(by_day(paths)["2026-01-01"])


def test_the_joined_file_is_named_by_its_rows() -> None:
    assert joined_name(names(3)) == ("acts/day=2026-01-01/rows-000000000001-000000000003.parquet")


def test_days_and_order() -> None:
    mixed = names(2, "2026-01-02")[::-1] + names(1)
    assert by_day(mixed) == {"2026-01-02": names(2, "2026-01-02"), "2026-01-01": names(1)}
    assert in_order(names(3)) and not in_order([names(3)[1], names(3)[0]])
    assert not in_order([names(1)[0], names(1)[0]])
