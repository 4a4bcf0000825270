"""What a page is made of: trees of plain nodes, in which every text stays a text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Node = Any  # [tag, attributes, children], or a text
Act = tuple[str, str]  # what is done, and to which thing


def h(tag: str, *children: Node, cls: str = "", act: Act | None = None, **given: Any) -> Node:
    """A node; attributes whose value is None or False are left out."""
    attrs = {name.rstrip("_").replace("_", "-"): value for name, value in given.items()
             if value is not None and value is not False}  # fmt: skip
    if cls:
        attrs["class"] = cls
    if act is not None:
        attrs["act"] = list(act)
    return [tag, attrs, [each for each in children if each is not None and each != ""]]


def card(title: str, *children: Node, note: str = "", cls: str = "", aside: Node = None) -> Node:
    """A part of a page under its heading."""
    head = h("header", h("h2", title), aside, h("p", note, cls="hg-note") if note else None,
             cls="hg-card-head")  # fmt: skip
    return h("section", head, *children, cls=f"hg-card {cls}".strip())


def figure(label: str, value: str, note: str = "", tone: str = "") -> Node:
    """A big number."""
    return h(
        "div", h("dt", label), h("dd", value, cls="hg-number"),
        h("dd", note, cls="hg-note") if note else None, cls=f"hg-figure {tone}".strip(),
    )  # fmt: skip


def figures(*each: Node) -> Node:
    """Big numbers beside one another."""
    return h("dl", *each, cls="hg-figures")


_SIGNS = {"good": "●", "warn": "▲", "bad": "■", "quiet": "○", "info": "◆"}


def badge(text: str, tone: str = "quiet") -> Node:
    """A state: a sign and a word, so that no colour is needed to read it."""
    return h("span", h("i", _SIGNS[tone], aria_hidden="true"), text, cls=f"hg-badge {tone}")


def swatch(tone: int, text: str) -> Node:
    """A name with its colour in the charts."""
    sign = h("i", cls=f"hg-swatch c{tone % 8 + 1}", aria_hidden="true")
    return h("span", sign, text, cls="hg-named")


def moment(at_us: int, mode: str = "ago") -> Node:
    """A time: how long ago (``ago``), how long still (``left``), or when (``clock``)."""
    return ["moment", {"at": at_us / 1e6, "mode": mode}, []]


def link(text: str, href: str, cls: str = "") -> Node:
    """To another page of the console."""
    return h("a", text, href=href, cls=cls)


def button(text: str, act: Act, kind: str = "", **given: Any) -> Node:
    """Does something."""
    return h("button", text, type="button", cls=f"hg-button {kind}".strip(), act=act, **given)


def empty(told: str, *more: Node) -> Node:
    """Nothing to show, and what to do about that."""
    return h("div", h("p", told), *more, cls="hg-empty")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; ``number``: right-aligned."""

    title: str
    number: bool = False
    wide: bool = False


def table(
    label: str, columns: Sequence[Column], rows: Iterable[tuple[str, Sequence[Node]]]
) -> Node:
    """A table of rows by key; on a narrow screen each row is a card."""
    head = h("tr", *(h("th", c.title, scope="col", cls="num" if c.number else "") for c in columns))
    body = []
    for key, cells in rows:
        body.append(h("tr", *(_cell(c, cell, i) for i, (c, cell) in
                              enumerate(zip(columns, cells, strict=True))), key=key))  # fmt: skip
    inner = h("table", h("caption", label, cls="hg-hidden"), h("thead", head), h("tbody", *body))
    return h("div", inner, cls="hg-scroll", tabindex="0", role="region", aria_label=label)


def _cell(column: Column, cell: Node, index: int) -> Node:
    names = ("num" if column.number else "", "wide" if column.wide else "")
    cls = " ".join(name for name in names if name)
    tag = "th" if index == 0 else "td"
    return h(tag, h("span", cell, cls="hg-cell"), data_label=column.title, cls=cls,
             scope="row" if index == 0 else None)  # fmt: skip


def fold(summary: str, *children: Node) -> Node:
    """What is shown to who asks."""
    return h("details", h("summary", summary), *children)


def pairs(*each: tuple[str, Node]) -> Node:
    """Names with their values."""
    return h("dl", *(h("div", h("dt", name), h("dd", value)) for name, value in each),
             cls="hg-pairs")  # fmt: skip


def chart(label: str, spec: dict[str, Any], key: str = "") -> Node:
    """A chart; ``label`` tells in words what it shows."""
    return ["chart", {"spec": spec, "label": label, "key": key or label}, []]


def bar(share: float, tone: int) -> Node:
    """A share as a bar, beside its number."""
    fill = h("span", cls=f"hg-fill c{tone % 8 + 1}", width=round(100 * share, 1))
    return h("span", fill, cls="hg-bar", aria_hidden="true")
