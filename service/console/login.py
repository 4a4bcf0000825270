"""The log-in page: plain HTML, without a script that it needs."""

from __future__ import annotations

from html import escape

_PAGE = """<!doctype html>
<html lang="en"><head>
<meta charset="utf-8"><title>Log in · Headgate</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="/console/assets/mark.svg" type="image/svg+xml">
<link rel="stylesheet" href="/console/assets/console.css">
<script src="/console/assets/theme.js"></script>
</head><body class="hg-login"><main>
<div class="hg-brand"><img src="/console/assets/mark.svg" alt="" width="28" height="28">
<span>Headgate</span></div>
<h1>Log in to the console</h1>
{problem}
<form method="post" action="/console/login">
<input type="hidden" name="token" value="{token}"><input type="hidden" name="next" value="{target}">
<label for="key">Your key</label>
<input id="key" name="key" type="password" required autofocus maxlength="512"
 autocomplete="current-password" spellcheck="false" aria-describedby="hint{described}">
<p id="hint" class="hg-hint">The key of an analyst, an operator or an administrator. It is kept
nowhere in this browser.</p>
<button class="hg-button hg-primary" type="submit">Log in</button>
</form></main></body></html>
"""
_ELSE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Headgate</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/console/assets/console.css">
</head><body class="hg-login"><main>{problem}
<p><a href="/console/">Back to the console</a></p></main></body></html>
"""


def page(token: str, target: str, problem: str) -> str:
    """The form, or without a token only what is wrong."""
    told = ""
    if problem:
        told = f'<p id="problem" class="hg-problem" role="alert">{escape(problem)}</p>'
    if not token:
        return _ELSE.format(problem=told)
    return _PAGE.format(
        token=escape(token), target=escape(target), problem=told,
        described=" problem" if problem else "",
    )  # fmt: skip
