"""The calls of a run on the way of live requests: decided, recorded, sent, by its caller's key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from service.domain.catalog import Deployment, family_of
from service.domain.chat import ChatRequest, parse
from service.domain.clock import Clock, new_id
from service.domain.errors import ContentRefused, HeadgateError, UpstreamExhausted
from service.domain.modal_requests import MAX_PROMPT, MAX_SPOKEN, ModalRequest, parse_modal
from service.domain.modalities import EMBEDDING, IMAGE, SPEECH
from service.domain.records import Decision, Key, Role, Usage
from service.orchestration.answering import Answering
from service.orchestration.modalities import ModalWay, ModalWays, media_of
from service.orchestration.workflows.asks import NOTHING, Ask, Said, summed
from service.orchestration.workflows.cached import StepCache, call_key
from service.orchestration.workflows.estimating import Foreseen
from service.orchestration.workflows.forms import CallForm, ImageForm, SpeechForm
from service.orchestration.workflows.media import media_fields
from service.orchestration.workflows.steps import Step
from service.providers.base import Answer
from service.routing.dispatch import Dispatcher
from service.routing.purse import Worst
from service.routing.refusals import Refusals
from service.routing.router import Router
from service.routing.run import Served
from service.storage.cases import Case


@dataclass(frozen=True, slots=True)
class RoutedParts:
    """What the calls of all runs stand on; what a plan changes is asked for at each call."""

    router: Callable[[], Router]
    dispatcher: Callable[[], Dispatcher]
    answering: Answering
    decided: Callable[[Decision, str], object]
    case: Callable[[str], Case | None]
    refusals: Callable[[], Refusals]
    modal: Callable[[], ModalWays]
    clock: Clock
    cache: StepCache = field(default_factory=StepCache)


class _Choice(msgspec.Struct):
    message: dict[str, Any] = {}
    finish_reason: str | None = None


class _Whole(msgspec.Struct):
    choices: list[_Choice] = []


_whole = msgspec.json.Decoder(_Whole).decode
_MODALITIES = {"image": IMAGE, "speech": SPEECH, "embed": EMBEDDING}  # by kind of step


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
        request, dispatcher = self._request(ask), self._parts.dispatcher()
        budgets = dispatcher.means.budgets
        reserve = 1_024 if budgets is None else budgets.rules.reserve_out
        worst = Worst(request, request.shape.tokens_in, reserve, self._parts.clock.wall_us())
        costs = [worst.of(each) for each in _may(dispatcher.means.catalog, ask, request.modality)]
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
        ask = _like(step, tokens_in)
        catalog = self._parts.dispatcher().means.catalog
        try:
            request = self._request(ask)
            decision = self._way(request).router.decide(request, self._key, dry_run=True)
        except HeadgateError:
            return Foreseen({}, 1.0)
        found = decision.candidates
        shares = dict(zip(found.names, found.propensities, strict=True))
        priors = {each.name: each.prior_latency_s for each in catalog}
        live = dict(zip(found.names, found.latency_s, strict=False))
        seconds = {name: live.get(name) or priors.get(name) or 1.0 for name in shares}
        latency_s = sum(share * seconds[name] for name, share in shares.items())
        if not isinstance(request, ModalRequest):
            return Foreseen(shares, latency_s)
        worst = Worst(request, request.shape.tokens_in, 0, self._parts.clock.wall_us())
        cost = sum(shares.get(each.name, 0.0) * worst.of(each) for each in catalog)
        return Foreseen(shares, latency_s, cost)

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
        said = await self._called(ask, bill)
        now_s = self._parts.clock.monotonic_s()
        if key:
            self._parts.cache.put(key, said, now_s)
        return Said(said.fields, said.deployment, said.decision_id, said.usage, now_s - began_s)

    async def _called(self, ask: Ask, bill: list[Usage]) -> Said:
        parts, request = self._parts, self._request(ask)
        way = self._way(request)
        decision = way.router.decide(request, self._key)
        parts.decided(decision, self._parent)
        incident, refusals = new_id(), parts.refusals()
        served: Served | None = None
        try:
            await refusals.check(decision, request, incident)
            try:
                answer, served = await self._answer(way, decision, request)
            except ContentRefused as refused:
                raise await refusals.take(refused, decision, request, incident) from None
        finally:
            bill.append(served.usage if served is not None else self._spent(decision, ask))
        if isinstance(request, ModalRequest):
            fields = media_fields(ask.kind, media_of(request), answer.body)
            missing, code = f"the answer holds no {ask.kind}", "malformed"
        else:
            fields = fields_of(answer.body)
            missing, code = "the answer has no text", "no_text"
        if fields is None:
            raise UpstreamExhausted(missing, code=code)
        return Said(fields, served.deployment.name, decision.id, served.usage)

    def _way(self, request: ChatRequest) -> ModalWay:
        """Where a request is decided and sent; raises CapabilityMissing."""
        if isinstance(request, ModalRequest):
            return self._parts.modal().of(request)
        return ModalWay(self._parts.router(), self._parts.dispatcher())

    async def _answer(
        self, by: ModalWay, decision: Decision, request: ChatRequest
    ) -> tuple[Answer, Served]:
        if not isinstance(request, ModalRequest):
            way = self._parts.answering.way(decision, request)
            if way is not None:
                return await way.complete(decision, request)
        return await by.dispatcher.complete(decision, request, Role.STEP)

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
        told = msgspec.json.encode(body)
        return parse(told) if ask.kind == "chat" else parse_modal(_MODALITIES[ask.kind], told)


def _like(step: Step, tokens: int) -> Ask:
    """A call as a step's, of a text of that length."""
    form, text = step.form, "x " * tokens
    assert isinstance(form, CallForm)
    kind, body = "chat", dict[str, Any](messages=[{"role": "user", "content": text}])
    if isinstance(form, ImageForm):
        kind, body = "image", {"prompt": text[:MAX_PROMPT], "size": form.size, "n": 1}
    elif isinstance(form, SpeechForm):
        kind = "speech"
        body = {"input": text[:MAX_SPOKEN], "voice": form.voice, "response_format": form.format}
    elif step.kind == "embed":
        kind, body = "embed", {"input": text}
    return Ask(kind, "", form, body, form.timeout_s or 60.0)


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


def _may(catalog: Sequence[Deployment], ask: Ask, modality: str) -> list[Deployment]:
    """Those whom the form lets answer, as far as it says."""
    form, route = ask.form, ask.form.route
    return [
        each for each in catalog
        if each.modality == modality
        and (form.model.startswith("auto") or each.name == form.model)
        and (not route.deployments or each.name in route.deployments)
        and each.name not in route.exclude and each.name not in ask.exclude
    ]  # fmt: skip


def _family(of: Deployment) -> str:
    return of.family or family_of(of.provider, of.model)
