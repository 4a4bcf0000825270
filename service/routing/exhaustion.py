"""After a failure: where to go for its kind, and what to tell the caller when nowhere is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.catalog import Deployment
from service.domain.errors import (
    CapabilityMissing,
    ContentRefused,
    HeadgateError,
    UpstreamExhausted,
    UpstreamRefused,
)
from service.domain.records import ErrorKind
from service.providers.base import ProviderFailure

DEFAULT_RETRY_S = 5.0
FINAL = (ErrorKind.INVALID, ErrorKind.POLICY, ErrorKind.CANCELLED)
UNSAID = (ErrorKind.DIALECT,)
TRANSIENT = (ErrorKind.CONNECTION, ErrorKind.SERVER, ErrorKind.CUT, ErrorKind.MALFORMED)


@dataclass(frozen=True, slots=True)
class Failed:
    """A deployment that failed, and how. ``other_key``: it was one of several keys of it that
    failed, and another has room.
    """

    deployment: Deployment
    failure: ProviderFailure
    other_key: bool = False


def next_target(failures: Sequence[Failed], others: Sequence[Deployment]) -> Deployment | None:
    """The next deployment for the kind of the last failure, best first; None to give up.

    A refused request is refused everywhere and is not sent again. What one dialect cannot say goes
    to another dialect. Too long a context goes to a
    larger window. An outage or a rate limit goes to another provider before the same one, but for
    one of several keys, after which the deployment's next key is asked. Where nobody else is left,
    a failure that may pass at once is tried once more where it happened.
    """
    last = failures[-1]
    if last.failure.kind in FINAL:
        return None
    if last.other_key:
        return last.deployment
    tried = {each.deployment.name for each in failures}
    left = [each for each in others if each.name not in tried]
    if last.failure.kind is ErrorKind.DIALECT:
        mute = {
            each.deployment.dialect for each in failures if each.failure.kind is last.failure.kind
        }
        return next((each for each in left if each.dialect not in mute), None)
    if last.failure.kind is ErrorKind.CONTEXT_LENGTH:
        window = max(each.deployment.context_window for each in failures)
        return next((each for each in left if each.context_window > window), None)
    down = {each.deployment.provider for each in failures}
    elsewhere = [each for each in left if each.provider not in down]
    following = next(iter(elsewhere or left), None)
    if following is None and last.failure.kind in TRANSIENT:
        again = sum(each.deployment.name == last.deployment.name for each in failures) == 1
        return last.deployment if again else None
    return following


def verdict(failures: Sequence[Failed], free_in_s: float = 0.0) -> HeadgateError:
    """What the caller is told: the cause in our words, never the provider's text.

    ``free_in_s``: when the first of those that failed may be tried again.
    """
    heard = [each for each in failures if each.failure.kind not in UNSAID]
    if not heard:
        mute = failures[-1]
        return CapabilityMissing(
            f"{mute.deployment.name} speaks the dialect {mute.deployment.dialect}, which cannot "
            f"say {mute.failure.param}; leave it out, or name a deployment of another dialect",
            param=mute.failure.param,
            code="not_expressible",
        )
    failures = heard
    last = failures[-1].failure
    if last.kind is ErrorKind.POLICY:
        refuser = failures[-1].deployment
        return ContentRefused(
            "the request was refused by the provider's content policy; it was not sent elsewhere",
            deployment=refuser.name,
            provider=refuser.provider,
            word=last.code,
        )
    if last.kind is ErrorKind.CONTEXT_LENGTH:
        return CapabilityMissing(
            "the request is too long for every deployment that could serve it; shorten it",
            param="messages",
            code="context_length_exceeded",
        )
    if last.kind is ErrorKind.INVALID:
        detail = f" (upstream code {last.code})" if last.code else ""
        return UpstreamRefused(
            f"{failures[-1].deployment.name} refused the request as invalid{detail}",
            param=last.param or None,
        )
    kinds = ", ".join(f"{each.deployment.name}: {each.failure.kind.value}" for each in failures)
    return UpstreamExhausted(
        f"no deployment answered ({kinds}); try again soon",
        retry_after_s=free_in_s if free_in_s > 1.0 else DEFAULT_RETRY_S,
    )
