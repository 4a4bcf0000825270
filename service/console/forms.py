"""The dialogs in which an operator acts: filled in, looked at, confirmed; errors where they are."""

from __future__ import annotations

from collections.abc import Mapping

from service.console.form_parts import Form, chosen, reason_field
from service.console.looker import Handler, Looker, Open, reason_of
from service.console.nodes import Node, button, h
from service.console.overriding import LIFT, OVERRIDE, RENEW, tried
from service.console.saving import CANCEL, INVALIDATE, LIKE_OFF, LIKE_ON, RAISE
from service.console.stopping import KILL, RESET, ROLLBACK
from service.console.telling import ACKNOWLEDGE, ALERT, APPROVE, LOOKED, REJECT, REVIEW
from service.domain.errors import NotFound

FORMS: Mapping[str, Form] = {
    "override": OVERRIDE, "lift": LIFT, "renew": RENEW, "rollback": ROLLBACK, "kill": KILL,
    "reset": RESET, "acknowledge": ACKNOWLEDGE, "alert": ALERT, "review": REVIEW,
    "approve": APPROVE, "reject": REJECT, "looked": LOOKED,
    "invalidate": INVALIDATE, "raise": RAISE, "cancel": CANCEL, "likeon": LIKE_ON,
    "likeoff": LIKE_OFF,
}  # fmt: skip


def dialog_of(looker: Looker) -> Node | None:
    """The dialog that is open, if one is."""
    now = looker.open
    if now is None:
        return None
    if now.form not in FORMS:
        return _problem(now)
    form = FORMS[now.form]
    who = looker.key.name
    problem = h("p", now.problem, cls="hg-problem", role="alert") if now.problem else None
    head = h("div", h("h2", form.title), button("Close", ("close", ""), "hg-plain"),
             cls="hg-dialog-head")  # fmt: skip
    step = None
    if form.sure:
        at = "1 of 2: what and why" if now.step == 1 else "2 of 2: look at it, then confirm"
        step = h("p", f"Step {at}", cls="hg-step")
    if now.step == 1:
        inner = [*form.fields(looker, now), reason_field(now, form.asks)]
        last = "Look at what it would do" if form.sure else form.does
        sent = h("button", last, type="submit", cls=_kind(form) if not form.sure else PRIMARY)
        act = ("next", "") if form.sure else ("confirm", now.id)
    else:
        inner = [*now.found, h("p", h("span", "Why: ", cls="hg-label"), now.fields["reason"])]
        sent = h("button", form.does, type="submit", cls=_kind(form), autofocus=True)
        act = ("confirm", now.id)
    other = button("Back", ("back", ""), "") if now.step == 2 else None
    sign = h("p", f"Signed as {who}; it stands in the audit.", cls="hg-hint")
    body = h("form", *inner, problem, sign, h("div", other, sent, cls="hg-actions"), act=act,
             key=f"{now.form}{now.step}")  # fmt: skip
    return h("dialog", head, step, body, act=("close", ""), label=form.title, key=now.form)


PRIMARY = "hg-button hg-primary"


def _kind(form: Form) -> str:
    return "hg-button hg-danger-full" if form.danger else PRIMARY


def _problem(now: Open) -> Node:
    return h(
        "dialog", h("h2", "This did not work"), h("p", now.problem, role="alert"),
        h("div", button("Close", ("close", "")), cls="hg-actions"),
        act=("close", ""), label="This did not work", key="problem",
    )  # fmt: skip


async def _ask(looker: Looker, of: str, fields: dict[str, str]) -> None:
    name, _, what = of.partition(":")
    looker.must_act()
    if name not in FORMS:
        raise NotFound("There is no such form.")
    looker.open = Open(name, what, chosen(name, what))


async def _next(looker: Looker, of: str, fields: dict[str, str]) -> None:
    now = _filled(looker, fields)
    reason_of(now.fields)
    now.found, now.problem = await FORMS[now.form].check(looker, now), ""
    now.step = 2


async def _back(looker: Looker, of: str, fields: dict[str, str]) -> None:
    if looker.open is not None:
        looker.open.step, looker.open.problem = 1, ""


async def _confirm(looker: Looker, of: str, fields: dict[str, str]) -> None:
    """Do it, once for each dialog however often it is sent: a second click finds it under way, or
    done.
    """
    if of and of == looker.ended[0]:
        _, looker.told, looker.held = looker.ended
        return
    if looker.open is not None and looker.open.sent:
        return
    if of and looker.open is not None and looker.open.id != of:
        raise NotFound("This form was closed meanwhile; look at the one that is open.")
    now = _filled(looker, fields)
    looker.must_act()
    form = FORMS[now.form]
    if form.sure and now.step != 2:
        raise NotFound("Look at what it would do first.")
    now.sent = True
    try:
        told = await form.act(looker, now, reason_of(now.fields))
    finally:
        now.sent = False
    looker.done(now, told)


async def _close(looker: Looker, of: str, fields: dict[str, str]) -> None:
    looker.open, looker.told = None, ""


def _filled(looker: Looker, fields: dict[str, str]) -> Open:
    if looker.open is None or looker.open.form not in FORMS:
        raise NotFound("This form was closed meanwhile; open it again.")
    looker.open.fields.update(fields)
    return looker.open


HANDLERS: Mapping[str, Handler] = {
    "ask": _ask, "next": _next, "back": _back, "confirm": _confirm, "close": _close, "try": tried,
}  # fmt: skip
