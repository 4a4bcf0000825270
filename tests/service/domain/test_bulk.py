"""Values are counted as the text's own grammar counts them, however it is written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain import bulk
from service.domain.errors import InvalidRequest

VALUES = st.recursive(
    st.none() | st.integers() | st.text(alphabet='a,"\\{[: \n', max_size=12),
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(st.text(alphabet='k,"\\', max_size=4), inner, max_size=6)
    ),
    max_leaves=40,
)


def counted(value: Any) -> int:
    """Texts, and the commas between values, of a parsed value."""
    if isinstance(value, str):
        return 1
    if isinstance(value, list):
        return max(len(value) - 1, 0) + sum(map(counted, value))
    if isinstance(value, dict):
        return max(len(value) - 1, 0) + len(value) + sum(map(counted, value.values()))
    return 0


@pytest.mark.slow
@settings(derandomize=True, max_examples=300, deadline=None)
@given(value=VALUES, part=st.integers(1, 9))
def test_the_count_is_the_grammars(value: Any, part: int) -> None:
    body = json.dumps(value, ensure_ascii=False).encode()
    right = counted(value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk, "_PART", part)
        bulk.check_bulk(body, right)
        if right:
            with pytest.raises(InvalidRequest, match="values"):
                bulk.check_bulk(body, right - 1)


@pytest.mark.parametrize(
    "body",
    [b"[" + b"0," * 200_000 + b"0]", b"{" + b'"k":0,' * 60_000 + b'"k":0}', b'"' * 300_001,
     b'["' + b'","' * 90_000 + b'"]'],
)  # fmt: skip
def test_too_many_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        bulk.check_bulk(body)
    assert caught.value.code == "too_many_values"


@pytest.mark.parametrize(
    "body",
    [b'["' + b'a,' * 2_000_000 + b'"]', b'["' + b'\\",' * 1_000_000 + b'"]',
     b'["' + b"\\\\" * 1_000_000 + b'"]', b"[" * 2_000_000],
)  # fmt: skip
def test_a_long_text_is_one_value(body: bytes) -> None:
    bulk.check_bulk(body)
