"""The forms in which somebody says what they found: an alarm acknowledged, a review decided."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from service.console.form_parts import Form, choice, entry, nothing, radios
from service.console.looker import Looker, Open
from service.console.nodes import Node, h
from service.domain.errors import Unprocessable
from service.domain.reviews import Kind

VERDICTS = (
    ("uphold", "Uphold the refusal", "The same request stays refused."),
    ("allow", "Let it be sent again", "The next one like it goes to a provider."),
    ("dismiss", "Dismiss it", "Nothing to decide, such as a test."),
)

UNSAID = ("dismiss", "it cannot be said")
AGAIN = (
    ("release", "It may be tried again", "It may be promoted as any other."),
    ("retire", "It is retired", "It is promoted no more."),
    ("leave", "Leave it as it stands", "Quarantined versions stay so."),
)  # fmt: skip
WORDS = {given: shown for given, shown, _ in VERDICTS}


def _alarm(looker: Looker, now: Open) -> list[Node]:
    told = "The alarm of the propensities ends, and the test begins anew from here."
    return [h("p", told)]


async def _acknowledge(looker: Looker, now: Open, reason: str) -> str:
    await looker.ask("/admin/propensities/acknowledge", {"reason": reason})
    return "Acknowledged: the alarm has ended, and the test begins anew."


def _alert(looker: Looker, now: Open) -> list[Node]:
    alert = looker.runtime.alerts.watch.book.find(now.of)
    told = "It is not open any more." if alert is None else f"{alert.rule}: {alert.text}"
    return [h("p", told), h("p", "Nobody is called for it any more; it lasts until it is clear.",
                            cls="hg-hint")]  # fmt: skip


async def _see_to(looker: Looker, now: Open, reason: str) -> str:
    done = await looker.ask(f"/admin/alerts/{now.of}/acknowledge", {"reason": reason})
    return f"Acknowledged: {done.content['rule']}. It lasts until it is clear."


def _review(looker: Looker, now: Open) -> list[Node]:
    found = looker.runtime.people.desk.get(now.of)
    if found is None:
        return [h("p", "It is decided already, or was left to its time.")]
    item = found.item
    about = h("p", f"{item.kind}: {item.why.replace('_', ' ')}", cls="hg-hint")
    if item.kind == Kind.REFUSAL:
        return [radios("verdict", "What is to become of it", VERDICTS, now)]
    if item.kind == Kind.CLASSIFICATION:
        tasks = [(name, name) for name in looker.runtime.plan.task_names]
        return [about, choice("verdict", "Of which task is it", [*tasks, UNSAID], now)]
    if item.kind == Kind.JUDGE:
        return [about, entry("verdict", "A rating of the answer, or dismiss", "0.8", now)]
    return [about, radios("verdict", "May it be tried again", AGAIN, now)]


async def _decide(looker: Looker, now: Open, reason: str) -> str:
    verdict = now.fields.get("verdict", "")
    if not verdict:
        raise Unprocessable("Choose what is to become of it.", param="verdict")
    body = {"verdict": verdict, "note": reason}
    await looker.ask(f"/admin/review/{now.of}/decide", body, by="reviewer")
    return f"Decided: {WORDS.get(verdict, verdict).lower()}."


def _approval(looker: Looker, now: Open) -> list[Node]:
    found = looker.runtime.kept.approvals.find(now.of)
    if found is None:
        return [h("p", "It is not open any more.")]
    asked = f"{found.act} on {found.subject}, asked by {found.actor}: “{found.reason}”"
    return [h("p", asked), h("code", found.body)]


def _ruling(how: str, done: str) -> Callable[[Looker, Open, str], Awaitable[str]]:
    async def ruled(looker: Looker, now: Open, reason: str) -> str:
        found = looker.runtime.kept.approvals.find(now.of)
        if how == "approve" and found is not None and found.act.startswith("key."):
            raise Unprocessable(
                "A key is shown once, where it is approved: use headgate approvals approve."
            )
        await looker.ask(f"/admin/approvals/{now.of}/{how}", {"reason": reason})
        return done

    return ruled


APPROVE = Form("Approve an act", "Approve it: it is done now", _approval, nothing,
               _ruling("approve", "Approved, and done as it was asked."), sure=False)  # fmt: skip
REJECT = Form("Reject an act", "Reject it", _approval, nothing,
              _ruling("reject", "Rejected: it is not done."), sure=False)  # fmt: skip
LOOKED = Form("Acknowledge a broken glass", "Acknowledge it", _approval, nothing,
              _ruling("acknowledge", "Acknowledged."), sure=False,
              asks="What you found")  # fmt: skip
ACKNOWLEDGE = Form("Acknowledge an alarm", "Acknowledge it", _alarm, nothing, _acknowledge,
                   sure=False, asks="What you found")  # fmt: skip
ALERT = Form("Acknowledge an alert", "Acknowledge it", _alert, nothing, _see_to,
             sure=False, asks="What you do about it")  # fmt: skip
REVIEW = Form("Decide a review", "Decide", _review, nothing, _decide, sure=False,
              asks="Your note")  # fmt: skip
