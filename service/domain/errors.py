"""What can go wrong, each with its HTTP code, in OpenAI's error shape.

HeadgateError
├── InvalidRequest 400            ├── CapabilityMissing 400   no deployment can do what is asked
├── BodyTooLarge 413              ├── AuthenticationFailed 401
├── EncodingRefused 415           ├── RequestTimeout 408
├── HeadTooLarge 431              ├── RateLimited 429           more than the key may ask
├── Overloaded 503                the gateway itself is full, or stopping
├── PermissionDenied 403          ├── NotFound 404            └── ModelNotFound 404
├── Conflict 409                  ├── Gone 410
├── Unprocessable 422         └── PlanRefused 422         a reload; the old plan stays
├── NoDeployment 503              nothing eligible now (overrides, limits)
├── UpstreamExhausted 503         every attempt failed
├── UpstreamRefused 400           the provider refused the request itself
│   └── ContentRefused 400        by its content policy
├── RefusalLimit 429              too many such refusals by one user
├── BudgetExceeded 429            a budget has no room for the call
├── StorageUnavailable 503        what must be durable cannot be made so now
└── PlanInvalid                   the plan file; never reaches a caller
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

EXCLUDED = "excluded_by_operator"
BUDGET = "budget_exceeded"
KILLED = "killed_by_operator"


class HeadgateError(Exception):
    """An error that people may read: it names the field and the mend, and nothing secret."""

    status = 500
    type = "server_error"
    code: str = "internal_error"
    headers: Sequence[tuple[str, str]] = ()  # to be sent with the answer

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        if code is not None:
            self.code = code

    @property
    def willed(self) -> bool:
        """Whether an operator's override or budget keeps it from an answer: that is no outage."""
        return self.code in (EXCLUDED, KILLED, BUDGET)


class InvalidRequest(HeadgateError):
    """The request is not of the form."""

    status, type, code = 400, "invalid_request_error", "invalid_request"


class CapabilityMissing(InvalidRequest):
    """No deployment can do what is asked."""

    code = "capability_missing"


class UpstreamRefused(InvalidRequest):
    """The provider refused the request itself; another try would be refused too."""

    code = "upstream_refused"


class ContentRefused(UpstreamRefused):
    """A provider's content policy refused the request. ``word`` is one of a closed set."""

    code = "content_policy_violation"

    def __init__(
        self, message: str, *, deployment: str = "", provider: str = "", word: str = ""
    ) -> None:
        super().__init__(message)
        self.deployment, self.provider, self.word = deployment, provider, word
        self.earlier = ""  # the incident that this one repeats
        self.suggestion = ""  # what the plan offers instead


class RefusalLimit(HeadgateError):
    """Too many of one user's requests were refused by content policies within an hour."""

    status, type, code = 429, "invalid_request_error", "refusal_limit"


class BudgetExceeded(HeadgateError):
    """A budget has no room for what the call may cost. ``queued``: the plan would have it wait."""

    status, type, code = 429, "insufficient_quota", BUDGET
    headers = (("x-should-retry", "false"),)  # clients that retry by themselves would do so in vain
    queued = False


class BodyTooLarge(InvalidRequest):
    """Longer than the limit; refused while reading."""

    status, code = 413, "body_too_large"


class EncodingRefused(InvalidRequest):
    """Compressed: a small body could unpack to a huge one."""

    status, code = 415, "unsupported_encoding"


class RequestTimeout(InvalidRequest):
    """Head or body came too slowly."""

    status, code = 408, "request_timeout"


class HeadTooLarge(InvalidRequest):
    """More, or longer, headers than are read."""

    status, code = 431, "headers_too_large"


class RateLimited(HeadgateError):
    """More than the key may ask in a minute."""

    status, type, code = 429, "rate_limit_error", "rate_limit_exceeded"


class Overloaded(HeadgateError):
    """The gateway itself has more than it can do, or is stopping."""

    status, type, code = 503, "server_error", "overloaded"


class AuthenticationFailed(HeadgateError):
    """No key, or none that is known."""

    status, type, code = 401, "invalid_request_error", "invalid_api_key"


class PermissionDenied(HeadgateError):
    """The key's role does not reach this."""

    status, type, code = 403, "invalid_request_error", "permission_denied"


class NotFound(HeadgateError):
    """No such thing, or not yours."""

    status, type, code = 404, "invalid_request_error", "not_found"


class NotAllowed(InvalidRequest):
    """Not with this method."""

    status, code = 405, "method_not_allowed"


class ModelNotFound(NotFound):
    """No deployment or virtual model of that name."""

    code = "model_not_found"

    def __init__(self, message: str, did_you_mean: Sequence[str]) -> None:
        super().__init__(message, param="model")
        self.did_you_mean = tuple(did_you_mean)


class Conflict(HeadgateError):
    """The same key with another content, or a version that has moved on."""

    status, type, code = 409, "invalid_request_error", "conflict"


class Gone(HeadgateError):
    """Too late."""

    status, type, code = 410, "invalid_request_error", "expired"


class Unprocessable(HeadgateError):
    """Of the right form, with a value that cannot be."""

    status, type, code = 422, "invalid_request_error", "invalid_value"


class PlanRefused(Unprocessable):
    """A plan that is not taken; the one in force stays."""

    code = "plan_refused"


class NoDeployment(HeadgateError):
    """Nothing is eligible now, though something could do it."""

    status, type, code = 503, "server_error", "no_deployment_available"


class UpstreamExhausted(HeadgateError):
    """Every attempt failed."""

    status, type, code = 503, "server_error", "upstream_unavailable"


class StorageUnavailable(HeadgateError):
    """What must be durable cannot be made so now."""

    status, type, code = 503, "server_error", "storage_unavailable"


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a plan file: where it stands, what is wrong, how to mend it."""

    key: str
    message: str
    mend: str = ""
    line: int | None = None

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        mend = f" ({self.mend})" if self.mend else ""
        return f"{where}{self.key}: {self.message}{mend}"


class PlanInvalid(HeadgateError):
    """A plan file that is not to be served from, with every problem found."""

    code = "plan_invalid"

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join([f"{source} cannot be used:", *(f"  {p}" for p in problems)]))
        self.problems = tuple(problems)
