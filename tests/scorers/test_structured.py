"""Text that can't be a class name: records in text form, and very long answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scorers.base import UnscorableError
from scorers.reasons import Reason
from scorers.structured import check_comparable_text, is_structured

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
RECORD = '{"class": "cat", "score": 0.9}'


@given(value=JSON)
@example(value=[float("inf")])
@example(value={"score": float("-inf")})
@example(value=[float("nan")])
def test_any_json_and_python_literal(value: Any) -> None:
    """A list or an object is structured in both languages; a scalar is not."""
    is_holder = isinstance(value, (list, dict))
    for text in (json.dumps(value), f" {json.dumps(value, indent=1)}\n", repr(value)):
        found = is_structured(text)
        # A text may be a record itself.
        assert found or not is_holder
        assert not found or is_holder or isinstance(value, str)


@pytest.mark.parametrize(
    ("text", "structured"),
    [
        ("", False),
        ("cat", False),
        ("{cat}", False),
        ("[cat] and [dog]", False),
        ("[1, 2", False),
        ("[cat, inf]", False),
        ("inf", False),
        ("{'class': 'cat', 'score': nan}", True),
        ("1, 2]", False),
        ("(1, 2)", False),
        ("{1: 'a', None: (2,)}", True),
        ("0.93:7", True),
        ("-0.93:7:tabby", True),
        ("9.3e-05:7:tabby\ncat", True),
        ("1.:7", True),
        ("93:7", False),
        ("0.93:tabby", False),
        ("at 0.93:7", False),
        ("0.93:7 at", False),
        ("tensor([1., 2.])", True),
        ("array(\n3)", True),
        ("tensor(3", False),
        ("my tensor(3)", False),
        ("{" * 10_000 + "}" * 10_000, False),
        ("{" * 10_001 + "}" * 10_000, True),
    ],
)
def test_structured(text: str, structured: bool) -> None:
    """Literals, a class with its score, tensors; very long text in brackets isn't parsed, and counts as a record."""
    assert is_structured(text) is structured


@pytest.mark.parametrize(
    ("truth", "prediction", "reason"),
    [
        ("cat", RECORD, Reason.PREDICTION_STRUCTURED),
        (RECORD, "cat", Reason.TRUTH_STRUCTURED),
        (RECORD, RECORD, None),
        (RECORD, 1, Reason.TRUTH_STRUCTURED),
        (["cat", RECORD], ["dog"], Reason.TRUTH_STRUCTURED),
        (["cat", "dog"], (RECORD,), Reason.PREDICTION_STRUCTURED),
        ([1, RECORD], ["dog"], None),
        ([], {}, None),
        ("x" * 512, "cat", None),
        ("x" * 513, "cat", Reason.TRUTH_LONG_TEXT),
        ("cat", ["x" * 513], Reason.PREDICTION_LONG_TEXT),
        ("x" * 513, "y" * 600, None),
    ],
)
def test_sides_that_can_be_compared(truth: Any, prediction: Any, reason: Reason | None) -> None:
    """Only where one side has such a text and the other has none; the side is named."""
    if reason is None:
        check_comparable_text(truth, prediction)
        return
    with pytest.raises(UnscorableError, match=reason.name.partition("_")[0].lower()) as caught:
        check_comparable_text(truth, prediction)
    assert caught.value.reason == reason
