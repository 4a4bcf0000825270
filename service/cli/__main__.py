"""`python -m service.cli` is the `headgate` command."""

from __future__ import annotations

from service.cli.main import main

main()
