"""What a variant may set: read once, each refusal naming the setting and the mend."""

from __future__ import annotations

import pytest

from service.domain.errors import Unprocessable
from service.routing.treatments import NO_TREATMENT, PARAMETERS, Known, Treatment, treatment

KNOWN = Known(frozenset({"small", "wide"}), frozenset({"v-1"}))


def test_every_parameter_is_read() -> None:
    texts = {
        "version": "v-1", "deployment": "wide", "tier": "code=small, chat = wide",
        "use": "small, wide", "exclude": "small",
        "min_quality": "0.5", "max_cost_usd": "0.01", "quality_cost": "1",
    }  # fmt: skip
    assert set(texts) == set(PARAMETERS)
    found = treatment(tuple(texts.items()), KNOWN, "variants.b.settings")
    assert found.get("use") == ("small", "wide") and found.get("min_quality") == 0.5
    assert found.get("tier") == {"code": "small", "chat": "wide"}
    assert found.get("version") == "v-1" and found and not NO_TREATMENT
    assert found.without("version").get("version") is None
    assert (NO_TREATMENT + found).get("deployment") == "wide"
    assert (found + Treatment({"deployment": "small"})).get("deployment") == "small"


@pytest.mark.parametrize(("name", "text", "said"), [
    ("deploymnt", "wide", "did you mean deployment"),
    ("colour", "red", "known: version, deployment"),
    ("deployment", "wiide", "did you mean wide"),
    ("version", "v-9", "no version 'v-9', give a whole id"),
    ("tier", "code=smal", "did you mean small"), ("tier", "code", "give each task once"),
    ("tier", "code=small, code=wide", "give each task once"),
    ("use", " , ", "names no deployment"),
    ("min_quality", "1.5", "no number from 0 to 1"),
    ("quality_cost", "nan", "no number from 0 to 1"),
    ("max_cost_usd", "cheap", "no number from 0"),
])  # fmt: skip
def test_refused_by_name(name: str, text: str, said: str) -> None:
    with pytest.raises(Unprocessable, match="variants.b.settings." + name) as refused:
        treatment(((name, text),), KNOWN, "variants.b.settings")
    assert said in refused.value.message
