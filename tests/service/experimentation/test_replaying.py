"""A watch fed by history stands where one stands that was fed as it happened."""

from __future__ import annotations

import numpy as np

from experiments.design import Experiment, Guardrail, Variant
from experiments.guardrails import share_against_control, watches
from service.experimentation.replaying import replay, units_seen


def test_from_history_as_live() -> None:
    variants = (Variant("a", 0.5), Variant("b", 0.3), Variant("c", 0.2))
    design = Experiment("one", "h", variants, ("quality",),
                        (Guardrail("error_rate"), Guardrail("success_rate")))  # fmt: skip
    rng = np.random.default_rng(3)
    names = np.array(["a", "b", "c"])[rng.choice(3, 400, p=[0.5, 0.3, 0.2])]
    status = np.where(rng.random(400) < 0.2, 503.0, 200.0)
    status[::50] = np.nan
    shares = {"a": 0.5, "b": 0.3, "c": 0.2}
    frame = {
        "unit": np.array([f"u{i % 300}" for i in range(400)], dtype=object),
        "variant": names.astype(object), "ts_us": np.arange(400, dtype=np.int64) * 10,
        "share": np.array([shares[each] for each in names]), "status": status,
    }  # fmt: skip
    live, after = watches(design), watches(design)
    for row in range(400):
        for (metric, treatment), watch in live.items():
            failed = status[row] >= 500 if metric == "error_rate" else status[row] != 200
            if np.isnan(status[row]) or not failed or names[row] not in ("a", treatment):
                continue
            share = share_against_control(design, treatment, names[row], shares[names[row]])
            unit = str(frame["unit"][row])
            watch.failed(float(share), bool(names[row] == treatment), unit, row * 10)
    replay(design, frame, after)
    assert len(live) == 4
    for key, watch in live.items():
        assert watch.failures == after[key].failures and sum(watch.failures) > 10
        assert abs(watch.log_e - after[key].log_e) < 1e-9
        assert watch.onset_us == after[key].onset_us
    seen = units_seen(frame, 20)
    assert {len(units) for units in seen.values()} == {20}
