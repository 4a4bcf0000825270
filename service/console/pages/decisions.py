"""Decisions: the latest, sought ones, and one told in plain words: why this, why not the others."""

from __future__ import annotations

from service.console.looker import Drawn, Looker, Open, Page
from service.console.nodes import (
    Column,
    Node,
    badge,
    bar,
    button,
    card,
    figure,
    figures,
    fold,
    h,
    link,
    moment,
    pairs,
    swatch,
    table,
)
from service.console.pages.listed import ended, listed
from service.console.reading import decisions as reading
from service.console.reading.serving import tones
from service.console.shell import back, heading
from service.console.wording import (
    NONE,
    clock,
    count,
    number,
    percent,
    plural,
    seconds,
    short,
    usd,
)
from service.domain.clock import response_id
from service.domain.errors import NotFound
from service.storage.cases import Case
from service.storage.lookups import Found

SHOWN = 50
_SEARCHED = ("id", "task", "deployment", "mode", "tenant", "hours", "failed", "override", "key")
_MODES = ("randomised", "sticky", "pinned", "override")


async def _draw(looker: Looker) -> Drawn:
    asked = looker.kept.get("asked") or {k: v for k, v in looker.query.items() if k in _SEARCHED}
    searching = any(asked.get(name) for name in _SEARCHED)
    if searching:
        found = await _found(looker, asked)
        title = f"Found: {plural(len(found or ()), 'decision')}"
        if found is not None and len(found) == reading.MOST:
            title = f"The newest {reading.MOST} found"
    else:
        found, title = _latest(looker), "The latest"
    body = listed(found) if found is not None else h(
        "p", "The log cannot be read now. Try again; if it stays so, see the alerts.", role="alert"
    )  # fmt: skip
    return {
        "head": [heading("Decisions", "Why each request went where it went.")],
        "search": [_search(looker, asked)],
        "found": [card(title, body, aside=None if searching else _pause(looker))],
    }


def _latest(looker: Looker) -> list[Found]:
    """As they come, or as they stood when somebody stopped the list to look at it."""
    held: list[Found] | None = looker.kept.get("held")
    if held is None:
        looker.kept["last"] = reading.latest(looker.runtime, SHOWN)
    shown: list[Found] = looker.kept["last"] if held is None else held
    return shown


def _pause(looker: Looker) -> Node:
    held = looker.kept.get("held") is not None
    return button("Go on" if held else "Stop the list", ("hold", ""),
                  aria_pressed="true" if held else "false")  # fmt: skip


async def _hold(looker: Looker, of: str, fields: dict[str, str]) -> None:
    held = looker.kept.get("held")
    looker.kept["held"] = looker.kept.get("last") if held is None else None


async def _found(looker: Looker, asked: dict[str, str]) -> list[Found] | None:
    """Read once for what is asked, and again only when it is asked again."""
    kept = looker.kept.get("found")
    if kept is None or kept[0] != asked:
        kept = asked, await reading.sought(looker.runtime, asked)
        looker.kept["found"] = kept
    found: list[Found] | None = kept[1]
    return found


def _search(looker: Looker, asked: dict[str, str]) -> Node:
    runtime = looker.runtime
    now = Open("search", fields=dict(asked))

    def text(name: str, label: str, hint: str) -> Node:
        return h(
            "div", h("label", label, for_=f"s-{name}"),
            h("input", id=f"s-{name}", name=name, value=now.fields.get(name, ""),
              placeholder=hint, spellcheck="false"), cls="hg-field",
        )  # fmt: skip

    def one_of(name: str, label: str, options: list[tuple[str, str]]) -> Node:
        inner = [
            h("option", shown, value=given, selected=given == now.fields.get(name, "") or None)
            for given, shown in options
        ]
        return h("div", h("label", label, for_=f"s-{name}"),
                 h("select", *inner, id=f"s-{name}", name=name), cls="hg-field")  # fmt: skip

    any_ = ("", "any")
    names = [each.name for each in runtime.catalog]
    form = h(
        "form",
        text("id", "Id", "of a decision or a response"),
        one_of("task", "Task", [any_, *((n, n) for n in runtime.plan.task_names)]),
        one_of("deployment", "Deployment", [any_, *((n, n) for n in names)]),
        one_of("mode", "How", [any_, *((m, m) for m in _MODES)]),
        text("tenant", "Tenant", "any"),
        one_of("hours", "In", [("", "the last hour"), *list(reading.SPANS.items())[1:]]),
        one_of("failed", "Ended", [any_, ("1", "not answered")]),
        h("div", h("button", "Search", type="submit", cls="hg-button hg-primary"),
          button("Latest", ("search", "latest")), cls="hg-actions"),
        act=("search", ""), cls="hg-search", aria_label="Search decisions",
    )  # fmt: skip
    return card("Search", form)


async def _searched(looker: Looker, of: str, fields: dict[str, str]) -> None:
    asked = {name: text for name, text in fields.items() if name in _SEARCHED and text}
    if of == "latest":
        asked = {}
    if asked.get("id"):
        identity = reading.named(asked)
        if identity is None:
            raise NotFound("An id has 32 hexadecimal digits; chatcmpl- may stand before them.")
        looker.go = f"/console/decisions/{identity}"
        return
    looker.kept["asked"], looker.kept["found"] = asked, None
    looker.query = {}


# one of them ------------------------------------------------------------------------------------


async def _one(looker: Looker) -> Drawn:
    identity = reading.named({"id": looker.of})
    case = await looker.runtime.case(identity) if identity else None
    if case is None:
        raise NotFound("There is no decision of that id in the log.")
    made = case.decision
    return {
        "head": [back("Decisions", "/console/decisions"),
                 heading(f"Why {made.deployment}", f"{made.task}, {clock(made.at_us)}")],
        "figures": [_figures(looker, case)],
        "story": [card("In plain words", h("ul", *(h("li", *each) for each in _story(case)),
                                           cls="hg-story"))],
        "stood": [_stood(looker, case)],
        "calls": [_calls(case)],
        "ratings": [_ratings(looker, case)],
        "marks": [_marks(case)],
    }  # fmt: skip


def _figures(looker: Looker, case: Case) -> Node:
    made, outcome = case.decision, case.outcome
    learned = reading.reward(looker.runtime, case)
    told = "under way" if outcome is None else "answered" if outcome.status == 200 else "failed"
    tone = "bad" if outcome is not None and outcome.status >= 500 else ""
    return figures(
        figure("Ended", told, "" if outcome is None else f"status {outcome.status}", tone),
        figure("Chance", percent(made.propensity, 1), f"of {made.deployment} to be drawn"),
        figure("Latency", seconds(outcome.latency_s if outcome else None),
               "" if outcome is None else f"{seconds(outcome.overhead_s)} of it here"),
        figure("Cost", usd(outcome.usage.cost_micro_usd / 1e6 if outcome else None),
               "" if outcome is None else f"{count(outcome.usage.tokens_in)} tokens in, "
               f"{count(outcome.usage.tokens_out)} out"),
        figure("Reward", number(learned[0] if learned else None),
               "not rated yet" if learned is None or learned[1] is None
               else f"rated {learned[1]:.2f}"),
    )  # fmt: skip


def _story(case: Case) -> list[list[Node]]:
    """Who was out and why, who stood how, what drew, what came of it."""
    made, rows = case.decision, reading.stood(case)
    told: list[list[Node]] = []
    for each in made.disqualified:
        told.append([h("strong", each.deployment), f" was out: {reading.why_out(each.reason)}."])
    if not made.disqualified:
        told.append(["Nobody was out: every deployment could be drawn."])
    if made.reason in ("experiment", "holdout"):
        told.append([h("strong", made.deployment), f": {reading.why(made.reason)}."])
    elif made.mode.value == "randomised" and len(rows) > 1:
        chances = ", ".join(f"{row.deployment} {percent(row.propensity, 1)}" for row in rows)
        told.append([f"The chances were: {chances}."])
        told.append([
            f"The draw was {made.draw:.4f}, which fell to ", h("strong", made.deployment), ": ",
            f"{reading.why(made.reason)}.",
        ])  # fmt: skip
    else:
        told.append([h("strong", made.deployment), f" was {_MEANT[made.mode.value]} "
                     f"({reading.why(made.reason)})."])  # fmt: skip
    if made.override_id:
        told.append(["An override was in force: ", h("code", short(made.override_id)), "."])
    for joined in made.assigned:
        way = link(joined.experiment, f"/console/experiments/{joined.experiment}")
        chance = percent(joined.probability)
        told.append(["In the experiment ", way, f": variant {joined.variant}, drawn at {chance}."])
    return [*told, *_came(case)]


_MEANT = {
    "randomised": "the only one left", "sticky": "held, because its session began there",
    "pinned": "named by the caller", "override": "forced by an operator",
}  # fmt: skip


def _came(case: Case) -> list[list[Node]]:
    outcome = case.outcome
    if outcome is None:
        return [["The request is still under way."]]
    if outcome.status == 200 and outcome.deployment != case.decision.deployment:
        return [[h("strong", str(outcome.deployment)), " answered in its place, after "
                 f"{plural(outcome.attempts, 'call')}."]]  # fmt: skip
    if outcome.status == 200:
        return [[f"It answered, after {plural(outcome.attempts, 'call')}."]]
    kind = outcome.error_kind.value.replace("_", " ") if outcome.error_kind else "no answer"
    return [[f"Nobody answered ({kind}, after {plural(outcome.attempts, 'call')})."]]


def _stood(looker: Looker, case: Case) -> Node:
    tone = tones(looker.runtime)
    rows = [
        (
            row.deployment,
            (
                swatch(tone.get(row.deployment, 0), row.deployment),
                h("span", bar(row.propensity, tone.get(row.deployment, 0)),
                  percent(row.propensity, 2), cls="hg-share"),
                number(row.quality), usd(row.cost_usd), seconds(row.latency_s),
                percent(row.error_rate, 1), number(row.utility, 4),
            ),
        )
        for row in reading.stood(case)
    ]  # fmt: skip
    columns = (
        Column("Deployment"), Column("Chance", True), Column("Quality", True),
        Column("Cost", True), Column("Latency", True), Column("Errors", True),
        Column("Utility", True),
    )  # fmt: skip
    note = "As the policy expected them then; a dash where it was not asked."
    out = [(each.deployment, (each.deployment, reading.why_out(each.reason)))
           for each in case.decision.disqualified]  # fmt: skip
    left = table("Out before the draw", (Column("Out"), Column("Why")), out) if out else None
    return card("The numbers", fold("Who stood how", table("Who stood how", columns, rows),
                                    h("p", note, cls="hg-hint"), left))  # fmt: skip


def _calls(case: Case) -> Node:
    rows = [
        (
            str(each.number),
            (
                str(each.number), each.deployment, each.role.value,
                badge(each.error_kind.value.replace("_", " "), "bad") if each.error_kind
                else badge("answered", "good"),
                seconds(each.ttft_s), seconds(each.latency_s),
                f"{count(each.usage.tokens_in)} / {count(each.usage.tokens_out)}",
                usd(each.usage.cost_micro_usd / 1e6),
            ),
        )
        for each in case.attempts
    ]  # fmt: skip
    columns = (
        Column("Call"), Column("Deployment"), Column("Why called"), Column("Came of it"),
        Column("First content", True), Column("Latency", True), Column("Tokens in / out", True),
        Column("Cost", True),
    )  # fmt: skip
    body = table("Calls", columns, rows) if rows else h("p", "None yet.", cls="hg-empty")
    return card("Calls", body)


def _ratings(looker: Looker, case: Case) -> Node:
    rows = [
        (
            each.id,
            (
                each.metric, each.kind, each.label if each.value is None else number(each.value, 2),
                each.reason or NONE, ", ".join(each.tags) or NONE, h("span", moment(each.at_us)),
            ),
        )
        for each in case.feedback.values()
    ]  # fmt: skip
    columns = (Column("Metric"), Column("From"), Column("Value", True), Column("Reason", wide=True),
               Column("Tags"), Column("When"))  # fmt: skip
    told = "Not rated yet. A caller rates an answer by POST /v1/feedback."
    return card("Ratings", table("Ratings", columns, rows) if rows else
                h("p", told, cls="hg-empty"))  # fmt: skip


def _marks(case: Case) -> Node:
    made = case.decision
    return card(
        "Marks",
        pairs(
            ("Decision", h("code", made.id)), ("Response", h("code", response_id(made.id))),
            ("Tenant", made.caller.tenant or NONE), ("Tier", made.caller.tier or NONE),
            ("Feature", made.caller.feature or NONE), ("Tags", ", ".join(made.caller.tags) or NONE),
            ("Task from", made.task_source), ("Policy", made.policy.name),
            ("Version", h("code", made.policy.version_id)),
            ("Update", count(made.policy.update_seq)),
            ("How it ended", ended(case.outcome.status if case.outcome else None)),
        ),
        note="Prompts and answers are not kept.",
    )  # fmt: skip


PAGE = Page("/decisions", "Decisions", _draw, {"search": _searched, "hold": _hold})
ONE = Page("/decisions/{of}", "Decision", _one)
