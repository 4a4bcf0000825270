"""Who rates: does the chance of a rating depend on the deployment, and what could that hide?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from experiments.errors import CannotSay
from experiments.statistics.moments import Interval

Counts = NDArray[np.float64]
LEAST_EXPECTED = 5.0  # Cochran (Biometrics 1954): below that chi-square is not to be trusted
DRAWS = 9_999
PRIOR = 0.5  # Krichevsky and Trofimov (IEEE Trans. Inf. Theory 1981)
CARRIED = 100.0  # how many earlier answers the forecast of a day's rate leans on, at most
LEAST_ANSWERS = 20  # of two deployments each, before anything is said


@dataclass(frozen=True, slots=True)
class Cell:
    """Answers of a deployment to a task on a day, how many were rated, and the mean rating.

    Ratings lie in [0, 1]; ``mean`` is None where there is none, or where it is not known.
    """

    deployment: str
    task: str
    answers: int
    rated: int
    mean: float | None = None
    day: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.rated <= self.answers:
            raise ValueError(f"{self.rated} rated of {self.answers} answers cannot be")
        if self.mean is not None and not 0.0 <= self.mean <= 1.0:
            raise ValueError(f"a mean rating lies in [0, 1], not {self.mean!r}")


class Verdict(StrEnum):
    """What may be said of the rates of response."""

    UNEVEN = "uneven"
    EVEN = "even"
    CANNOT_SAY = "cannot say yet"


@dataclass(frozen=True, slots=True)
class Rate:
    """How many of a deployment's answers were rated, with Wilson's interval."""

    deployment: str
    answers: int
    rated: int
    interval: Interval


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict at this look, valid however often one looks, and what it rests on.

    ``e_value``: the evidence against equal rates. ``task`` is the one that carries most of it,
    with the rates in it by deployment; ``rates`` are those over all tasks.
    """

    verdict: Verdict
    reason: str
    e_value: float
    rates: tuple[Rate, ...]
    task: str
    in_task: tuple[Rate, ...]


@dataclass(frozen=True, slots=True)
class Quality:
    """A deployment's mean quality as raters tell it, and what the silent could make of it.

    ``bounds``: the least and the greatest mean, whatever those think who did not rate (Manski,
    AER 1990). ``weighted``: each rating weighted by the inverse of its task's response rate
    (Horvitz and Thompson, JASA 1952; the rates are estimated, so it is Little's (JASA 1993)
    post-stratified mean); None where a task has no rating.
    """

    deployment: str
    bounds: Interval
    weighted: float | None


def wilson(rated: int, answers: int, confidence: float = 0.95) -> Interval:
    """The score interval of a proportion (Wilson, JASA 1927); all of [0, 1] without answers."""
    if not answers:
        return Interval(math.nan, 0.0, 1.0)
    z, share = float(stats.norm.ppf(0.5 + confidence / 2.0)), rated / answers
    shrunk = 1.0 + z * z / answers
    middle = (share + z * z / (2.0 * answers)) / shrunk
    reach = z * math.sqrt(share * (1.0 - share) / answers + z * z / (4.0 * answers**2)) / shrunk
    low = 0.0 if rated == 0 else middle - reach
    return Interval(share, low, 1.0 if rated == answers else middle + reach)


def rates_of(cells: Iterable[Cell]) -> tuple[Rate, ...]:
    """The rate of each deployment, its cells added."""
    sums: dict[str, tuple[int, int]] = {}
    for cell in cells:
        answers, rated = sums.get(cell.deployment, (0, 0))
        sums[cell.deployment] = (answers + cell.answers, rated + cell.rated)
    return tuple(Rate(name, n, r, wilson(r, n)) for name, (n, r) in sorted(sums.items()))


def single_look(cells: Sequence[Cell], rng: np.random.Generator) -> float:
    """The p-value of equal response rates within every task and day, for a single look.

    Pearson's chi-square, added over the strata. Where an expected count is small: the same
    statistic's distribution given the margins (Agresti, Stat. Sci. 1992), by ``DRAWS`` draws of
    ``rng`` with the observed table counted among them (Phipson and Smyth, SAGMB 2010).
    """
    tables = [each for each in _tables(cells) if 0 < each[:, 1].sum() < each[:, 0].sum()]
    if not tables:
        raise CannotSay("no task has rated and unrated answers of two deployments")
    observed = sum(float(_pearson(each[:, 0], each[:, 1][None])[0]) for each in tables)
    if min(_least_expected(each) for each in tables) >= LEAST_EXPECTED:
        return float(stats.chi2.sf(observed, sum(len(each) - 1 for each in tables)))
    drawn = np.zeros(DRAWS)
    for each in tables:
        answers, rated = each[:, 0].astype(np.int64), int(each[:, 1].sum())
        draws = rng.multivariate_hypergeometric(answers, rated, size=DRAWS, method="marginals")
        drawn += _pearson(each[:, 0], draws.astype(np.float64))
    return (1 + int((drawn >= observed - 1e-9).sum())) / (DRAWS + 1)


def log_evidence(cells: Sequence[Cell]) -> float:
    """The logarithm of an e-process against equal rates within every task and day.

    P(it ever reaches log 1/alpha) <= alpha under equal rates, whatever these are and however
    they move from day to day. Universal inference (Wasserman, Ramdas, Balakrishnan, PNAS 2020):
    the forecasts of each deployment's own rate (Beta mixtures over the answers, leaning on
    earlier days) against the best common rate in hindsight.
    """
    before: dict[tuple[str, str], tuple[float, float]] = {}
    total = 0.0
    for _, stratum in sorted(_strata(cells).items(), key=lambda item: (item[0][1], item[0][0])):
        answers = sum(cell.answers for cell in stratum)
        rated = sum(cell.rated for cell in stratum)
        told = -_log_likelihood(rated, answers, rated / answers) if answers else 0.0
        for cell in stratum:
            key = (cell.task, cell.deployment)
            yes, no = before.get(key, (0.0, 0.0))
            told += _log_mixture(cell.rated, cell.answers, PRIOR + yes, PRIOR + no)
            yes, no = yes + cell.rated, no + cell.answers - cell.rated
            kept = min(1.0, CARRIED / max(yes + no, 1.0))
            before[key] = (yes * kept, no * kept)
        if sum(cell.answers > 0 for cell in stratum) > 1:
            total += told
    return total


def judge(cells: Sequence[Cell], alpha: float = 0.001, margin: float = 0.1) -> Report:
    """May ratings be compared across deployments? Valid at any number of looks.

    Uneven: the e-process has reached 1 / ``alpha``. Even: the confidence sequences of all rates
    together span no more than ``margin``. Otherwise nothing can be said yet.
    """
    rates = tuple(rate for rate in rates_of(cells) if rate.answers)
    tasks = sorted({cell.task for cell in cells})
    by_task = {task: [cell for cell in cells if cell.task == task] for task in tasks}
    told = {task: log_evidence(found) for task, found in by_task.items()}
    log_e = sum(told.values())
    task = max(told, key=lambda name: told[name]) if told else ""
    in_task = tuple(rate for rate in rates_of(by_task.get(task, ())) if rate.answers)
    verdict, reason = _verdict(rates, log_e, alpha, margin)
    return Report(verdict, reason, math.exp(min(log_e, 700.0)), rates, task, in_task)


def _verdict(
    rates: Sequence[Rate], log_e: float, alpha: float, margin: float
) -> tuple[Verdict, str]:
    enough = [rate for rate in rates if rate.answers >= LEAST_ANSWERS]
    if len(enough) < 2:
        return Verdict.CANNOT_SAY, f"two deployments need {LEAST_ANSWERS} answers each"
    if log_e >= math.log(1.0 / alpha):
        return Verdict.UNEVEN, "the chance of a rating depends on the deployment"
    spans = [rate_sequence(rate.rated, rate.answers, alpha / len(enough)) for rate in enough]
    spread = max(span.high for span in spans) - min(span.low for span in spans)
    if spread <= margin:
        return Verdict.EVEN, f"all rates lie within {margin:.0%} of each other"
    return Verdict.CANNOT_SAY, f"the rates may still differ by up to {min(spread, 1.0):.0%}"


def rate_sequence(rated: int, answers: int, alpha: float) -> Interval:
    """A proportion's interval that holds at all looks together (Robbins, AMS 1970): the shares
    that the Beta mixture over the answers does not beat by 1 / ``alpha``.
    """
    if not answers:
        return Interval(math.nan, 0.0, 1.0)
    share = rated / answers
    bound = _log_mixture(rated, answers, PRIOR, PRIOR) - math.log(1.0 / alpha)

    def beyond(p: float) -> float:
        return _log_likelihood(rated, answers, p) - bound

    edge = 1e-12
    low = optimize.brentq(beyond, edge, share) if rated and beyond(edge) < 0 else 0.0
    above = rated < answers and beyond(1.0 - edge) < 0
    high = optimize.brentq(beyond, share, 1.0 - edge) if above else 1.0
    return Interval(share, float(low), float(high))


def qualities(cells: Sequence[Cell]) -> tuple[Quality, ...]:
    """Of each deployment the mean rating, its worst-case bounds, and the weighted mean."""
    found = []
    for name in sorted({cell.deployment for cell in cells if cell.answers}):
        own = [cell for cell in cells if cell.deployment == name and cell.answers]
        answers, rated = sum(cell.answers for cell in own), sum(cell.rated for cell in own)
        if any(cell.rated and cell.mean is None for cell in own):
            raise CannotSay(f"the mean rating of {name} is not known everywhere")
        total = sum(cell.rated * (cell.mean or 0.0) for cell in own)
        bounds = Interval(
            total / rated if rated else math.nan,
            total / answers,
            (total + answers - rated) / answers,
        )
        found.append(Quality(name, bounds, _weighted(own)))
    return tuple(found)


def _weighted(own: Sequence[Cell]) -> float | None:
    answers = sum(cell.answers for cell in own)
    mean = 0.0
    for task in {cell.task for cell in own}:
        cells = [cell for cell in own if cell.task == task]
        rated = sum(cell.rated for cell in cells)
        if not rated:
            return None
        weight = sum(cell.answers for cell in cells) / rated  # the inverse of the response rate
        mean += weight * sum(cell.rated * (cell.mean or 0.0) for cell in cells) / answers
    return mean


def _strata(cells: Sequence[Cell]) -> dict[tuple[str, str], list[Cell]]:
    found: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        found.setdefault((cell.task, cell.day), []).append(cell)
    return found


def _tables(cells: Sequence[Cell]) -> list[Counts]:
    """Answers and rated [K, 2] of every stratum in which two deployments answered."""
    tables = []
    for stratum in _strata(cells).values():
        rows = [(cell.answers, cell.rated) for cell in stratum if cell.answers]
        if len(rows) > 1:
            tables.append(np.array(rows, dtype=np.float64))
    return tables


def _pearson(answers: Counts, rated: Counts) -> Counts:
    """Chi-square of tables with the same margins; answers [K], rated [n, K], gives [n]."""
    share = float(rated[0].sum() / answers.sum())
    gaps = (rated - answers * share) ** 2 / (answers * share * (1.0 - share))
    return np.asarray(gaps.sum(1), dtype=np.float64)


def _least_expected(table: Counts) -> float:
    share = float(table[:, 1].sum() / table[:, 0].sum())
    return float(table[:, 0].min()) * min(share, 1.0 - share)


def _log_likelihood(rated: int, answers: int, p: float) -> float:
    return float(special.xlogy(rated, p) + special.xlog1py(answers - rated, -p))


def _log_mixture(rated: int, answers: int, yes: float, no: float) -> float:
    told = special.betaln(yes + rated, no + answers - rated) - special.betaln(yes, no)
    return float(told)
