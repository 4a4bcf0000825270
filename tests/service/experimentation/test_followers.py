"""A version is followed from the first wish to the last release."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

import pytest

from service.domain.errors import Conflict
from service.experimentation.followers import Followers


class Learner:
    """Notes what it is asked; ``refuses`` what it is told to."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.refuses = False

    def _done(self, call: str) -> Future[None]:
        self.calls.append(call)
        done: Future[None] = Future()
        if self.refuses:
            done.set_exception(Conflict("too many"))
        else:
            done.set_result(None)
        return done

    def follow(self, version: str) -> Future[None]:
        return self._done(f"+{version}")

    def leave(self, version: str) -> Future[None]:
        return self._done(f"-{version}")


def test_counted_by_who_wants_it() -> None:
    learner = Learner()
    followers = Followers(learner.follow, learner.leave)

    async def story() -> None:
        await followers.want("v", "one")
        await followers.want("v", "two")
        assert followers.wanted == {"v": ("one", "two")}
        await followers.release("v", "one")
        assert "-v" not in learner.calls
        await followers.release("v", "two")
        assert learner.calls[-1] == "-v" and followers.wanted == {}

    asyncio.run(story())


def test_a_refusal_takes_the_wish_back() -> None:
    learner = Learner()
    followers = Followers(learner.follow, learner.leave)

    async def story() -> None:
        learner.refuses = True
        with pytest.raises(Conflict):
            await followers.want("v", "one")
        assert followers.wanted.get("v", ()) == ()

    asyncio.run(story())
