"""A day's requests: so many, in order, by the curve, the same for a seed."""

from __future__ import annotations

from service.rehearsal.traffic import DAY_S, HOURS, RATED, day, times


def test_the_same_seed_gives_the_same_day_and_another_another() -> None:
    one, same, other = day(400, 3), day(400, 3), day(400, 4)
    assert one.wishes == same.wishes != other.wishes and one.texts == same.texts
    assert len(one.wishes) == 400
    assert all(wish.prompt in one.texts for wish in one.wishes)
    assert {wish.tier for wish in one.wishes} == {"basic", "premium"}
    patient = [wish for wish in one.wishes if wish.patient]
    assert {wish.task for wish in patient} == {"photo_text", "long_article"}
    assert not any(wish.stream or wish.repeats for wish in patient)
    line = patient[0].line()
    assert line["url"] == "/v1/chat/completions" and "queue" not in line["body"]["headgate"]  # type: ignore[index]
    repeated = [wish for wish in one.wishes if wish.repeats]
    before = {wish.prompt for wish in one.wishes if not wish.repeats}
    assert repeated and all(wish.prompt in before for wish in repeated)
    assert all(not (wish.stream and wish.body()["headgate"].get("queue")) for wish in one.wishes)  # type: ignore[attr-defined]


def test_requests_come_by_the_hours_curve() -> None:
    found = times(20_000, 5)
    assert list(found) == sorted(found) and found[0] >= 0.0 and found[-1] < DAY_S
    busy = sum(int(at / 3600) == 14 for at in found) / len(found)
    assert abs(busy - HOURS[14] / sum(HOURS)) < 0.01  # six standard deviations
    rated = sum(wish.rates for wish in day(3_000, 5).wishes) / 3_000
    assert abs(rated - RATED) < 0.05
