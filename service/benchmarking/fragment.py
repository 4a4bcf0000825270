"""The rules that a benchmark carries, as a fragment of the plan, each with its reason."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.benchmarking.revising import Revision

PRIOR = "prior_quality"


def fragment(rules: Sequence[Revision], run_id: str) -> str:
    """YAML to paste into the plan; empty where no interval carries a change."""
    routed = [each for each in rules if each.kind != PRIOR]
    priors = [each for each in rules if each.kind == PRIOR]
    lines = [f"# By the benchmark {run_id}."] if rules else []
    if routed:
        lines += ["# Before your own rules: the first that holds decides.", "rules:"]
        for each in routed:
            lines += [
                f"  # {_line(each.reason)}",
                f"  - task: {each.task}",
                f"    {each.kind}: [{', '.join(each.arms)}]",
            ]
    if priors:
        lines.append("# Under deployments, in the place of what is declared there:")
        for each in priors:
            lines.append(f"#   {each.arms[0]}: prior_quality: {each.value}  ({_line(each.reason)})")
    return "\n".join(lines) + ("\n" if lines else "")


def _line(text: str) -> str:
    return " ".join(text.split())
