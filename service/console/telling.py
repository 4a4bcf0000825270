"""The forms in which somebody says what they found: an alarm acknowledged, a review decided."""

from __future__ import annotations

from service.console import acting
from service.console.form_parts import Form, nothing, radios
from service.console.looker import Looker, Open
from service.console.nodes import Node, h

VERDICTS = (
    ("uphold", "Uphold the refusal", "The same request stays refused."),
    ("allow", "Let it be sent again", "The next one like it goes to a provider."),
    ("dismiss", "Dismiss it", "Nothing to decide, such as a test."),
)

WORDS = {given: shown for given, shown, _ in VERDICTS}


def _alarm(looker: Looker, now: Open) -> list[Node]:
    told = "The alarm of the propensities ends, and the test begins anew from here."
    return [h("p", told)]


async def _acknowledge(looker: Looker, now: Open, reason: str) -> str:
    await acting.acknowledge(looker.runtime, looker.must_act(), reason)
    return "Acknowledged: the alarm has ended, and the test begins anew."


def _alert(looker: Looker, now: Open) -> list[Node]:
    alert = looker.runtime.alerts.watch.book.find(now.of)
    told = "It is not open any more." if alert is None else f"{alert.rule}: {alert.text}"
    return [h("p", told), h("p", "Nobody is called for it any more; it lasts until it is clear.",
                            cls="hg-hint")]  # fmt: skip


async def _see_to(looker: Looker, now: Open, reason: str) -> str:
    alert = await acting.see_to(looker.runtime, looker.must_act(), now.of, reason)
    return f"Acknowledged: {alert.rule}. It lasts until it is clear."


def _review(looker: Looker, now: Open) -> list[Node]:
    return [radios("verdict", "What is to become of it", VERDICTS, now)]


async def _decide(looker: Looker, now: Open, reason: str) -> str:
    verdict = now.fields.get("verdict", "")
    await acting.decide(looker.runtime, looker.must_act(), now.of, verdict, reason)
    return f"Decided: {WORDS[verdict].lower()}."


ACKNOWLEDGE = Form("Acknowledge an alarm", "Acknowledge it", _alarm, nothing, _acknowledge,
                   sure=False, asks="What you found")  # fmt: skip
ALERT = Form("Acknowledge an alert", "Acknowledge it", _alert, nothing, _see_to,
             sure=False, asks="What you do about it")  # fmt: skip
REVIEW = Form("Decide a review", "Decide", _review, nothing, _decide, sure=False,
              asks="Your note")  # fmt: skip
