"""The ways of images, speech and embeddings, assembled for a plan beside the way of chat."""

from __future__ import annotations

from dataclasses import replace

from service.domain.catalog import Deployment
from service.domain.modalities import CHAT, CHAT_KIND, Kind
from service.orchestration.modalities import (
    Modalities,
    ModalParts,
    ModalWay,
    ModalWays,
    whole,
)
from service.providers.base import Provider
from service.providers.registry import MODAL
from service.routing.asked import RoutingTable
from service.routing.dispatch import Dispatcher, Means
from service.routing.ladder import Ladder, Ladders, Tier
from service.routing.router import Router, RouterParts
from service.routing.sessions import Sessions
from service.runtime import Runtime
from service.telemetry import Telemetry


def providers_of(
    catalog: tuple[Deployment, ...], known: dict[str, Provider], telemetry: Telemetry
) -> None:
    """Add to those that are known who is needed for what is not chat."""
    for each in catalog:
        name = provider_name(each)
        if each.modality != CHAT and name not in known:
            made = known[name] = MODAL[each.modality][each.dialect]()
            made.incidents.tell = telemetry.incident


def provider_name(deployment: Deployment) -> str:
    """Under which name a provider stands among all."""
    if deployment.modality == CHAT:
        return deployment.dialect
    return f"{deployment.dialect}/{deployment.modality}"


def seen_by(table: RoutingTable, kind: Kind) -> RoutingTable:
    """The table as the requests of a kind see it. A rule, or a list of tiers, that uses none of
    theirs is not for them.
    """
    if all(each.kind == CHAT_KIND for each in table.catalog):
        return table
    own = {each.name for each in table.catalog if each.kind == kind}
    rules = tuple(rule for rule in table.rules if not rule.use or own.intersection(rule.use))
    ways = table.ways if kind == CHAT_KIND else ()
    return replace(table, kind=kind, rules=rules, ladders=climbed_by(table.ladders, own), ways=ways)


def climbed_by(ladders: Ladders, own: set[str]) -> Ladders:
    """The lists of tiers as far as they name any of these."""
    found: dict[str, Ladder] = {}
    for task, ladder in ladders.by_task.items():
        tiers = [Tier(tuple(n for n in t.use if n in own), t.timeout_s) for t in ladder.tiers]
        if kept := [each for each in tiers if each.use]:
            found[task] = Ladder(kept)
    return Ladders(found)


def modal_ways(
    table: RoutingTable, parts: RouterParts, means: Means, providers: dict[str, Provider]
) -> ModalWays:
    """A router and a dispatcher for each kind that is not chat; they share health, budgets,
    policy, overrides and log with the chat's. Sessions are held apart, so that a picture does not
    let go of who answers a conversation.
    """
    ways: dict[Kind, ModalWay] = {}
    for kind in dict.fromkeys(each.kind for each in table.catalog if each.modality != CHAT):
        view = seen_by(table, kind)
        own = tuple(each for each in table.catalog if each.kind == kind)
        router = Router(
            view,
            replace(parts, prediction=None, sessions=Sessions(parts.sessions.idle_s)),
        )
        dispatcher = Dispatcher(
            replace(
                means,
                catalog=own,
                providers={each.dialect: providers[provider_name(each)] for each in own},
                alternatives=router.alternatives,
                allowed=router.allowed,
                bounds=replace(means.bounds, ladders=view.ladders),
                accept=whole,
            )
        )
        ways[kind] = ModalWay(router, dispatcher)
    return ModalWays(ways, {each.name: each.kind for each in table.catalog})


def attach_modalities(runtime: Runtime, ways: ModalWays) -> None:
    """Give a runtime its other modalities."""
    parts = ModalParts(runtime.ledger.decision, lambda: runtime.refusals)
    runtime.modalities = Modalities(parts, ways)
