"""A biased judge in the simulated world: how far its mean is off, and whether correction covers.

    python -m benchmarks.judging [--sims 400] [--answers 400] [--figure docs/judge.svg]

Each run draws other luck for the judge and other lots; the answers of a deployment, whose mean true
quality is known, stay. A share of them is judged, and of these a share is rated by people, whose
rating is the true quality.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np

from experiments.errors import CannotSay
from experiments.statistics.judged_quality import JudgedQuality, Sampled, judged_quality
from service.domain.judging import LEVELS
from service.providers.simulated import Stream, prompts
from service.providers.simulated_judge import JUDGES, JudgeCharacter, Shown, level

DRAWN, RATED = 0.5, 0.2  # of the answers; of the judged ones
FILLER = 5  # characters of a token, as the simulated answers have them


@dataclass(frozen=True, slots=True)
class Told:
    """One deployment over all runs."""

    name: str
    true: float
    naive: float
    naive_covers: float
    corrected: float
    corrected_covers: float
    width: float
    people_width: float
    one: JudgedQuality


def score(who: JudgeCharacter, shown: Shown, seed: str) -> float:
    """Both ways round, as the service asks."""
    up = level(who, shown, LEVELS, True, seed) / (LEVELS - 1)
    down = 1.0 - level(who, shown, LEVELS, False, seed) / (LEVELS - 1)
    return (up + down) / 2.0


def measured(name: str, who: JudgeCharacter, answers: int, sims: int) -> Told:
    """A deployment's answers, judged in so many runs."""
    world = Stream(seed=3)
    shown = [world.answer(name, text, 1) for text in prompts(3, answers)]
    true = np.array([each.quality for each in shown])
    texts = ["x" * (each.tokens_out * FILLER) for each in shown]
    found: list[JudgedQuality] = []
    for sim in range(sims):
        chance = np.random.default_rng([sim, len(name)])
        judged = np.flatnonzero(chance.random(answers) < DRAWN)
        scores = np.array([
            score(who, Shown(float(true[at]), f"{texts[at]}{at}"), f"{sim}") for at in judged
        ])  # fmt: skip
        labels = np.where(chance.random(len(judged)) < RATED, true[judged], np.nan)
        ones = np.ones(len(judged))
        told = judged_quality(
            Sampled(scores, labels, ones * DRAWN, ones * RATED, judged.astype(float))
        )
        if not isinstance(told, CannotSay):
            found.append(told)
    mean = float(true.mean())

    def covers(name: str) -> float:
        each = [getattr(one, name) for one in found]
        return float(np.mean([one.low <= mean <= one.high for one in each]))

    return Told(
        name, mean, float(np.mean([each.judge.estimate for each in found])), covers("judge"),
        float(np.mean([each.corrected.estimate for each in found])), covers("corrected"),
        float(np.mean([each.corrected.high - each.corrected.low for each in found])),
        float(np.mean([each.people.high - each.people.low for each in found])), found[0],
    )  # fmt: skip


def picture(told: list[Told], path: str, judge: str) -> None:
    """One run of each deployment: the judge alone, people alone, and corrected."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "headgate"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.2))
    for at, each in enumerate(told):
        for shift, interval, colour, what in (
            (-0.2, each.one.judge, "#b3541e", "judge alone"),
            (0.0, each.one.people, "#888888", "people alone"),
            (0.2, each.one.corrected, "#1e6fb3", "judge corrected by people"),
        ):
            reach = [[interval.estimate - interval.low], [interval.high - interval.estimate]]
            axes.errorbar(at + shift, interval.estimate, reach, fmt="o", color=colour, ms=4,
                          label=what if at == 0 else None)  # fmt: skip
        axes.hlines(each.true, at - 0.35, at + 0.35, colors="black", linestyles="dashed",
                    label="truth" if at == 0 else None)  # fmt: skip
    axes.set_xticks(range(len(told)), [each.name for each in told])
    axes.set_ylabel("mean quality, 95 %")
    axes.set_title(f"{judge} judges, with its known biases", fontsize=10)
    axes.legend(fontsize=7, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Print the table, and draw one run."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--sims", type=int, default=400)
    asked.add_argument("--answers", type=int, default=400)
    asked.add_argument("--judge", default="mill", choices=sorted(JUDGES))
    asked.add_argument("--figure", default="")
    given = asked.parse_args()
    names = [each for each in Stream().models if each != given.judge]
    told = [measured(name, JUDGES[given.judge], given.answers, given.sims) for name in names]
    print("| deployment | truth | judge | covers | corrected | covers | width | people |")
    print("|---|---|---|---|---|---|---|---|")
    for each in told:
        print(
            f"| {each.name} | {each.true:.3f} | {each.naive:.3f} | {each.naive_covers:.1%} | "
            f"{each.corrected:.3f} | {each.corrected_covers:.1%} | {each.width:.3f} | "
            f"{each.people_width:.3f} |"
        )
    if given.figure:
        picture(told, given.figure, given.judge)


if __name__ == "__main__":
    main()
