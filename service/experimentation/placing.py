"""Where an experiment lies: its buckets in a layer, and with which others it cannot run."""

from __future__ import annotations

from collections.abc import Iterable

from experiments.design import BUCKETS, Experiment, Unit
from experiments.states import State
from service.domain.errors import Conflict, Unprocessable
from service.routing.treatments import PARAMETERS
from service.storage.experiments import Conducted

WATCH_LAYER = "watch"  # of promotions; nobody else's


def place(
    design: Experiment, layer: str, share: float, known: Iterable[Conducted]
) -> tuple[int, int]:
    """The first free buckets of a layer, as many as the share asks; raises Conflict."""
    if layer == WATCH_LAYER and not design.reverse:
        raise Unprocessable(
            f"layer: {WATCH_LAYER} is kept for the watches over promotions; give another",
            param="layer",
        )
    if design.unit is Unit.BLOCK:
        return 0, 0  # by time: it takes all traffic
    if not 0.0 < share <= 1.0:
        raise Unprocessable("share: give the part of the layer, above 0 up to 1", param="share")
    others = [each for each in known if each.record.layer == layer and each.holds_buckets]
    for each in others:
        if each.design.unit is not design.unit and each.design.unit is not Unit.BLOCK:
            raise Conflict(
                f"the layer {layer} assigns by {each.design.unit} ({each.id}); give another layer",
                code="layer_unit",
            )
    wanted = max(1, round(share * BUCKETS))
    at = 0
    for each in sorted(others, key=lambda each: each.record.first):
        if each.record.first - at >= wanted:
            break
        at = max(at, each.record.stop)
    if at + wanted > BUCKETS:
        taken = sum(each.record.stop - each.record.first for each in others)
        held = ", ".join(each.id for each in others)
        raise Conflict(
            f"the layer {layer} has no {share:.0%} in one piece: {held} hold {taken / BUCKETS:.0%}"
            "; give a smaller share or another layer, or end one of them",
            code="layer_full",
        )
    return at, at + wanted


def check_alone(mine: Conducted, others: Iterable[Conducted]) -> None:
    """Refuse what runs already in another layer and changes the same: neither would be measured."""
    settings = _settings(mine)
    for each in others:
        if "version" in settings and "deployment" in _settled(each):
            raise Conflict(
                f"{each.id} is shipped and gives everybody one deployment, so no version decides; "
                "put that into the plan and roll it back, then start this",
                code="experiments_conflict",
            )
        here = each.record.layer == mine.record.layer and each.design.unit is not Unit.BLOCK
        if each.id == mine.id or each.standing.state is not State.RUNNING or here:
            continue
        if each.record.layer == WATCH_LAYER:  # a promotion's watch stands aside for nobody
            both = {"version"} & settings
        else:
            theirs = _settings(each)
            both = settings & theirs
            if _decides(settings) and _decides(theirs):
                both |= {"who decides"}
        if both:
            raise Conflict(
                f"{each.id} runs and changes {', '.join(sorted(both))} too; end it first, or put "
                "both into one layer",
                code="experiments_conflict",
            )


def _settings(conducted: Conducted) -> set[str]:
    return {name for each in conducted.design.variants for name, _ in each.settings}


def _settled(conducted: Conducted) -> set[str]:
    """The settings that everybody has, of what was shipped."""
    shipped = conducted.standing.shipped
    return {n for each in conducted.design.variants if each.name == shipped
            for n, _ in each.settings}  # fmt: skip


def _decides(settings: set[str]) -> bool:
    return any(PARAMETERS[name].decides for name in settings if name in PARAMETERS)
