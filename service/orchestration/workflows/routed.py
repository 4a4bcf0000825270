"""The calls of a run on the way of live requests: decided, recorded, sent, by its caller's key."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from service.domain.catalog import Deployment, family_of
from service.domain.chat import ChatRequest, parse
from service.domain.clock import Clock, new_id
from service.domain.errors import (
    CapabilityMissing,
    ContentRefused,
    HeadgateError,
    UpstreamExhausted,
)
from service.domain.records import Decision, Key, Role, Usage
from service.orchestration.answering import Answering
from service.orchestration.workflows.asks import NOTHING, Ask, Said, summed
from service.orchestration.workflows.cached import StepCache, call_key
from service.orchestration.workflows.estimating import Foreseen
from service.orchestration.workflows.forms import CallForm
from service.orchestration.workflows.steps import Step
from service.providers.base import Answer
from service.routing.dispatch import Dispatcher
from service.routing.purse import Worst
from service.routing.refusals import Refusals
from service.routing.router import Router
from service.routing.run import Served
from service.storage.cases import Case


class Made(Protocol):
    """An answer in another modality."""

    @property
    def body(self) -> bytes:
        """JSON in OpenAI's form, or sound."""

    @property
    def media(self) -> str:
        """Its media type."""

    @property
    def decision_id(self) -> str:
        """By which it is rated."""

    @property
    def deployment(self) -> str:
        """Who made it."""

    @property
    def usage(self) -> Usage:
        """What it took, all calls together."""


class Makes(Protocol):
    """Images, speech and embeddings: each takes the body of its endpoint."""

    async def image(self, request: Mapping[str, object], key: Key, session: str = "") -> Made:
        """Pictures."""

    async def speech(self, request: Mapping[str, object], key: Key, session: str = "") -> Made:
        """Sound."""

    async def embed(self, request: Mapping[str, object], key: Key, session: str = "") -> Made:
        """Vectors."""


@dataclass(frozen=True, slots=True)
class RoutedParts:
    """What the calls of all runs stand on; what a plan changes is asked for at each call."""

    router: Callable[[], Router]
    dispatcher: Callable[[], Dispatcher]
    answering: Answering
    decided: Callable[[Decision, str], object]
    case: Callable[[str], Case | None]
    refusals: Callable[[], Refusals]
    makes: Callable[[], Makes | None]
    clock: Clock
    cache: StepCache = field(default_factory=StepCache)


class _Choice(msgspec.Struct):
    message: dict[str, Any] = {}
    finish_reason: str | None = None


class _Whole(msgspec.Struct):
    choices: list[_Choice] = []


_whole = msgspec.json.Decoder(_Whole).decode
_json = msgspec.json.Decoder(dict[str, Any]).decode


class Routed:
    """The calls of one run. ``feature``: under which they are counted, if the caller says none;
    ``parent``: the caller's traceparent.
    """

    def __init__(
        self, parts: RoutedParts, key: Key, feature: str, labels: Mapping[str, Any],
        parent: str = "",
    ) -> None:  # fmt: skip
        self._parts, self._key, self._parent = parts, key, parent
        self._labels = {"feature": feature, **labels}

    # what it may cost -------------------------------------------------------------------------

    def worst_micro_usd(self, ask: Ask) -> tuple[int, int]:
        """One try at the cheapest and at the dearest of those that may be asked."""
        dispatcher = self._parts.dispatcher()
        targets = _may(dispatcher.means.catalog, ask)
        if ask.kind == "chat":
            request = self._request(ask)
            budgets = dispatcher.means.budgets
            reserve = 1_024 if budgets is None else budgets.rules.reserve_out
            worst = Worst(request, request.shape.tokens_in, reserve, self._parts.clock.wall_us())
            costs = [worst.of(each) for each in targets]
        else:
            at_us = self._parts.clock.wall_us()
            costs = [_modal_micro_usd(each, ask, at_us) for each in targets]
        return (min(costs), max(costs)) if costs else (0, 0)

    def price_micro_usd(self, deployment: str, tokens_in: float, tokens_out: float) -> float:
        """What a call of such a size costs now."""
        catalog = self._parts.dispatcher().means.catalog
        found = next((each for each in catalog if each.name == deployment), None)
        if found is None:
            return 0.0
        price = found.price_at(self._parts.clock.wall_us())
        whole = tokens_in * price.input_micro_usd_mtok + tokens_out * price.output_micro_usd_mtok
        return whole / 1e6 + price.request_micro_usd

    def foresee(self, step: Step, tokens_in: int) -> Foreseen:
        """As the router would decide now, for a text of that length."""
        form = step.form
        assert isinstance(form, CallForm)
        ask = Ask("chat", "", form, {"messages": [{"role": "user", "content": "x " * tokens_in}]},
                  form.timeout_s or 60.0)  # fmt: skip
        catalog = self._parts.dispatcher().means.catalog
        try:
            request = self._request(ask)
            decision = self._parts.router().decide(request, self._key, dry_run=True)
        except HeadgateError:
            return Foreseen({}, 1.0)
        found = decision.candidates
        shares = dict(zip(found.names, found.propensities, strict=True))
        priors = {each.name: each.prior_latency_s for each in catalog}
        live = dict(zip(found.names, found.latency_s, strict=False))
        seconds = {name: live.get(name) or priors.get(name) or 1.0 for name in shares}
        return Foreseen(shares, sum(share * seconds[name] for name, share in shares.items()))

    def kin(self, names: Sequence[str]) -> tuple[str, ...]:
        catalog = self._parts.dispatcher().means.catalog
        families = {_family(each) for each in catalog if each.name in names}
        return tuple(each.name for each in catalog if _family(each) in families)

    # the calls --------------------------------------------------------------------------------

    async def make(self, ask: Ask, bill: list[Usage]) -> Said:
        """One call."""
        began_s = self._parts.clock.monotonic_s()
        key = ""
        if ask.form.cache:
            key = call_key(self._key.tenant or self._key.id, ask)
            kept = self._parts.cache.get(key, began_s)
            if kept is not None:
                return Said(kept.fields, kept.deployment, "", NOTHING, 0.0, cached=True)
        said = await (self._chat(ask, bill) if ask.kind == "chat" else self._modal(ask, bill))
        now_s = self._parts.clock.monotonic_s()
        if key:
            self._parts.cache.put(key, said, now_s)
        return Said(said.fields, said.deployment, said.decision_id, said.usage, now_s - began_s)

    async def _chat(self, ask: Ask, bill: list[Usage]) -> Said:
        parts, request = self._parts, self._request(ask)
        decision = parts.router().decide(request, self._key)
        parts.decided(decision, self._parent)
        incident, refusals = new_id(), parts.refusals()
        served: Served | None = None
        try:
            await refusals.check(decision, request, incident)
            try:
                answer, served = await self._answer(decision, request)
            except ContentRefused as refused:
                raise await refusals.take(refused, decision, request, incident) from None
        finally:
            bill.append(served.usage if served is not None else self._spent(decision, ask))
        fields = fields_of(answer.body)
        if fields is None:
            raise UpstreamExhausted("the answer has no text", code="no_text")
        return Said(fields, served.deployment.name, decision.id, served.usage)

    async def _answer(self, decision: Decision, request: ChatRequest) -> tuple[Answer, Served]:
        way = self._parts.answering.way(decision, request)
        if way is not None:
            return await way.complete(decision, request)
        return await self._parts.dispatcher().complete(decision, request, Role.STEP)

    def _spent(self, decision: Decision, ask: Ask) -> Usage:
        """What a call without an answer took, as its attempts say; where they are not to be found,
        all that was reserved.
        """
        case = self._parts.case(decision.id)
        if case is None:
            return Usage(0, 0, 0, ask.most_micro_usd, True)
        own = [each.usage for each in case.attempts if not each.role.beside]
        return summed(own) if own else NOTHING

    def _request(self, ask: Ask) -> ChatRequest:
        form = ask.form
        body = {
            **ask.body, "model": form.model, "metadata": self._labels,
            "headgate": options_of(form, ask),
        }  # fmt: skip
        return parse(msgspec.json.encode(body))

    async def _modal(self, ask: Ask, bill: list[Usage]) -> Said:
        makes = self._parts.makes()
        if makes is None:
            raise CapabilityMissing(f"there is nobody here who makes {ask.kind}")
        body: dict[str, object] = {
            **ask.body, "model": ask.form.model, "headgate": options_of(ask.form, ask)
        }  # fmt: skip
        make = {"image": makes.image, "speech": makes.speech, "embed": makes.embed}[ask.kind]
        made = await make(body, self._key)
        bill.append(made.usage)
        return Said(_media(ask.kind, made), made.deployment, made.decision_id, made.usage)


def options_of(form: CallForm, ask: Ask) -> dict[str, Any]:
    """The options of a call: what narrows, its time, its money."""
    route = form.route
    options: dict[str, Any] = {
        "deadline_s": min(max(ask.timeout_s, 0.001), 3_600.0),
        "exclude": list(dict.fromkeys([*route.exclude, *ask.exclude])),
    }  # fmt: skip
    if ask.most_micro_usd:
        options["max_cost_usd"] = ask.most_micro_usd / 1e6
    for name in ("deployments", "data_policy", "task", "tier", "min_quality", "quality_cost",
                 "region"):  # fmt: skip
        value = getattr(route, name)
        if value not in (None, []):
            options[name] = value
    return options


def fields_of(body: bytes) -> dict[str, Any] | None:
    """The text of a chat answer and why it ended; None where it has none."""
    try:
        choices = _whole(body).choices
    except (msgspec.DecodeError, RecursionError):
        return None
    content = choices[0].message.get("content") if choices else None
    if not isinstance(content, str):
        return None
    return {"text": content, "finish": choices[0].finish_reason or "stop"}


def _media(kind: str, made: Made) -> dict[str, Any]:
    """An answer in another modality as fields of a result."""
    if kind == "speech":
        sound = base64.b64encode(made.body).decode()
        return {"audio": {"media_type": made.media, "b64": sound}}
    try:
        data = _json(made.body)["data"]
        if kind == "embed":
            return {"vectors": [each["embedding"] for each in data]}
        return {"image": {"media_type": "image/png", "b64": data[0]["b64_json"]}}
    except (msgspec.DecodeError, KeyError, IndexError, TypeError):
        raise UpstreamExhausted(f"the answer holds no {kind}", code="malformed") from None


def _may(catalog: Sequence[Deployment], ask: Ask) -> list[Deployment]:
    """Those whom the form lets answer, as far as it says."""
    form, route = ask.form, ask.form.route
    return [
        each for each in catalog
        if (form.model.startswith("auto") or each.name == form.model)
        and (not route.deployments or each.name in route.deployments)
        and each.name not in route.exclude and each.name not in ask.exclude
    ]  # fmt: skip


def _modal_micro_usd(target: Deployment, ask: Ask, at_us: int) -> int:
    price, text = target.price_at(at_us), str(ask.body.get("prompt") or ask.body.get("input") or "")
    size = len(text)
    total = size * (price.mchar_micro_usd + price.input_micro_usd_mtok) // 1_000_000
    return total + 1 + price.request_micro_usd + price.image_micro_usd * (ask.kind == "image")


def _family(of: Deployment) -> str:
    return of.family or family_of(of.provider, of.model)
