"""Which batch is served next: what is urgent first, then off-peak ones, tenants in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from service.batching.fairness import Rounds
from service.batching.slack import Due, Lanes, latest_starts
from service.domain.batches import Batch, BatchState, Standing
from service.domain.off_peak import Window, open_at

OFF_PEAK, URGENT, NEVER = "off_peak", "urgent", "none"
LEAST_S = 30.0  # before a deadline, however quick answers are: a try that fails is made again


@dataclass(frozen=True, slots=True)
class Rules:
    """The plan's part on batches. Times in seconds; ``safety``: by how much what is learned of
    durations is multiplied.
    """

    windows: tuple[Window, ...] = ()
    longest_s: float = 86_400.0
    most_at_once: int = 4
    most_per_key: int = 2
    most_requests: int = 50_000
    most_live: int = 100
    safety: float = 2.0
    tries: int = 4
    keep_s: float = 604_800.0
    owner_bytes: int = 200_000_000
    most_bytes: int = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Pick:
    """A batch, and in which hours its request is tried."""

    batch: Batch
    hours: str


class Schedule:
    """Chooses. It remembers the turns of tenants, and what was urgent once: that stays so, since to
    go on waiting with every request answered would lead along the edge.
    """

    def __init__(self) -> None:
        self._rounds = {OFF_PEAK: Rounds(), URGENT: Rounds()}
        self._hurried: set[str] = set()

    def pick(
        self,
        standings: Sequence[Standing],
        rules: Rules,
        now: tuple[int, float],
        room: Callable[[Standing], bool],
    ) -> Pick | None:
        """Who is next. ``now``: microseconds, and how long a request takes at most; ``room``:
        whether its key has some just now.
        """
        now_us, each_s = now
        starts = latest(standings, rules, each_s)
        self._hurried &= starts.keys()
        self._hurried |= {name for name, start_us in starts.items() if now_us >= start_us}
        is_open = open_at(rules.windows, now_us)
        urgent: dict[str, list[Standing]] = {}
        calm: dict[str, list[Standing]] = {}
        for each in standings:
            if each.batch.state is not BatchState.IN_PROGRESS or not each.waiting:
                continue
            if each.ready_us > now_us or now_us >= each.batch.deadline_us:
                continue
            hurried = each.batch.id in self._hurried
            if (hurried or is_open) and room(each):
                owner = each.batch.owner
                group = urgent if hurried else calm
                group.setdefault(owner.tenant or f"key {owner.key_id}", []).append(each)
        for hours, group in ((URGENT, urgent), (OFF_PEAK, calm)):
            if group:
                found = self._of(group, self._rounds[hours])
                return Pick(found.batch, OFF_PEAK if is_open else hours)
        return None

    @staticmethod
    def _of(group: Mapping[str, list[Standing]], rounds: Rounds) -> Standing:
        heads = {
            name: min(each, key=lambda s: (-s.batch.priority, s.batch.deadline_us, s.batch.id))
            for name, each in group.items()
        }
        name = rounds.next({name: head.batch.cost for name, head in heads.items()})
        assert name is not None  # there is a group
        return heads[name]


def latest(standings: Sequence[Standing], rules: Rules, each_s: float) -> dict[str, int]:
    """The latest start of each batch that is under way."""
    lanes = Lanes(rules.most_at_once, rules.most_per_key, each_s, rules.safety, LEAST_S)
    return latest_starts(
        (
            Due(each.batch.id, each.batch.owner.key_id, each.batch.deadline_us, each.left)
            for each in standings
            if each.batch.state is BatchState.IN_PROGRESS
        ),
        lanes,
    )
