"""Who may be drawn: what a deployment can do, what its limits leave, what people excluded."""

from __future__ import annotations

from collections.abc import Sequence

from service.domain.catalog import Deployment
from service.domain.chat import ChatRequest
from service.domain.demands import DATA_POLICY, NO_DEMAND, REGION, Demand
from service.domain.dialects import param_of, unsaid
from service.domain.errors import CapabilityMissing
from service.domain.modalities import CHAT_KIND, Kind
from service.domain.records import Decision, Disqualified, Role
from service.routing.fleet import Fleet

ANSWER_RESERVE = 256
LACKS = "lacks "
GUARDED = frozenset({REGION, DATA_POLICY})  # who may not even see the prompt
HARD = frozenset({"context_window", "max_output_tokens", *GUARDED})


class Eligibility:
    """The hard disqualifiers, in an order in which the plainest reason is told first."""

    def __init__(self, catalog: Sequence[Deployment], fleet: Fleet, kind: Kind = CHAT_KIND) -> None:
        self.catalog = tuple(catalog)
        self._fleet, self._kind = fleet, kind
        self._own = [(i, each) for i, each in enumerate(self.catalog) if each.kind == kind]

    def incapable(
        self, deployment: Deployment, request: ChatRequest, task: str, demand: Demand = NO_DEMAND
    ) -> str | None:
        """Why a deployment cannot serve a request at all; None when it can. What is demanded of
        region and data comes first: of those who left so, nobody may even judge the answer.
        """
        if demand is not NO_DEMAND and (unmet := demand.unmet(deployment)):
            return unmet
        if deployment.kind != self._kind:
            other = deployment.modality != self._kind.modality
            return LACKS + (self._kind.modality if other else f"space {self._kind.space}")
        missing = request.needs - deployment.capabilities
        if missing:
            return LACKS + "+".join(sorted(missing))
        if request.beyond and (words := unsaid(deployment.dialect, request.beyond)):
            return LACKS + "+".join(words)
        shape = request.shape
        limit = shape.tokens_out_limit
        if shape.tokens_in + min(limit or ANSWER_RESERVE, ANSWER_RESERVE) > (
            deployment.context_window
        ):
            return "context_window"
        if 0 < deployment.max_output_tokens < limit:
            return "max_output_tokens"
        if deployment.tasks and task not in deployment.tasks:
            return "task"
        return None

    def split(
        self, request: ChatRequest, task: str, now_s: float, demand: Demand = NO_DEMAND
    ) -> tuple[list[int], list[Disqualified]]:
        """Indices of the eligible, and the others with their reasons."""
        able: list[int] = []
        out: list[Disqualified] = []
        needs, shape, beyond = request.needs, request.shape, request.beyond
        reserve = min(shape.tokens_out_limit or ANSWER_RESERVE, ANSWER_RESERVE)
        tokens = shape.tokens_in + (shape.tokens_out_limit or ANSWER_RESERVE)
        free = demand is NO_DEMAND
        for index, each in self._own:
            fits = (
                needs <= each.capabilities
                and shape.tokens_in + reserve <= each.context_window
                and not 0 < each.max_output_tokens < shape.tokens_out_limit
                and (not each.tasks or task in each.tasks)
                and (free or demand.unmet(each) is None)
                and not (beyond and unsaid(each.dialect, beyond))
            )
            if not fits:
                reason = self.incapable(each, request, task, demand) or "unknown"
                out.append(Disqualified(each.name, reason))
            elif self._fleet.windows.exhausted(each, tokens, now_s):
                out.append(Disqualified(each.name, "rate_limit"))
            else:
                able.append(index)
        eligible, barred = self._fleet.admit(self.catalog, able, now_s)
        out += [Disqualified(self.catalog[index].name, why) for index, why in barred]
        return eligible, out


def permitted(decision: Decision, target: Deployment, role: Role | None) -> Deployment:
    """The target, where no hard disqualifier stands between it and this request; every call of
    every kind passes here, so that none is crossed in silence. A judge is sent a question of its
    own, so of it only what guards the prompt counts.
    """
    for each in decision.disqualified:
        if each.deployment != target.name:
            continue
        if each.reason in (GUARDED if role is Role.JUDGE else HARD) or (
            role is not Role.JUDGE and each.reason.startswith(LACKS)
        ):
            raise CapabilityMissing(f"{target.name} cannot serve this request: {each.reason}")
    return target


def unsaid_param(deployment: Deployment, request: ChatRequest) -> str | None:
    """The field that a deployment's dialect cannot say, if there is one."""
    words = unsaid(deployment.dialect, request.beyond)
    return param_of(words[0], request.fields) if words else None


def only(
    eligible: Sequence[int],
    catalog: Sequence[Deployment],
    use: Sequence[str],
    exclude: Sequence[str],
    reason: str,
) -> tuple[list[int], list[Disqualified]]:
    """Keep what ``use`` names (all when empty) and ``exclude`` does not."""
    kept: list[int] = []
    out: list[Disqualified] = []
    for index in eligible:
        name = catalog[index].name
        if (use and name not in use) or name in exclude:
            out.append(Disqualified(name, reason))
        else:
            kept.append(index)
    return kept, out
