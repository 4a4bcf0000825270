"""How many extra calls the gateway may make, and how far it holds back from who is overloaded."""

from __future__ import annotations

BUCKETS, BUCKET_S = 12, 10.0


class RetryBudget:
    """Extra calls (fallbacks, hedges) as a share of the requests of the last ten seconds.

    Each request deposits ``share`` of a call; deposits expire after ten seconds; an extra call
    withdraws one (Finagle's RetryBudget; Beyer et al., Site Reliability Engineering, ch. 21, which
    sets ten percent). ``reserve`` calls are there whatever the traffic, and come back at
    ``reserve_per_s``, so that a gateway with little traffic can still fall back.
    """

    TTL_S = 10

    def __init__(self, share: float = 0.1, reserve: float = 20.0, per_s: float = 0.5) -> None:
        self._share = share
        self._most_reserve, self._per_s = reserve, per_s
        self._reserve = reserve
        self._reserve_at_s = 0.0
        self._deposits = [0.0] * self.TTL_S
        self._second = 0
        self.spent = 0
        self.refused = 0

    def follow(self, share: float, reserve: float) -> None:
        """Go on with another share; what was saved stays."""
        self._share, self._most_reserve = share, reserve

    def requested(self, now_s: float) -> None:
        """A request came: it deposits its share."""
        self._turn(now_s)
        self._deposits[self._second % self.TTL_S] += self._share

    def spend(self, now_s: float) -> bool:
        """One extra call, if there is money for it; the oldest deposit goes first."""
        self._turn(now_s)
        owed = 1.0
        if self.balance(now_s) < owed:
            self.refused += 1
            return False
        for offset in range(1, self.TTL_S + 1):
            index = (self._second + offset) % self.TTL_S
            part = min(self._deposits[index], owed)
            self._deposits[index] -= part
            owed -= part
            if owed <= 0.0:
                break
        self._reserve -= owed
        self.spent += 1
        return True

    def balance(self, now_s: float) -> float:
        """Extra calls that could be made now."""
        self._turn(now_s)
        return sum(self._deposits) + self._reserve + 1e-9

    def _turn(self, now_s: float) -> None:
        second = int(now_s)
        if second == self._second:
            return
        if second - self._second >= self.TTL_S or second < self._second:
            self._deposits = [0.0] * self.TTL_S
        else:
            for passed in range(self._second + 1, second + 1):
                self._deposits[passed % self.TTL_S] = 0.0
        gained = max(second - self._reserve_at_s, 0.0) * self._per_s
        self._reserve = min(self._reserve + gained, self._most_reserve)
        self._reserve_at_s = second
        self._second = second


class Throttle:
    """Client-side throttling towards one provider (Site Reliability Engineering, eq. 21.1).

    A call is held back with probability max(0, (requests - K accepts) / (requests + 1)) over two
    minutes, where what the provider refused for load is no accept; of fewer than ``least`` calls
    nothing is concluded.
    """

    def __init__(self, k: float = 2.0, least: int = 20) -> None:
        self._k, self._least = k, least
        self._requests = [0] * BUCKETS
        self._accepts = [0] * BUCKETS
        self._bucket = 0
        self._total = 0
        self._accepted = 0

    def follow(self, k: float) -> None:
        """Go on with another factor."""
        self._k = k

    def ended(self, accepted: bool, now_s: float) -> None:
        """A call has ended."""
        self._turn(now_s)
        index = self._bucket % BUCKETS
        self._requests[index] += 1
        self._total += 1
        if accepted:
            self._accepts[index] += 1
            self._accepted += 1

    def chance(self, now_s: float) -> float:
        """The probability with which a call is held back now."""
        self._turn(now_s)
        if self._total < self._least:
            return 0.0
        return max(0.0, (self._total - self._k * self._accepted) / (self._total + 1))

    def _turn(self, now_s: float) -> None:
        bucket = int(now_s / BUCKET_S)
        if bucket == self._bucket:
            return
        for passed in range(max(self._bucket + 1, bucket - BUCKETS + 1), bucket + 1):
            self._requests[passed % BUCKETS] = self._accepts[passed % BUCKETS] = 0
        self._bucket = bucket
        self._total, self._accepted = sum(self._requests), sum(self._accepts)
