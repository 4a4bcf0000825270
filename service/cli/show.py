"""`headgate status`, `weights`, `why`, `route`: what is going on, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from service.cli.cache import show_cache_line, show_given_again
from service.cli.ensemble import show_rationale
from service.cli.escalation import show_climb
from service.cli.output import (
    DEFAULT_URL,
    JsonFlag,
    UrlOption,
    client,
    give,
    moment,
    out,
    say,
    service_errors,
    table,
    text,
)
from service.cli.prediction import show_foreseen, show_prediction


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: headgate status --url http://127.0.0.1:8080")(status)
    app.command(epilog="Example: headgate weights --task code")(weights)
    app.command(epilog="Example: headgate why 0193f2aa-...")(why)
    app.command(epilog='Example: headgate route "Write a haiku about rain"')(route)


def status(url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """What is going on now."""
    with service_errors():
        give(client(url).get("/admin/status"), as_json, _show_status)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f} s"


def _show_status(found: dict[str, Any]) -> None:
    state = "ready" if found["ready"] else "NOT READY: " + "; ".join(found["not_ready_because"])
    out.print(
        f"{state}   {found['requests']} requests, {found['failed']} failed, "
        f"${found['cost_usd']:.4f}   p50 {_seconds(found['p50_s'])}, "
        f"p95 {_seconds(found['p95_s'])}",
        highlight=False,
    )
    mark = found["policy"]
    out.print(
        f"policy {mark['name']} at update {mark['update_seq']}   log {found['log']['rows']} rows, "
        f"{found['log']['queued']} queued   learner {found['learner']['waiting']} waiting",
        highlight=False,
    )
    _show_quality(found["quality"])
    if found["prediction"]["on"]:
        show_prediction(found["prediction"])
    show_cache_line(found["cache"])
    _show_batches(found["batches"])
    for each in found["ensembles"]["ensembles"]:
        say(f"ensemble {each['ensemble']} for {each['task']}: {each['state']}, {each['why']}")
    for notice in found["notices"]:
        out.print(f"note: {notice}", markup=False, highlight=False)
    for warning in found["warnings"]:
        out.print(f"warning: {warning}", markup=False, highlight=False)
    if found["reviews"]["open"]:
        out.print(f"{found['reviews']['open']} refused requests wait for review "
                  "(headgate review list)", highlight=False)  # fmt: skip
    others = {k: n for k, n in found["review_queue"]["open"].items() if k != "refusal"}
    if others:
        told = ", ".join(f"{n} of {kind}" for kind, n in sorted(others.items()))
        out.print(f"{told} wait for review (headgate review list)", highlight=False)
    judging = found["judging"]
    if judging["judges"]:
        states = ", ".join(f"{j['judge']} {j['state']}" for j in judging["judges"])
        out.print(f"judges: {states}; ${judging['spent_today_usd']:.4f} of "
                  f"${judging['usd_per_day']:g} spent today (headgate judge status)",
                  markup=False, highlight=False)  # fmt: skip
    told = found["responses"]
    if told["rates"]:
        rates = ", ".join(f"{r['deployment']} {r['rate']:.0%}" for r in told["rates"])
        out.print(f"answers that are rated: {rates}   {told['verdict']}: {told['reason']}",
                  markup=False, highlight=False)  # fmt: skip
    show_propensities(found["propensities"])
    table(
        ("deployment", "state", "calls", "errors", "p50 s", "p95 s", "cost $", "last error"),
        [
            (d["deployment"], d["state"], d["calls"], d["errors"], d["p50_s"], d["p95_s"],
             d["cost_usd"], d["last_error"])
            for d in found["deployments"]
        ],
        "last five minutes",
    )  # fmt: skip
    show_health(found["health"])
    show_overrides(found["overrides"])


def _show_batches(found: dict[str, Any]) -> None:
    """How batches stand, in a line; nothing where the plan has none."""
    if not found["enabled"]:
        return
    told, slack = f"batches: {found['live']} under way", found["least_slack_s"]
    if slack is not None:
        told += f", {found['waiting']} requests wait, {left(max(slack, 0.0))} more at most"
        opens = moment(found["window_opens"])
        told += ", a window is open" if found["open"] else f", the next window {opens or 'unknown'}"
    say(f"{told} (headgate batch list)")


def show_health(found: list[dict[str, Any]]) -> None:
    """The breakers, and what stands against each deployment."""
    table(
        ("deployment", "breaker", "sent nothing", "why", "free in", "in flight", "throttled"),
        [
            (h["deployment"], h["breaker"], h["bar"] or "", h["why"] or "",
             left(h["free_in_s"]) if h["free_in_s"] else "", f"{h['in_flight']}/{h['limit']}",
             f"{h['throttled']:.0%}" if h["throttled"] else "")
            for h in found
        ],
        "health",
    )  # fmt: skip


def show_propensities(found: dict[str, Any]) -> None:
    """How the draws stand against the logged probabilities; nothing before any draw."""
    worst, evidence = found["worst"], found["evidence"]
    if worst is None:
        return
    told = "beyond doubt" if evidence is None else f"{evidence:.2f} (alarm at {found['limit']:.2f})"
    out.print(
        f"propensities held against {found['decisions']} draws: log evidence that they do not "
        f"match {told}; furthest off {worst['deployment']}, drawn {worst['drawn']} of "
        f"{worst['expected']:.1f}",
        markup=False, highlight=False,
    )  # fmt: skip


def _show_quality(found: dict[str, Any]) -> None:
    model, since, setback = found["model"], found["since"], found["setback"]
    if model is not None:
        line = (
            f"quality model {model['id']}, {left(model['age_s'])} old, {model['rows']} rows: "
            f"held-out error {model['error']:.4f} (arms' means {model['means_error']:.4f}), "
            f"calibration off by {model['ece']:.3f}"
        )
        if since is not None:
            line += (
                f"; {since['ratings']} ratings since: {since['error']:.4f}, corrected "
                f"{since['corrected_error']:.4f}"
            )
        out.print(line, markup=False, highlight=False)
    if setback is not None:
        out.print(
            f"last {setback['act']} at {setback['at']}: {setback['reason']}",
            markup=False,
            highlight=False,
        )


def show_overrides(found: list[dict[str, Any]]) -> None:
    """The overrides in force."""
    if not found:
        out.print("no overrides in force")
        return
    table(
        ("id", "action", "on", "for", "left", "author", "reason"),
        [
            (o["id"], o["action"], _on(o), scope(o) or "all", left(o["left_s"]), o["author"],
             o["reason"])
            for o in found
        ],
        "overrides in force",
    )  # fmt: skip


def _on(found: dict[str, Any]) -> str:
    """What an override is laid on, with its numbers."""
    on = found["deployment"] or found["version"] or found["experiment"] or ""
    if found["least"] is not None or found["greatest"] is not None:
        least, greatest = found["least"] or 0.0, found["greatest"]
        on += f" {least:.0%} to {1.0 if greatest is None else greatest:.0%}"
    if found["usd"] is not None:
        on += f" ${found['usd']:g}"
    return on.strip() or "everything"


def scope(found: dict[str, Any]) -> str:
    """For which requests an override is; empty: all."""
    parts = [found["task"] or ""]
    parts += [f"{part} {found[part]}" for part in ("tenant", "tier") if found[part]]
    return ", ".join(part for part in parts if part)


def left(seconds: float) -> str:
    """A time as hours, minutes and seconds."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def weights(
    url: UrlOption = DEFAULT_URL,
    task: Annotated[str | None, typer.Option(help="One task only.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """The share that each deployment now gets of each task, and why it moved."""
    parameters = {"task": task} if task else {}
    with service_errors():
        give(client(url).get("/admin/weights", **parameters), as_json, _show_weights)


def _show_weights(found: dict[str, Any]) -> None:
    if not found["weights"]:
        out.print("no traffic yet")
        return
    table(
        ("task", "deployment", "share", "state", "quality", "cost $", "latency s", "errors",
         "moved by"),
        [
            (w["task"], w["deployment"], f"{w['share']:.1%}", w["state"], round(w["quality"], 3),
             w["cost_usd"], round(w["latency_s"], 3), f"{w['error_rate']:.1%}", w["why"])
            for w in found["weights"]
        ],
    )  # fmt: skip
    for state in sorted({w["state"] for w in found["weights"]} - {"", "steady"}):
        out.print(f"{state}: {found['states'][state]}", markup=False, highlight=False)


def why(
    decision: Annotated[str, typer.Argument(help="A decision id or a response id.")],
    replay: Annotated[
        bool, typer.Option("--replay", help="Make it again from the log, and compare.")
    ] = False,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Why a deployment answered: candidates, probabilities, the draw, the calls."""
    with service_errors():
        asking = client(url)
        found = asking.get(f"/v1/decisions/{decision}")
        if replay:
            found["replay"] = asking.get(f"/admin/decisions/{decision}/replay")
        if found.get("override_id"):
            found["override"] = _override(asking, found["override_id"])
        give(found, as_json, show_why)


def _override(asking: Any, override_id: str) -> Any:
    """The override that acted; None for a key that may not see it."""
    from service.client import ServiceError

    try:
        return asking.get(f"/admin/overrides/{override_id}")
    except ServiceError:
        return None


_ACTED = {
    "killed_by_operator": "sent it there, as everything of its scope",
    "forced_by_operator": "sent it there",
    "pinned_by_operator": "let its version draw",
    "bounded_by_operator": "moved the probabilities into its bounds before the draw",
}
_TOOK_OUT = {"exclude": "took its deployment out before the draw",
             "cost_cap": "took out who was predicted to cost more, before the draw",
             "bounds": "bounded the draw, which lay within"}  # fmt: skip


def show_stay(stay: dict[str, Any]) -> None:
    """What was reckoned for a held conversation."""
    say(_stayed(stay))


_PARTS: dict[str, Callable[[dict[str, Any]], None]] = {
    "prediction": show_foreseen,
    "escalation": show_climb,
    "ensemble": show_rationale,
    "cached": show_given_again,
    "session": show_stay,
}


def show_why(found: dict[str, Any]) -> None:
    """A decision in words and a table."""
    out.print(
        f"{found['at']}  task {found['task']} ({found['task_source']}, "
        f"{found['task_confidence']:.2f})  "
        f"-> {found['deployment']}  {found['mode']}: {found['reason']}",
        highlight=False,
        markup=False,
    )
    if classes := found.get("task_classes"):
        told = ", ".join(f"{task} {p:.3f}" for task, p in classes.items())
        say(f"classified by {found['task_classifier']}: {told}")
    rows = []
    for each in found["candidates"]:
        score = each.get("score") or {}
        rows.append(
            (each["deployment"], f"{each['propensity']:.4f}", score.get("quality"),
             score.get("cost_usd"), score.get("latency_s"), score.get("error_rate"),
             score.get("utility"))
        )  # fmt: skip
    table(("candidate", "probability", "quality", "cost $", "latency s", "errors", "utility"), rows)
    for each in found["disqualified"]:
        out.print(f"left before the draw: {each['deployment']} ({each['reason']})", markup=False)
    for part, shown in _PARTS.items():
        if found.get(part):
            shown(found[part])
    if found["mode"] == "randomised":
        out.print(f"the draw was {found['draw']:.6f}", highlight=False)
    if found.get("override_id"):
        laid = found.get("override") or {}
        action = laid.get("action", "")
        acted = _ACTED.get(found["reason"]) or _TOOK_OUT.get(action, "acted")
        told = f" ({laid['words']}, by {laid['author']}: {laid['reason']})" if laid else ""
        say(f"override {found['override_id']}{told} {acted}")
    for call in found.get("attempts", []):
        outcome = call["error_kind"] or "answered"
        out.print(
            f"call {call['number']} ({call['role']}) to {call['deployment']}: {outcome} in "
            f"{call['latency_s']:.3f} s, ${call['cost_usd']:.6f}"
            + (" (estimated)" if call["estimated"] else ""),
            highlight=False,
            markup=False,
        )
    reward = found.get("reward")
    if reward and reward["value"] is not None:
        out.print(
            f"reward {reward['value']:.3f}: quality {text(reward['quality'])}, less "
            f"${reward['cost_usd']:.6f} and {reward['latency_s']:.2f} s at the plan's rates",
            highlight=False,
        )
    for rating in found.get("feedback", []):
        out.print(f"rated {rating['metric']} {rating['value']} by {rating['kind']}", markup=False)
    if "replay" in found:
        out.print(_replay_in_words(found["replay"]), markup=False, highlight=False)


def _stayed(found: dict[str, Any]) -> str:
    """The break-even of a session in words."""
    words = {"stayed": "the session stayed", "left": "the session left and was drawn anew",
             "held_out": "the session would have left, and stayed by lot"}  # fmt: skip
    return (
        f"{words[found['verdict']]}: {found['best']} is expected to bring "
        f"{found['gain_per_turn']:+.4f} a turn against {found['held']} (give or take "
        f"{found['spread']:.4f}) over {found['turns_expected']:.1f} turns; of "
        f"{found['prefix_tokens']} tokens {found['cached_share']:.0%} are cached, which is "
        f"${found['cache_usd']:.6f} and {found['reread_s']:.2f} s, {found['lost']:.4f} points; "
        f"leaving is worth {found['value']:+.4f}"
    )


def _replay_in_words(found: dict[str, Any]) -> str:
    if found["verdict"] not in ("equal", "different"):
        word = "nothing to replay" if found["verdict"] == "not_drawn" else "cannot be replayed"
        return f"{word}: {found['reason']}"
    made = found["from"]
    begin = f"checkpoint {made['checkpoint']}" if made["checkpoint"] else "the beginning"
    state = f"from {begin} and {made['updates']} updates"
    if found["verdict"] == "equal":
        return f"replayed {state}: every number and the deployment are the same, bit for bit"
    shares = ", ".join(f"{c['deployment']} {c['propensity']:.17g}" for c in found["candidates"])
    return (
        f"replayed {state}: NOT what was logged; different: {', '.join(found['different'])}; it "
        f"gives {shares} and draws {found['deployment'] or 'nobody'}"
        + (f" ({found['reason']})" if found["reason"] else "")
    )


def route(
    prompt: Annotated[str, typer.Argument(help="What would be asked.")],
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """The decision that a request would get now, without the call."""
    body = {"model": "auto", "messages": [{"role": "user", "content": prompt}]}
    with service_errors():
        give(client(url).post("/v1/route", body), as_json, show_why)
