"""Whether the deployment that a caller named can be tried at this moment."""

from __future__ import annotations

from service.domain.catalog import Deployment
from service.domain.errors import NoDeployment
from service.routing.eligibility import ANSWER_RESERVE
from service.routing.fleet import Fleet
from service.routing.narrowing import Draft


def pin_stands(fleet: Fleet, deployment: Deployment, draft: Draft) -> None:
    """A pin is served by nobody else: where it cannot be tried now, that is said at once, by
    NoDeployment.
    """
    shape = draft.asked.request.shape
    tokens = shape.tokens_in + (shape.tokens_out_limit or ANSWER_RESERVE)
    if fleet.windows.exhausted(deployment, tokens, draft.now_s):
        raise NoDeployment(
            f"{deployment.name} is at its provider's rate limit now; try later",
            code="deployments_rate_limited",
            retry_after_s=fleet.windows.free_in_s(draft.now_s),
        )
    bar = fleet.refusal(deployment.name, draft.now_s)
    if bar:
        raise NoDeployment(
            f"{deployment.name} is out of service now ({bar}); try later, or ask for auto",
            code="deployments_unavailable",
            retry_after_s=fleet.free_in_s([deployment.name], draft.now_s),
        )
