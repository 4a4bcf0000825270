"""What a variant may change of the routing: one row a parameter, read where it takes effect."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.domain.errors import Unprocessable

VERSION, DEPLOYMENT, TIER = "version", "deployment", "tier"
USE, EXCLUDE = "use", "exclude"
MIN_QUALITY, MAX_COST, QUALITY_COST = "min_quality", "max_cost_usd", "quality_cost"


@dataclass(frozen=True, slots=True)
class Known:
    """What a setting may name: the deployments, and the versions that are kept."""

    deployments: frozenset[str]
    versions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Parameter:
    """``read`` makes the value of a setting's text, or raises ValueError that says what it takes.

    ``decides``: whether it settles who answers, so that only one such may apply to a request.
    """

    name: str
    meaning: str
    read: Callable[[str, Known], Any]
    decides: bool = False


def _deployment(text: str, known: Known) -> str:
    if text in known.deployments:
        return text
    near = difflib.get_close_matches(text[:100], known.deployments, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known.deployments))}"
    raise ValueError(f"there is no deployment {text[:64]!r}; {hint}")


def _version(text: str, known: Known) -> str:
    if text in known.versions:
        return text
    near = [each for each in known.versions if text and each.startswith(text)]
    hint = f"did you mean {near[0]}?" if len(near) == 1 else "see headgate policy list"
    raise ValueError(f"there is no version {text[:64]!r}, give a whole id; {hint}")


def _deployments(text: str, known: Known) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise ValueError("names no deployment; give some, parted by commas")
    return tuple(_deployment(name, known) for name in names)


def _tiers(text: str, known: Known) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for part in text.split(","):
        task, equals, name = (each.strip() for each in part.partition("="))
        if not (task and equals and name) or task in found:
            raise ValueError("give each task once with its deployment, as code=small, chat=wide")
        found[task] = _deployment(name, known)
    return found


def _number(least: float, most: float) -> Callable[[str, Known], float]:
    def read(text: str, _: Known) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not least <= number <= most:
            raise ValueError(f"{text[:32]!r} is no number from {least:g} to {most:g}")
        return number

    return read


PARAMETERS: Mapping[str, Parameter] = {
    each.name: each
    for each in (
        Parameter(VERSION, "the policy version that decides", _version, decides=True),
        Parameter(DEPLOYMENT, "the deployment that answers all, where it is eligible",
                  _deployment, decides=True),
        Parameter(TIER, "the deployments that answer single tasks, as code=small",
                  _tiers, decides=True),
        Parameter(USE, "only these deployments may answer", _deployments),
        Parameter(EXCLUDE, "these deployments may not answer", _deployments),
        Parameter(MIN_QUALITY, "the least predicted quality", _number(0.0, 1.0)),
        Parameter(MAX_COST, "the most predicted dollars a request", _number(0.0, 1e6)),
        Parameter(QUALITY_COST, "the dial where the request sets none: 0 quality, 1 thrift",
                  _number(0.0, 1.0)),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Treatment:
    """The settings that apply to one request, read; of ``PARAMETERS``."""

    values: Mapping[str, Any] = field(default_factory=dict)

    def get(self, name: str) -> Any:
        """A setting's value, None where no variant sets it."""
        return self.values.get(name)

    def without(self, name: str) -> Treatment:
        """All but one setting."""
        return Treatment({key: value for key, value in self.values.items() if key != name})

    def __add__(self, other: Treatment) -> Treatment:
        return Treatment({**self.values, **other.values}) if other.values else self

    def __bool__(self) -> bool:
        return bool(self.values)


NO_TREATMENT = Treatment()


def treatment(settings: Sequence[tuple[str, str]], known: Known, field_: str) -> Treatment:
    """A variant's settings, read; raises Unprocessable that names the setting and the mend."""
    values: dict[str, Any] = {}
    for name, text in settings:
        parameter = PARAMETERS.get(name)
        if parameter is None:
            near = difflib.get_close_matches(name[:64], PARAMETERS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(PARAMETERS)}"
            raise Unprocessable(f"{field_}.{name[:64]}: no such setting; {hint}", param=field_)
        try:
            values[name] = parameter.read(text, known)
        except ValueError as error:
            raise Unprocessable(f"{field_}.{name}: {error}", param=f"{field_}.{name}") from None
    return Treatment(values)
