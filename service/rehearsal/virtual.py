"""Time that is made: it stands while anything works, and else jumps to the next timer."""

from __future__ import annotations

import asyncio
import random
import selectors
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar
from uuid import UUID

from service.domain.clock import Ids

T = TypeVar("T")

CHILD_LOOK_S = 0.02  # real seconds between looks at a child process that computes


class VirtualClock:
    """Wall and monotonic time from one number, which only the loop moves on."""

    def __init__(self, start_us: int) -> None:
        self._start_us = start_us
        self.now_s = 0.0

    def wall_us(self) -> int:
        return self._start_us + int(self.now_s * 1e6)

    def monotonic_s(self) -> float:
        return self.now_s


class _Jumping(selectors.DefaultSelector):
    """Looks at sockets without waiting; where the loop would wait, time goes on instead."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock
        self.idle: list[Callable[[], bool]] = []  # what is done before time goes on
        self.children: Callable[[], bool] = lambda: False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0 or self._stirred():
            return ready
        if timeout is None or self.children():  # only the real world can go on
            return super().select(CHILD_LOOK_S)
        self._clock.now_s += timeout
        return []

    def _stirred(self) -> bool:
        """All of it is done, whatever the first of them says."""
        return True in [each() for each in self.idle]


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time, in which a day passes as fast as its work is done.

    What would run in a thread beside the loop runs at once, in it, so that the order of all that
    happens is fixed; time stands while a child process computes. ``before_time``: called whenever
    nothing is ready and time is about to go on; true where that made something ready.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self._jumping, self._virtual = _Jumping(clock), clock
        super().__init__(self._jumping)
        self._children: list[asyncio.SubprocessTransport] = []
        self._jumping.children = self._computing

    def before_time(self, act: Callable[[], bool]) -> None:
        """Do this before time goes on."""
        self._jumping.idle.append(act)

    def time(self) -> float:
        return self._virtual.now_s

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except StopIteration as error:
            done.set_exception(RuntimeError(str(error)))
        except Exception as error:
            done.set_exception(error)
        return done

    async def subprocess_exec(self, *args: Any, **named: Any) -> Any:
        made = await super().subprocess_exec(*args, **named)
        self._children.append(made[0])
        return made

    def _computing(self) -> bool:
        self._children = [each for each in self._children if each.get_returncode() is None]
        return bool(self._children)


class SeededIds:
    """UUIDv7 of the virtual time, in each thread fixed by the seed and the order of its calls."""

    def __init__(self, clock: VirtualClock, seed: int) -> None:
        self._clock, self._seed = clock, seed
        self._chances: dict[str, random.Random] = {}
        self._last: dict[str, tuple[int, int]] = {}

    def __call__(self) -> UUID:
        name = threading.current_thread().name
        chance = self._chances.get(name)
        if chance is None:
            chance = self._chances[name] = random.Random(f"{self._seed}:{name}")
        now_ms = self._clock.wall_us() // 1000
        last_ms, count = self._last.get(name, (0, 0))
        count = count + 1 if last_ms == now_ms else 0
        self._last[name] = now_ms, count
        number = (now_ms & (1 << 48) - 1) << 80 | 7 << 76 | (count & 0xFFF) << 64
        return UUID(int=number | 2 << 62 | chance.getrandbits(62))


def play(main: Coroutine[Any, Any, T], loop: VirtualLoop, ids: SeededIds) -> T:
    """Run to the end on the loop, with ids that can be drawn again; the loop is closed after it."""
    before, Ids.make = Ids.make, ids
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            return runner.run(main)
    finally:
        Ids.make = before
