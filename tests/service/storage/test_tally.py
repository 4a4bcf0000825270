"""What was queued and never became durable is counted after a kill."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from service.storage.tally import Tally


def test_lost_rows_are_counted_after_a_kill(tmp_path: Path) -> None:
    code = (
        "import os, signal; from pathlib import Path; from service.storage.tally import Tally\n"
        f"t = Tally(Path({str(tmp_path)!r})); t.lost(0, 0)\n"
        "for _ in range(7): t.decision()\n"
        "for _ in range(9): t.attempt()\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    tally = Tally(tmp_path)
    assert tally.lost(4, 9) == (3, 0)
    tally.close()
    again = Tally(tmp_path)
    assert again.lost(4, 9) == (0, 0)
    again.decision()
    again.close()
    last = Tally(tmp_path)
    assert last.lost(5, 9) == (0, 0)
    last.close()


def test_a_damaged_file_starts_anew(tmp_path: Path) -> None:
    (tmp_path / "tally.bin").write_bytes(b"short")
    tally = Tally(tmp_path)
    assert tally.lost(3, 3) == (0, 0)
    tally.close()
