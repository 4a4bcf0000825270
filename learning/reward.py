"""Quality, cost, latency and errors made into one reward in [0, 1], its parts kept."""

from __future__ import annotations

import math
from dataclasses import dataclass

from learning.errors import InvalidInteraction


@dataclass(frozen=True, slots=True)
class Reward:
    """The parts that are known so far; ``None`` is "not yet known", never zero.

    ``quality`` lies in [0, 1], ``cost_usd`` in US dollars, ``latency_s`` and ``ttft_s`` in
    seconds, ``tokens_out`` in tokens.
    """

    quality: float | None = None
    cost_usd: float | None = None
    latency_s: float | None = None
    tokens_out: int | None = None
    failed: bool | None = None

    def __post_init__(self) -> None:
        if self.quality is not None and not 0.0 <= self.quality <= 1.0:
            raise InvalidInteraction(f"quality must lie in [0, 1], not {self.quality!r}")
        cost_usd, latency_s = self.cost_usd, self.latency_s
        if cost_usd is not None and not 0.0 <= cost_usd < math.inf:
            raise InvalidInteraction(f"cost_usd must be finite and not negative, not {cost_usd!r}")
        if latency_s is not None and not 0.0 <= latency_s < math.inf:
            raise InvalidInteraction(
                f"latency_s must be finite and not negative, not {latency_s!r}"
            )


@dataclass(frozen=True, slots=True)
class RewardScale:
    """What the parts are worth against one another.

    ``worth_usd``: the dollars that one point of quality (a perfect answer instead of a useless
    one) is worth. ``patience_s``: the seconds of waiting that cost one point of quality.
    Infinite values switch a part off.
    """

    worth_usd: float = math.inf
    patience_s: float = math.inf

    def __post_init__(self) -> None:
        if not self.worth_usd > 0 or not self.patience_s > 0:
            raise InvalidInteraction("worth_usd and patience_s must be above zero")

    @property
    def per_usd(self) -> float:
        """Points of reward lost per dollar."""
        return 1.0 / self.worth_usd

    @property
    def per_second(self) -> float:
        """Points of reward lost per second."""
        return 1.0 / self.patience_s


def value(reward: Reward, scale: RewardScale) -> float | None:
    """One number in [0, 1]: quality less what its cost and its waiting were worth.

    A failed answer is worth 0 at once. Without a rating there is no value yet: ``None``.
    """
    if reward.failed:
        return 0.0
    if reward.quality is None:
        return None
    lost = (reward.cost_usd or 0.0) * scale.per_usd + (reward.latency_s or 0.0) * scale.per_second
    return min(1.0, max(0.0, reward.quality - lost))
