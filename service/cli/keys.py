"""`headgate keys`: who may call, made, listed, revoked, rotated."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from service.cli.output import (
    DEFAULT_URL,
    AuthorOption,
    GlassFlag,
    JsonFlag,
    UrlOption,
    client,
    duration_s,
    fail,
    give,
    say,
    service_errors,
    signed,
    table,
)

app = typer.Typer(help="Who may call: keys by role, tenant and tier.")

PAGE = 1_000
KeyId = Annotated[str, typer.Argument(help="The key's id, or its name.")]
Why = Annotated[str, typer.Option("--reason", help="Why; kept in the audit trail.")]


@app.command("create", epilog="Example: headgate keys create --name shop --role caller")
def create(
    name: Annotated[str, typer.Option("--name", help="What it is called; no other has it.")],
    role: Annotated[
        str, typer.Option("--role", help="caller, analyst, operator or administrator")
    ] = "caller",
    tenant: Annotated[str, typer.Option("--tenant", help="Sees this tenant alone.")] = "",
    tier: Annotated[str, typer.Option("--tier", help="The tier of its requests.")] = "",
    expires_in: Annotated[
        str | None, typer.Option("--expires-in", help="It ends by itself: 12h, 90d.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option("--budget", help="What it may spend: 5/day; hour, day, month or request."),
    ] = None,
    reason: Why = "",
    author: AuthorOption = None,
    break_glass: GlassFlag = False,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Make a key; its secret is printed once and never again."""
    body: dict[str, Any] = {
        "name": name, "role": role, "tenant": tenant, "tier": tier, **signed(author, reason),
        "break_glass": break_glass,
    }  # fmt: skip
    if budget is not None:
        body["budget"] = limit(budget)
    if expires_in is not None:
        body["expires_in_s"] = duration_s("--expires-in", expires_in)
    with service_errors():
        give(client(url).post("/admin/keys", body), as_json, _show_secret)


def limit(text: str) -> dict[str, Any]:
    """A budget given as DOLLARS/PERIOD."""
    usd, _, period = text.partition("/")
    try:
        return {"hard_usd": float(usd), "period": period}
    except ValueError:
        fail(f"--budget takes dollars and a period as 5/day, not {text!r}", 2)


@app.command("budget", epilog='Example: headgate keys budget shop 5/day --reason "a pilot"')
def budget_of(
    key: KeyId,
    budget: Annotated[str, typer.Argument(help="What it may spend: 5/day; none for no budget.")],
    reason: Why = "",
    author: AuthorOption = None,
    break_glass: GlassFlag = False,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Give a key a budget, or take it away; in force from its next call on."""
    body = {**signed(author, reason), "break_glass": break_glass}
    path = f"/admin/keys/{key}/budget"
    path, body = (f"{path}/end", body) if budget == "none" else (path, body | limit(budget))
    with service_errors():
        give(client(url).post(path, body), as_json, lambda told: say(
            f"{told['name']} may spend {budget}\nid {told['key_id']}"))  # fmt: skip


def _show_secret(found: dict[str, Any]) -> None:
    until = f", until {found['expires_at']}" if found["expires_at"] else ""
    say(f"{found['name']} is {found['role']}{until}\nid {found['id']}")
    say(f"key {found['key']}\nkeep it now: it is shown once and kept nowhere")
    if found["old_secret_until"]:
        say(f"the secret before it works until {found['old_secret_until']}")


@app.command("list", epilog="Example: headgate keys list --json")
def list_keys(url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """All keys: what each may do, when it was last used, whether it still is one."""
    found: list[dict[str, Any]] = []
    with service_errors():
        page = {"more": True}
        while page["more"]:
            page = client(url).get("/admin/keys", offset=len(found), limit=PAGE)
            found += page["keys"]
        give({"keys": found}, as_json, _show)


def _show(found: dict[str, Any]) -> None:
    table(
        ("id", "name", "role", "tenant", "tier", "created", "last used", "expires", "state"),
        [
            (k["id"], k["name"], k["role"], k["tenant"], k["tier"], k["created_at"],
             k["last_used_at"], k["expires_at"], k["state"])
            for k in found["keys"]
        ],
    )  # fmt: skip


@app.command("revoke", epilog='Example: headgate keys revoke shop --reason "it was in a log"')
def revoke(
    key: KeyId,
    reason: Why = "",
    author: AuthorOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """End a key: from the next request on it opens nothing."""
    with service_errors():
        found = client(url).post(f"/admin/keys/{key}/revoke", signed(author, reason))
        give(found, as_json, lambda told: say(f"{told['name']} is revoked\nid {told['id']}"))


@app.command("rotate", epilog="Example: headgate keys rotate shop --grace 24h")
def rotate(
    key: KeyId,
    grace: Annotated[
        str, typer.Option("--grace", help="For how long the old secret works too: 0s, 1h, 7d.")
    ] = "1h",
    reason: Why = "",
    author: AuthorOption = None,
    break_glass: GlassFlag = False,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Give a key a new secret; it stays the same key, with its history and its limits."""
    body = {
        "grace_s": duration_s("--grace", grace), **signed(author, reason),
        "break_glass": break_glass,
    }  # fmt: skip
    with service_errors():
        give(client(url).post(f"/admin/keys/{key}/rotate", body), as_json, _show_secret)
