"""Has this stream changed? Two-sided cumulative sums, one pair an arm."""

from __future__ import annotations

from dataclasses import dataclass

UP, DOWN = 0, 1
CLIP = 3.0


@dataclass(slots=True)
class Cusum:
    """Page's two-sided CUSUM (Biometrika 1954) of standardised residuals, clipped at 3.

    ``drift`` is the allowance per observation and ``threshold`` the alarm level, both in
    standard deviations. ``level`` and ``run`` hold a pair an arm: the sums, and for how many
    observations each has stood above zero (the estimated age of the change). Lists of Python's
    numbers: one arm is touched at a time, and an element of an array costs more than the sums.
    """

    drift: float
    threshold: float
    level: list[list[float]]
    run: list[list[int]]

    @classmethod
    def of(cls, arms: int, drift: float, threshold: float) -> Cusum:
        """One at rest for each of ``arms`` arms."""
        return cls(
            drift, threshold, [[0.0, 0.0] for _ in range(arms)], [[0, 0] for _ in range(arms)]
        )

    def push(self, at: int, z: float) -> int | None:
        """Take one residual of arm ``at``; UP or DOWN when it raises the alarm."""
        z = min(CLIP, max(-CLIP, z))
        level, run = self.level[at], self.run[at]
        alarm = None
        for side, signed in ((UP, z), (DOWN, -z)):
            total = level[side] + signed - self.drift
            if total <= 0.0:
                level[side], run[side] = 0.0, 0
                continue
            level[side] = total
            run[side] += 1
            if total > self.threshold:
                alarm = side
        return alarm

    def rest(self, at: int) -> None:
        """Begin anew for arm ``at``."""
        self.level[at], self.run[at] = [0.0, 0.0], [0, 0]
