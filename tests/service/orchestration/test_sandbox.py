"""The sandbox holds: loops, bombs, hogs, files, floods, and looking around."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

import pytest

from service.orchestration.sandbox import Examined, Limits, examine

pytestmark = pytest.mark.slow
LIMITS = Limits(wall_s=20.0, cpu_s=10)
SHORT = Limits(wall_s=1.0, cpu_s=10)


def run(code: str, *tests: str, limits: Limits = LIMITS) -> Examined:
    return asyncio.run(examine(code, tests or ("assert True",), limits))


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sandboxes of a test lie under its own folder, by which its processes are known."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def left(folder: Path) -> set[str]:
    """Processes of the sandboxes of a test that still run."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in path.read_bytes():
                found.add(path.parent.name)
        except OSError:
            continue
    return found


def test_tests_are_counted_one_by_one() -> None:
    tests = ("assert add(1, 2) == 3", "assert add(1, 1) == 3", "assert add(0, 0) == 0")
    found = run("def add(a, b):\n    return a + b", *tests)
    assert (found.passed, found.tests, found.why) == (2, 3, "test 2: AssertionError")


@pytest.mark.parametrize(("code", "why"), [
    ("def (", "SyntaxError"), ("raise SystemExit(0)", "SystemExit"), ("1 / 0", "ZeroDivisionError"),
    ("import os\nos._exit(0)", "without a word"),
    ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
])  # fmt: skip
def test_what_ends_early_passes_nothing(code: str, why: str) -> None:
    found = run(code)
    assert found.passed == 0 and why in found.why


def test_an_endless_loop_is_ended_and_leaves_nobody(tmp_path: Path) -> None:
    assert run("while True:\n    pass", limits=SHORT).why == "the time is over"
    assert run("import time\ntime.sleep(1000)", limits=SHORT).passed == 0
    assert not left(tmp_path)


def test_the_processor_time_is_bounded() -> None:
    found = run("while True:\n    pass", limits=Limits(wall_s=60.0, cpu_s=1))
    assert found.passed == 0 and "SIG" in found.why


def test_a_fork_bomb_stays_small_and_goes(tmp_path: Path) -> None:
    count = (
        "import os, time\nmade = 0\nwhile made < 200:\n    try:\n        child = os.fork()\n"
        "    except OSError:\n        break\n    if child == 0:\n        time.sleep(1000)\n"
        "        os._exit(0)\n    made += 1"
    )
    assert run(count, "assert made < 20").passed == 1
    bomb = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
    assert run(bomb, limits=SHORT).passed == 0
    away = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(1000)"
    assert run(away).passed == 1
    assert not left(tmp_path)


@pytest.mark.parametrize("code", [
    "kept = bytearray(10 ** 10)", "kept = []\nwhile True:\n    kept.append(bytearray(10 ** 7))",
])  # fmt: skip
def test_memory_is_bounded(code: str) -> None:
    assert "MemoryError" in run(code).why


def test_files_are_bounded_and_go(tmp_path: Path) -> None:
    assert "OSError" in run("open('big', 'wb').write(b'x' * 10 ** 8)").why
    found = run("open('small', 'w').write('x')", "assert open('small').read() == 'x'")
    assert found.passed == 1
    outside = tmp_path / "outside"
    run(f"open({str(outside)!r}, 'w').write('x')")
    if "files" in found.walls:
        assert not outside.exists()


def test_it_sees_no_environment_and_no_home(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x", "utf-8")
    found = run(
        "import os", "assert set(os.environ) <= {'LC_CTYPE'}", "assert os.listdir('.') == []",
        f"assert not os.path.exists({str(secret)!r})",
        f"assert not os.path.exists({str(Path(__file__))!r})",
        f"assert not os.path.exists({str(Path.home() / '.bashrc')!r})",
        "assert not os.path.exists('/etc/passwd')",
        "assert not os.path.exists('/proc/self/environ')",
    )  # fmt: skip
    assert found.passed == 7 if "files" in found.walls else found.passed is not None


def test_the_former_root_cannot_be_had_back() -> None:
    escape = "import os\nos.mkdir('x')\nos.chroot('x')\nfor _ in range(40):\n    os.chdir('..')\n"
    found = run(escape + "os.chroot('.')", "assert os.path.exists('/etc/passwd')")
    assert found.passed == 0


def test_it_reaches_no_network() -> None:
    call = (
        "import socket\nreached = True\ntry:\n"
        "    socket.create_connection(('127.0.0.1', PORT), timeout=2)\n"
        "except OSError:\n    reached = False"
    )

    async def listening() -> Examined:
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            told = call.replace("PORT", str(port))
            return await examine(told, ("assert not reached",), LIMITS)

    found = asyncio.run(listening())
    assert found.passed == (1 if "network" in found.walls else 0)


def test_a_flood_of_words_reaches_nobody() -> None:
    flood = (
        "import os\nfor _ in range(2000):\n"
        "    print('x' * 10 ** 5)\n    os.write(2, b'y' * 10 ** 5)"
    )
    assert run(flood).passed == 1
    forged = (
        "import os\nfor end in range(3, 20):\n    try:\n"
        '        os.write(end, b\'{"token": "", "passed": 9, "why": ""}\')\n'
        "    except OSError:\n        pass"
    )
    assert run(forged).passed == 0


def test_it_has_no_rights() -> None:
    found = run("import os", "assert os.getuid() != 0 or os.geteuid() != 0", "os.kill(1, 9)")
    assert found.passed is not None and found.passed <= 1
    if os.getuid() == 0:
        assert found.passed == 1


def test_where_the_sandbox_itself_fails_it_cannot_say() -> None:
    found = asyncio.run(examine("", ("assert True",), Limits(wall_s=-100.0)))
    assert found.passed is None and found.tests == 1
