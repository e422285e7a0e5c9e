"""A part of the documents as conditions, by which a page lists the documents of a slice."""

from __future__ import annotations

import math
from typing import Any

import pytest

from request_logger.analytics.conditions import Condition
from request_logger.analytics.fields import Field
from request_logger.analytics.slices.parts import Part

TEXT = Field("country", "request.meta.tags.country.keyword", is_number=False)
AGE = Field("age", "request.elements.age", is_number=True)


@pytest.mark.parametrize(
    ("part", "conditions"),
    [
        (Part(TEXT, "DE", "DE"), ["request.meta.tags.country.keyword=DE"]),
        (Part(TEXT, "a=b", "a=b"), ["request.meta.tags.country.keyword=a=b"]),
        (Part(TEXT, "missing"), ["request.meta.tags.country.keyword="]),
        (Part(AGE, "", None, -math.inf, 30.5), ["request.elements.age<30.5"]),
        (Part(AGE, "", None, 0.1, math.inf), ["request.elements.age>=0.1"]),
        (Part(AGE, "", None, 1.0, 2.0), ["request.elements.age>=1.0", "request.elements.age<2.0"]),
        (Part(AGE, "all", None, -math.inf, math.inf), ["request.elements.age!="]),
        # They would be read as wildcards, or without their blanks.
        (Part(TEXT, "", "D*"), None),
        (Part(TEXT, "", "D?"), None),
        (Part(TEXT, "", " DE"), None),
        (Part(TEXT, "", "a\nb"), None),
        (Part(TEXT, "", ""), None),
        (Part(Field("a>b", "request.elements.a>b", is_number=True), "", None, 1.0, 2.0), None),
    ],
)
def test_conditions(part: Part, conditions: Any) -> None:
    assert part.conditions == conditions
    for text in conditions or ():
        condition = Condition.of(text)
        assert condition.name == part.field.path
        assert condition.value == str(part.value or condition.value)
