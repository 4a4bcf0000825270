"""What a freeze held back: outcomes and ratings of its scope that the policy was not told."""

from __future__ import annotations

from dataclasses import dataclass

from service.domain.records import Override
from service.storage.cases import at_time, rows_of
from service.storage.database import Cursor

MARGIN_US = 60_000_000  # rows of the moments around its start may lie on either side


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A row of the log: an outcome, or (``feedback_id``) a rating."""

    log_seq: int
    decision_id: str
    feedback_id: str | None


_PAGE = """
    WITH told AS (
        SELECT decision_id, feedback_id, kind FROM updates WHERE log_seq > $first),
    rows AS (
        SELECT log_seq, decision_id, NULL AS feedback_id FROM outcomes
        WHERE log_seq > $after AND log_seq <= $through AND decision_id NOT IN (
            SELECT decision_id FROM told WHERE kind = 'outcome' AND decision_id IS NOT NULL)
        UNION ALL
        SELECT log_seq, decision_id, id AS feedback_id FROM feedback
        WHERE log_seq > $after AND log_seq <= $through AND quality IS NOT NULL AND id NOT IN (
            SELECT feedback_id FROM told WHERE feedback_id IS NOT NULL))
    SELECT r.log_seq, r.decision_id, r.feedback_id FROM rows r
    JOIN decisions d ON d.id = r.decision_id
    WHERE ($task = '' OR d.task = $task) AND ($tenant = '' OR d.tenant = $tenant)
          AND ($tier = '' OR d.tier = $tier)
          AND ($deployment = '' OR d.deployment = $deployment OR d.id IN (
              SELECT decision_id FROM outcomes WHERE deployment = $deployment))
    ORDER BY r.log_seq LIMIT $most"""


def first_row(cursor: Cursor, override: Override) -> int:
    """The row of the log after which all lies that a freeze held back; blocks."""
    (found,) = rows_of(
        cursor,
        "SELECT least((SELECT min(log_seq) FROM overrides WHERE id = ?), "
        "(SELECT min(log_seq) FROM outcomes WHERE ts >= ?), "
        "(SELECT min(log_seq) FROM feedback WHERE ts >= ?)) AS first",
        [override.id, *[at_time(override.starts_us - MARGIN_US)] * 2],
    )
    return max(int(found["first"] or 1) - 1, 0)


def held_back(
    cursor: Cursor, override: Override, first: int, between: tuple[int, int], most: int
) -> list[HeldBack]:
    """Of the rows after the one number and up to the other those of an override's scope that the
    policy was not told since row ``first``, in their order, at most ``most``; blocks.
    """
    asked = {
        "first": first, "after": between[0], "through": between[1], "most": most,
        "task": override.task, "tenant": override.tenant, "tier": override.tier,
        "deployment": override.deployment,
    }  # fmt: skip
    cursor.execute(_PAGE, asked)
    return [
        HeldBack(int(seq), str(decision), None if feedback is None else str(feedback))
        for seq, decision, feedback in cursor.fetchall()
    ]
