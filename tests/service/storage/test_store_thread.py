"""The store's calls are made in one thread, in order; the last one ends it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from service.storage.store_thread import StoreThread


async def test_one_thread_in_order_and_errors_come_back() -> None:
    thread, seen = StoreThread(), []

    def note(number: int) -> int:
        seen.append(number)
        return threading.get_ident()

    idents = await asyncio.gather(*(thread.do(note, n) for n in range(20)))
    assert seen == list(range(20)) and len(set(idents)) == 1
    assert idents[0] != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await thread.do(lambda: 1 // 0)
    thread.close(lambda: seen.append(-1))
    assert seen[-1] == -1
