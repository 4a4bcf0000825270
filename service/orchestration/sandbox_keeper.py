"""The keeper of a sandbox: walls and limits first, then the code in a child, then nobody left.

It runs alone (``python -I -S``), reads one JSON object, and writes one. Of the system's walls it
takes what it gets (user, network, process, mount namespaces) and says which.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
import resource
import select
import signal
import sys
import time
from typing import Any

NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = (
    1, 2, 4, 32, 4096, 16384, 1 << 18,
)  # fmt: skip
SET_PDEATHSIG, SET_SUBREAPER, SET_NO_NEW_PRIVS = 1, 36, 38
SYSTEM = ("/usr", "/lib", "/lib64", "/bin")
MNT_DETACH = 2
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
CAPABILITIES_V3 = 0x20080522
STRANGERS = 1_879_048_192  # user numbers from here on belong to nobody
MOST_SAID = 32_768

_libc = ctypes.CDLL(None, use_errno=True)


def main(folder: str) -> None:
    """Keep one run."""
    asked = json.loads(sys.stdin.buffer.read())
    _libc.prctl(SET_SUBREAPER, 1, 0, 0, 0)
    walls = _walls(folder, asked["shown"])
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        _child(folder, asked, write, walls)
    os.close(write)
    said, why = _listen(read, child, time.monotonic() + asked["wall_s"])
    _end(child)
    passed, first = _told(said, asked["token"])
    answer = {"token": asked["token"], "passed": passed, "why": why or first, "walls": walls}
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()


def _walls(folder: str, shown: list[str]) -> list[str]:
    """Leave what namespaces can leave; each that is refused is left out, and not named.

    Root needs no namespace of users for it, and without one its child can become a stranger, whose
    processes are counted: those of root never are.
    """
    walls = []
    uid, gid = os.getuid(), os.getgid()
    alone = _libc.unshare(NEWNET) == 0 if uid == 0 else False
    if not alone and _libc.unshare(NEWUSER) == 0:
        with contextlib.suppress(OSError):
            _write("/proc/self/setgroups", "deny")
            _write("/proc/self/gid_map", f"0 {gid} 1")
            _write("/proc/self/uid_map", f"0 {uid} 1")
    if alone or _libc.unshare(NEWNET) == 0:
        walls.append("network")
    if _libc.unshare(NEWNS | NEWIPC) == 0 and _room(folder, shown):
        walls.append("files")
    if _libc.unshare(NEWPID) == 0:
        walls.append("processes")
    return walls


def _room(folder: str, shown: list[str]) -> bool:
    """A root that holds the system's programs, the interpreter, and the folder; all but the folder
    can only be read.
    """
    root = os.path.join(folder, ".root")
    try:
        os.mkdir(root)
        _mount("", "/", MS_REC | MS_PRIVATE)
        _mount("tmpfs", root, MS_NOSUID | MS_NODEV, "tmpfs")
        seen = [p for p in (*SYSTEM, *shown) if os.path.isdir(p)]
        for path in dict.fromkeys(seen):
            inside = root + path
            if os.path.islink(path):
                os.symlink(os.readlink(path), inside)
                continue
            os.makedirs(inside, exist_ok=True)
            _mount(path, inside, MS_BIND | MS_REC)
            _mount("", inside, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)
        for name in ("work", "dev"):
            os.mkdir(os.path.join(root, name))
        work = os.path.join(folder, "work")
        os.mkdir(work)
        _mount(work, os.path.join(root, "work"), MS_BIND)
        for name in ("null", "urandom"):
            held = os.path.join(root, "dev", name)
            os.close(os.open(held, os.O_CREAT | os.O_WRONLY))
            _mount(f"/dev/{name}", held, MS_BIND)
        _turn_to(root)
        os.chdir("/work")
    except OSError:
        return False
    return True


def _turn_to(root: str) -> None:
    """Make it the root, and let go of the former one: a changed root alone can be left again."""
    before = os.path.join(root, ".before")
    os.mkdir(before)
    number = PIVOT_ROOT.get(platform.machine())
    if number is None or _libc.syscall(number, root.encode(), before.encode()) != 0:
        raise OSError("the root cannot be turned")
    os.chdir("/")
    if _libc.umount2(b"/.before", MNT_DETACH) != 0:
        raise OSError("the former root stays")
    os.rmdir("/.before")


def _child(folder: str, asked: dict[str, Any], out: int, walls: list[str]) -> None:
    """Become what runs the code; never returns. Where there is a namespace of processes, the first
    one in it only waits: its end is the end of all, and no limit can end it before.
    """
    try:
        os.setsid()
        _libc.prctl(SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if "processes" in walls and (runner := os.fork()):
            _, status = os.waitpid(runner, 0)
            if os.WIFSIGNALED(status):
                why = f"ended by {signal.Signals(os.WTERMSIG(status)).name}"
                _say(out, {"token": asked["token"], "passed": 0, "why": why})
            os._exit(0)
        _humble(folder, walls)
        _limits(asked)
        passed, why = _run(asked["code"], asked["tests"])
        _say(out, {"token": asked["token"], "passed": passed, "why": why})
    except BaseException as error:
        with contextlib.suppress(BaseException):
            _say(out, {"token": asked["token"], "passed": 0, "why": type(error).__name__})
    finally:
        os._exit(0)


def _humble(folder: str, walls: list[str]) -> None:
    """No streams, a directory of its own, no rights, and none to be had again."""
    null = os.open("/dev/null", os.O_RDWR)
    for end in (0, 1, 2):
        os.dup2(null, end)
    work = "/work"
    if "files" not in walls:
        work = os.path.join(folder, "work")
        os.makedirs(work, exist_ok=True)
        os.chmod(folder, 0o711)  # noqa: S103  a stranger must get through to it
    stranger = STRANGERS + os.getpid() + int.from_bytes(os.urandom(2), "big")
    with contextlib.suppress(OSError):
        if os.getuid() == 0:
            os.chown(work, stranger, stranger)
            os.setgroups([])
            os.setgid(stranger)
            os.setuid(stranger)
    with contextlib.suppress(OSError):
        os.chdir(work)
    header = (ctypes.c_uint32 * 2)(CAPABILITIES_V3, 0)
    _libc.capset(header, (ctypes.c_uint32 * 6)())
    _libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _limits(asked: dict[str, Any]) -> None:
    for kind, most in (
        (resource.RLIMIT_CPU, asked["cpu_s"]),
        (resource.RLIMIT_AS, asked["memory_bytes"]),
        (resource.RLIMIT_FSIZE, asked["file_bytes"]),
        (resource.RLIMIT_NPROC, asked["processes"]),
        (resource.RLIMIT_NOFILE, asked["files"]),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def _run(code: str, tests: list[str]) -> tuple[int, str]:
    names: dict[str, Any] = {"__name__": "answer"}
    try:
        exec(compile(code, "answer", "exec"), names)  # noqa: S102  that is what this room is for
    except BaseException as error:
        return 0, f"the code raised {type(error).__name__}"
    passed, why = 0, ""
    for at, test in enumerate(tests):
        try:
            exec(compile(test, "test", "exec"), names)  # noqa: S102
            passed += 1
        except BaseException as error:
            why = why or f"test {at + 1}: {type(error).__name__}"
    return passed, why


def _say(out: int, content: dict[str, Any]) -> None:
    os.write(out, json.dumps(content).encode()[:MOST_SAID])


def _listen(read: int, child: int, until_s: float) -> tuple[bytes, str]:
    """What the child says, to its end or until the time is over."""
    said = b""
    while len(said) < MOST_SAID:
        left = until_s - time.monotonic()
        if left <= 0 or not select.select([read], [], [], left)[0]:
            return said, "the time is over"
        part = os.read(read, MOST_SAID - len(said))
        if not part:
            break
        said += part
        if said.endswith(b"}"):
            break
    return said, "" if said else _how(child)


def _how(child: int) -> str:
    """Why a child ended without a word."""
    with contextlib.suppress(ChildProcessError):
        _, status = os.waitpid(child, os.WNOHANG)
        if os.WIFSIGNALED(status):
            return f"ended by {signal.Signals(os.WTERMSIG(status)).name}"
    return "it ended without a word"


def _end(child: int) -> None:
    """Kill the child's group, then whoever was left to us, until there is nobody."""
    for end in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            end(child, signal.SIGKILL)
    until_s = time.monotonic() + 3.0
    while time.monotonic() < until_s:
        for each in _children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(each, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> list[int]:
    """Processes whose parent we are now; orphans below us become ours."""
    found = []
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError, ValueError, IndexError):
                    with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                        parent = file.read().rpartition(")")[2].split()[1]
                    if int(parent) == os.getpid():
                        found.append(int(name))
    return found


def _told(said: bytes, token: str) -> tuple[int, str]:
    try:
        found = json.loads(said)
        if found["token"] == token:
            return int(found["passed"]), str(found["why"])
    except (ValueError, KeyError, TypeError):
        pass
    return 0, "it said nothing that can be read"


def _mount(source: str, target: str, flags: int, kind: str = "") -> None:
    args = (source.encode(), target.encode(), kind.encode() or None, flags, None)
    if _libc.mount(*args) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


if __name__ == "__main__":
    main(sys.argv[1])
