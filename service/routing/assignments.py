"""Which variants a request gets: by its units, in every layer, for the experiments that run."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from experiments.assignment import Assigner, Why, draw, salt
from experiments.design import Allocation, Experiment, Layer, Unit
from service.domain.experiments import Assigned
from service.domain.records import Caller
from service.routing.treatments import NO_TREATMENT, Treatment

HOLDOUT = "holdout"
_WHOLE = 1 << 64


@dataclass(frozen=True, slots=True)
class Running:
    """An experiment that exposes ``percent`` of its units, with a treatment for each variant."""

    id: str
    design: Experiment
    layer: str
    first: int
    stop: int
    percent: int
    treatments: Mapping[str, Treatment]


@dataclass(frozen=True, slots=True)
class Holdout:
    """The share of units that no experiment touches and that one static policy serves."""

    share: float
    treatment: Treatment


NO_HOLDOUT = Holdout(0.0, NO_TREATMENT)


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a request got: its variants, and what they change together."""

    assigned: tuple[Assigned, ...]
    treatment: Treatment

    @property
    def held_out(self) -> bool:
        """Whether it belongs to the global holdout."""
        return bool(self.assigned) and self.assigned[0].experiment == HOLDOUT


NOTHING = Drawn((), NO_TREATMENT)


class Assignments:
    """Made anew whenever an experiment moves; stateless, so it draws alike on every machine.

    ``shipped``: what everybody but the holdout gets for good; the variants come on top of it.
    """

    def __init__(
        self,
        running: Sequence[Running] = (),
        holdout: Holdout = NO_HOLDOUT,
        shipped: Treatment = NO_TREATMENT,
    ) -> None:
        self.running = tuple(running)
        self.shipped = shipped
        self._nothing = Drawn((), shipped) if shipped else NOTHING
        self.holdout = holdout
        self._by_key = {(each.design.slug, each.design.version): each for each in running}
        self._blocks = tuple(each for each in running if each.design.unit is Unit.BLOCK)
        self._assigners = tuple(
            (unit, _assigner(unit, running)) for unit in Unit
            if any(each.design.unit is unit for each in running) and unit is not Unit.BLOCK
        )  # fmt: skip
        self._holdout_salt = salt("holdout")
        self._held_below = int(holdout.share * _WHOLE)
        self.active = bool(self.running) or self._held_below > 0 or bool(shipped)
        self.by_user = any(each.design.unit is Unit.USER for each in running)
        self._by_request = {each.id for each in running if each.design.unit is Unit.REQUEST}

    def draw(
        self, caller: Caller, user: str, request_id: str, now_us: int,
        ended: Container[str] = (),
    ) -> Drawn:  # fmt: skip
        """The variants of a request. ``user``: the keyed hash of its user, if it names one;
        ``ended``: experiments that count as not running.
        """
        session = caller.session or caller.unit or request_id
        if self._held_below and draw(self._holdout_salt, session) < self._held_below:
            held = Assigned(HOLDOUT, HOLDOUT, self.holdout.share, session)
            return Drawn((held,), self.holdout.treatment)
        assigned: list[Assigned] = []
        treatment = self._nothing.treatment
        for unit, assigner in self._assigners:
            named = _unit(unit, caller, user, request_id)
            for found in assigner.assign(named):
                if found.why is not Why.ASSIGNED:
                    continue
                assert found.experiment and found.version and found.variant and found.probability
                each = self._by_key[found.experiment, found.version]
                if each.id in ended:
                    continue
                assigned.append(Assigned(each.id, found.variant, found.probability, named))
                treatment += each.treatments[found.variant]
        for each in self._blocks:
            if each.id in ended:
                continue
            variant, named = _block(each.design, now_us)
            assigned.append(Assigned(each.id, variant, 0.5, named))
            treatment += each.treatments[variant]
        return Drawn(tuple(assigned), treatment) if assigned else self._nothing

    def stand(self, assigned: Sequence[Assigned], now: Drawn) -> bool:
        """Whether a session's variants of its draw are still those that it has now."""
        return all(each in now.assigned or each.experiment in self._by_request for each in assigned)


class AssignmentHolder:
    """What is in force; swapped whole, so a request sees one or the other."""

    def __init__(self) -> None:
        self.current = Assignments()


def _assigner(unit: Unit, running: Sequence[Running]) -> Assigner:
    of_unit = [each for each in running if each.design.unit is unit]
    layers = tuple(
        Layer(
            name,
            tuple(
                Allocation(each.design.slug, each.first, each.stop)
                for each in of_unit
                if each.layer == name
            ),
        )
        for name in dict.fromkeys(each.layer for each in of_unit)
    )
    designs = tuple(each.design for each in of_unit)
    return Assigner(layers, designs, {each.design.slug: each.percent for each in of_unit})


def _unit(unit: Unit, caller: Caller, user: str, request_id: str) -> str:
    """What is assigned as a whole; a request without a session is a session of its own."""
    if unit is Unit.SESSION:
        return caller.session or request_id
    if unit is Unit.USER:
        return user
    if unit is Unit.REQUEST:
        return request_id
    return f"{caller.key_id}/{caller.tenant}" if caller.tenant else caller.key_id


def _block(design: Experiment, now_us: int) -> tuple[str, str]:
    blocks = design.blocks
    assert blocks is not None  # refused otherwise
    number = blocks.block(now_us)
    treated = blocks.treated(number)
    return design.variants[1 if treated else 0].name, f"block:{number}"
