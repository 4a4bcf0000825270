"""The watches of an experiment after the failures that the log knows: where a restart goes on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from experiments.design import Experiment
from experiments.guardrails import RateWatch, share_against_control
from experiments.metrics import METRICS, Direction, Frame

Watches = Mapping[tuple[str, str], RateWatch]


def replay(design: Experiment, frame: Frame, watches: Watches) -> None:
    """Feed every watch, by metric and treatment, with the failures of a frame in their order."""
    variants = np.asarray(frame["variant"]).astype(str)
    shares = np.asarray(frame["share"], dtype=np.float64)
    units = np.asarray(frame["unit"]).astype(str)
    at_us = np.asarray(frame["ts_us"], dtype=np.int64)
    control = design.control.name
    for (slug, treatment), watch in watches.items():
        row = METRICS[slug]
        measured = row.measure(frame)
        failed = measured.rows[measured.values == (1.0 if row.direction is Direction.DOWN else 0.0)]
        against = np.full(len(variants), np.nan)
        for name in (control, treatment):
            mine = failed[variants[failed] == name]
            against[mine] = share_against_control(design, treatment, name, shares[mine])
        kept = failed[np.isfinite(against[failed])]
        watch.replay(against[kept], variants[kept] == treatment, units[kept].tolist(), at_us[kept])


def units_seen(frame: Frame, most: int) -> dict[str, set[str]]:
    """The units of each variant, as many as are asked for at most."""
    variants = np.asarray(frame["variant"]).astype(str)
    units = np.asarray(frame["unit"]).astype(str)
    return {
        name: set(np.unique(units[variants == name])[:most].tolist())
        for name in np.unique(variants).tolist()
    }
