"""The report of a benchmark: one account of it, as Markdown and as a page."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

Rows = Sequence[Sequence[str]]
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:24px auto;padding:0 16px}"
    "table{border-collapse:collapse;margin:8px 0 20px;display:block;overflow-x:auto}"
    "th,td{padding:3px 10px;border-bottom:1px solid #ccc;text-align:left;white-space:nowrap}"
    "pre{background:#f3f4f6;padding:12px;overflow-x:auto}"
    "@media(prefers-color-scheme:dark){body{background:#14181d;color:#e6e9ee}"
    "pre{background:#20262e}th,td{border-color:#3a424d}}"
)


class Parts:
    """Headings, sentences, lists, tables and code, in their order."""

    def __init__(self) -> None:
        self.made: list[tuple[str, Any]] = []

    def add(self, kind: str, content: Any) -> None:
        """A part; a list or a table without rows is left out."""
        if kind in ("list", "code") and not content:
            return
        if kind == "table" and not content[1]:
            return
        self.made.append((kind, content))


def account(found: Mapping[str, Any], fragment: str, brief: bool = False) -> Parts:
    """What is told of a run, part by part; ``brief``: of each task the verdict alone."""
    parts = Parts()
    parts.add("h1", f"Benchmark {found['run_id']}")
    times = f", {found['repeats']} times" if found["repeats"] > 1 else ""
    parts.add(
        "p",
        f"{found['n']} prompts of {', '.join(found['tasks'])} ({found['prompts']['source']}, "
        f"{found['prompts']['digest'][:12]}), each asked of {', '.join(found['deployments'])}"
        f"{times}: {found['trials']} trials, ${found['spent_usd']:.4f} spent at most, seed "
        f"{found['seed']}.",
    )
    _task(parts, found["overall"])
    for each in () if brief else found["by_task"]:
        _task(parts, each)
    if brief:
        head = ("task", "prompts", "best first", "held", "verdict")
        parts.add("h2", "By task")
        parts.add("table", (head, [_brief(each) for each in found["by_task"]]))
    _reality(parts, found)
    parts.add("h2", "Revised rules")
    none = "The intervals carry no change of the plan."
    parts.add("code" if fragment else "p", fragment or none)
    _projected(parts, found["projections"])
    parts.add("h2", "What cannot be said")
    parts.add("list", found["cannot_be_said"])
    return parts


def _brief(each: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    stable = each["stability"]
    order = " > ".join(stable["order"]) if stable else "-"
    held = f"{stable['held']:.0%}" if stable else "-"
    prompts = max((m["prompts"] for m in each["measured"]), default=0)
    return each["task"], str(prompts), order, held, each["verdict"]["words"]


def markdown(parts: Parts) -> str:
    """As Markdown."""
    lines: list[str] = []
    for kind, content in parts.made:
        if kind in ("h1", "h2"):
            lines += [f"{'#' * int(kind[1])} {content}", ""]
        elif kind == "list":
            lines += [*(f"- {each}" for each in content), ""]
        elif kind == "code":
            lines += ["```yaml", content.rstrip("\n"), "```", ""]
        elif kind == "table":
            head, rows = content
            lines += [_row(head), _row(["---"] * len(head)), *(_row(each) for each in rows), ""]
        else:
            lines += [content, ""]
    return "\n".join(lines)


def page(parts: Parts, title: str) -> str:
    """As one page of HTML that needs nothing else."""
    body: list[str] = []
    for kind, content in parts.made:
        if kind == "list":
            inside = "".join(f"<li>{html.escape(each)}</li>" for each in content)
            body.append(f"<ul>{inside}</ul>")
        elif kind == "code":
            body.append(f"<pre>{html.escape(content)}</pre>")
        elif kind == "table":
            head, rows = content
            body.append(f"<table><tr>{_cells('th', head)}</tr>")
            body += [f"<tr>{_cells('td', each)}</tr>" for each in rows]
            body.append("</table>")
        else:
            body.append(f"<{kind}>{html.escape(content)}</{kind}>")
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    return (
        f"<!doctype html><html lang=en><head>{meta}<title>{html.escape(title)}</title>"
        f"<style>{STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _task(parts: Parts, each: Mapping[str, Any]) -> None:
    name = each["task"] or "All tasks together"
    parts.add("h2", name)
    parts.add("p", f"Verdict: {each['verdict']['words']}.")
    head = ("deployment", "prompts", "quality", "errors", "latency s", "first token s",
            "$ a thousand", "tokens out")  # fmt: skip
    measured = [
        (
            m["arm"], str(m["prompts"]), span(m["quality"], 100, "%"),
            span(m["error_rate"], 100, "%"), span(m["latency_s"]), span(m["ttft_s"]),
            span(m["cost_usd"], 1_000),
            "-" if m["tokens_out"] is None else f"{m['tokens_out']:.0f}",
        )
        for m in each["measured"]
    ]  # fmt: skip
    parts.add("table", (head, measured))
    beside = ("one less other", "prompts", "quality, points", "p (Holm)", "apart", "$ a thousand",
              "latency s")  # fmt: skip
    pairs = [
        (
            f"{p['one']} - {p['other']}", str(p["prompts"]), span(p["quality"], 100),
            "-" if p["p_holm"] is None else f"{p['p_holm']:.2g}", "yes" if p["separated"] else "no",
            span(p["cost_usd"], 1_000), span(p["latency_s"]),
        )
        for p in each["pairs"]
    ]  # fmt: skip
    parts.add("table", (beside, pairs))
    stable = each["stability"]
    if stable is not None:
        told = ", ".join(f"{k} {v:.0%}" for k, v in stable["first"].items())
        parts.add(
            "p",
            f"Drawn again {stable['resamples']} times the prompts rank all alike in "
            f"{stable['held']:.0%} ({' > '.join(stable['order'])}); first stood {told}.",
        )


def _reality(parts: Parts, found: Mapping[str, Any]) -> None:
    parts.add("h2", "Design against reality")
    head = ("deployment", "figure", "declared", "measured", "off")
    rows = [
        (
            r["arm"], *_figure(r),
            ("better than declared" if r["better"] else "worse than declared") if r["off"] else "",
        )
        for r in found["design_against_reality"]
    ]  # fmt: skip
    parts.add("table", (head, rows))
    told = []
    for key, words in (("over_performers", "better"), ("under_performers", "worse")):
        if found[key]:
            told.append(f"{', '.join(found[key])}: {words} than the plan declares, in quality")
    told += [
        f"{d['arm']} is worse than {d['by']} and costs more ({d['task'] or 'all tasks together'})"
        for d in found["dominated"]
    ]
    parts.add("list", told)


def _projected(parts: Parts, told: Mapping[str, Any]) -> None:
    parts.add("h2", "Projections")
    mix = ", ".join(f"{task} {weight:.0%}" for task, weight in told["weights"].items())
    more = f"; it covers {told['covered']:.0%} of the traffic" if told["covered"] < 1.0 else ""
    parts.add("p", f"At {told['mix']}: {mix or 'none'}{more}.")
    per_day = told["requests_per_day"]
    head = ["way", "$ a thousand requests", "quality"]
    head += ["$ a thousand less those now"] if told["against"] else []
    head += ["$ a month of 30 days"] if per_day else []
    rows = []
    for way in told["ways"]:
        row = [way["name"], span(way["cost_usd"], 1_000), span(way["quality"], 100, "%")]
        if told["against"]:
            row.append(span(way["against_usd"], 1_000))
        if per_day:
            row.append(span(way["cost_usd"], 30.0 * per_day, "", 2))
        rows.append(row)
    parts.add("table", (head, rows))
    part = min((way["scored"] for way in told["ways"]), default=1.0)
    if part < 1.0 - 1e-9:
        parts.add("p", f"Quality is of the {part:.0%} of it that could be scored.")


def _figure(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Its name with a unit, what was declared, what was measured."""
    name, by, digits = {
        "quality": ("quality, %", 100.0, 1), "latency_s": ("latency, s", 1.0, 3),
        "cost_usd": ("$ a thousand, by list prices", 1_000.0, 3),
    }[row["figure"]]  # fmt: skip
    return name, f"{by * row['declared']:.{digits}f}", span(row["measured"], by)


def span(
    interval: Mapping[str, Any] | None, by: float = 1.0, unit: str = "", digits: int = 3
) -> str:
    """An estimate with its interval in brackets, times ``by``; a dash where there is none."""
    if interval is None:
        return "-"
    places = 1 if by == 100 else digits
    told = [interval[name] for name in ("estimate", "low", "high")]
    middle, low, high = ("-" if each is None else f"{by * each:.{places}f}" for each in told)
    return f"{middle}{unit} [{low}, {high}]"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(each.replace("|", "\\|") for each in cells) + " |"


def _cells(kind: str, cells: Sequence[str]) -> str:
    return "".join(f"<{kind}>{html.escape(each)}</{kind}>" for each in cells)
