"""The parameters of the linear policy, checked when they are given."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from learning.policies.base import check_numbers


@dataclass(frozen=True, slots=True)
class LinearParameters:
    """``temper``, ``optimism``, ``floor``: see ``Exploring``. ``wary``: the rated answers at which
    an arm's tempering has gone half of the way from none to ``temper``. ``floor_budget``: the
    part of the budget that floors may cost. ``trial_answers`` and ``trial_share``: until a
    newcomer has so many rated answers it gets at most that share; for its first two it gets
    ``first_share``, then ``trial_floor`` where it may lead, as long as ``trial_budget`` (a part
    of the budget) pays for it. ``rise_per_minute``: how fast a share may grow again after an
    alarm of latency or errors.
    ``drift`` and ``threshold``: of the quality detector, in standard deviations. Half-lives in
    seconds. ``live_prior``: how many calls the latency and error priors are worth.
    ``budget_usd``: dollars per request, none for no budget.
    """

    temper: float = 0.2
    wary: float = 100.0
    optimism: float = 1.0
    floor: float = 0.0005
    floor_budget: float = 0.02
    trial_answers: float = 24.0
    trial_share: float = 0.3
    trial_floor: float = 0.25
    trial_budget: float = 0.25
    first_share: float = 0.5
    rise_per_minute: float = 0.5
    drift: float = 0.35
    threshold: float = 14.0
    quality_half_life_s: float = 14 * 86_400.0
    live_half_life_s: float = 120.0
    live_prior: float = 4.0
    prior_error_rate: float = 0.01
    budget_usd: float | None = None

    def __post_init__(self) -> None:
        check_numbers(asdict(self))
        for name in ("prior_error_rate", "trial_share", "first_share", "trial_floor"):
            if getattr(self, name) > 1:
                raise ValueError(f"{name} must be at most 1, not {getattr(self, name)!r}")
        for name in ("budget_usd", "trial_share", "threshold", "rise_per_minute", "live_prior"):
            if getattr(self, name) == 0:
                raise ValueError(f"{name} must be above zero")
        for name in ("quality_half_life_s", "live_half_life_s"):
            if getattr(self, name) < 1.0:
                raise ValueError(f"{name} must be at least one second")
        if self.floor > 0.2:
            raise ValueError(f"floor must be at most 0.2, not {self.floor!r}")
