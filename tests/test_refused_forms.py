"""What an engine refuses of a document decides its next form: little is set aside, and there is an end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from request_logger.documents.document import MAX_REFUSALS, PARTS, degrade, expand
from request_logger.store.indices.templates import mapping

LIMIT = "illegal_argument_exception: Limit of total fields [2300] has been exceeded while adding new fields [3]"
STRICT = "strict_dynamic_mapping_exception: [1:7] dynamic introduction of [{}] within [{}] is not allowed"
OBJECT = "object mapping for [{0}] tried to parse field [{0}] as object, but found a concrete value"
TYPE = "mapper_parsing_exception: failed to parse field [{}] of type [boolean] in document with id 'r'"


def document() -> dict[str, Any]:
    return {
        "RequestId": "r",
        "request": {
            "elements": {"age": 1, "income": 2},
            "instance": [1, 2],
            "dataType": "tabular",
            "ce-time": "2026-01-01T00:00:00Z",
            "more": {"of": "theirs"},
        },
        "response": {"elements": {"a": 0.3, "b": 0.7}, "instance": [0.3, 0.7], "names": ["a", "b"]},
        "feedback": {"reward": 1, "truth": {"data": {"ndarray": ["b"]}}, "theirs": 7},
        "metrics": {"correct": 1, "log_loss": 0.3, "gauge__one": 0.5, "gauge__two": 0.7},
    }


def aside(refused: dict[str, Any] | None) -> dict[str, list[str]]:
    """What is text, by part; of metrics that are left out nothing is said."""
    assert refused is not None
    return {
        part: sorted(json.loads(content["unindexed"])) for part, content in refused.items() if "unindexed" in content
    }


def whole(refused: dict[str, Any] | None) -> dict[str, Any]:
    assert refused is not None
    return {name: expand(content) if isinstance(content, dict) else content for name, content in refused.items()}


def without_metrics(given: dict[str, Any]) -> dict[str, Any]:
    return {name: content for name, content in given.items() if name != "metrics"}


BROUGHT = {"request": ["elements", "more"], "response": ["elements"], "feedback": ["theirs"]}


def test_no_room_for_more_fields() -> None:
    """The names that the document brings are set aside: feedback and the scorer's fields stay."""
    refused = degrade(document(), [LIMIT])
    assert aside(refused) == {**BROUGHT, "metrics": ["gauge__one", "gauge__two"]}
    assert whole(refused) == document()


def test_metrics_go_before_other_parts() -> None:
    """They can be had again by scoring: first as text, then not at all, while the feedback stays as it is."""
    refused = degrade(document(), [LIMIT] * 2)
    assert aside(refused) == {**BROUGHT, "metrics": ["correct", "gauge__one", "gauge__two", "log_loss"]}
    refused = degrade(document(), [LIMIT] * 3)
    assert aside(refused) == BROUGHT
    assert whole(refused) == without_metrics(document())


@pytest.mark.parametrize("metrics", [True, False])
def test_a_reason_that_never_names_anything(metrics: bool) -> None:
    """Each form has less to refuse; the last two are text alone, with and without metrics; then there is none."""
    given = document() if metrics else without_metrics(document())
    forms = []
    while (form := degrade(given, [LIMIT] * (len(forms) + 1))) is not None:
        forms.append(form)
    assert len(forms) == (MAX_REFUSALS if metrics else 3)
    texts = [json.dumps(form, sort_keys=True) for form in forms]
    assert len(set(texts)) == len(texts)
    for name in ("request", "response", "feedback"):
        assert set(forms[-1][name]) == {"unindexed", "unindexed_reason"}
    assert "metrics" not in forms[-1]


@pytest.mark.parametrize(
    ("reasons", "text"),
    [
        ([STRICT.format("age", "request.elements")], {"request": ["elements"]}),
        ([STRICT.format("more", "request")], {"request": ["more"]}),
        ([STRICT.format("elements", "request")], {"request": ["elements", "more"]}),
        ([STRICT.format("gauge__one", "metrics")], {"metrics": ["gauge__one", "gauge__two"]}),
        ([STRICT.format("log_loss", "metrics")], {"metrics": ["log_loss"]}),
        ([STRICT.format("theirs", "feedback")], {"feedback": ["theirs"]}),
        ([STRICT.format("truth", "feedback")], {"feedback": ["truth"]}),
        ([STRICT.format("of", "request.more")], {"request": ["more"]}),
        ([TYPE.format("metrics.correct")], {"metrics": ["correct"]}),
        (
            [TYPE.format("feedback.reward"), TYPE.format("metrics.correct")],
            {"feedback": ["reward"], "metrics": ["correct"]},
        ),
        ([OBJECT.format("response")], {"response": ["elements", "instance", "names"]}),
        ([OBJECT.format("request")], {"request": ["elements", "instance", "more"]}),
        ([OBJECT.format("metrics")], {"metrics": ["correct", "gauge__one", "gauge__two", "log_loss"]}),
    ],
)  # fmt: skip
def test_only_what_is_named(reasons: list[str], text: dict[str, list[str]]) -> None:
    """Nothing is lost, and no other part changes."""
    refused = degrade(document(), reasons)
    assert aside(refused) == text
    assert whole(refused) == document()


@pytest.mark.parametrize(
    "reasons",
    [
        [STRICT.format("metrics", "_doc")],
        [STRICT.format("log_loss", "metrics"), STRICT.format("unindexed", "metrics")],
        [OBJECT.format("metrics")] * 2,
        [TYPE.format("metrics.correct")] * 2,
    ],
)
def test_an_index_that_takes_no_metrics(reasons: list[str]) -> None:
    """They are left out, and all else is indexed as before."""
    refused = degrade(document(), reasons)
    assert aside(refused) == {}
    assert refused == without_metrics(document())


def test_a_strict_mapping_with_many_columns() -> None:
    """The first that is refused is set aside alone, the second one takes all with it: a refusal costs a round trip."""
    reasons = [STRICT.format(name, "request.elements") for name in ("age", "income")]
    wide = document()
    wide["request"]["elements"] = dict.fromkeys(("age", "income", "zip"), 1)
    first, second = degrade(wide, reasons[:1]), degrade(wide, reasons)
    assert first is not None and second is not None
    assert first["request"]["elements"] == {"income": 1, "zip": 1}
    assert "elements" not in second["request"]
    assert aside(second) == {"request": ["elements"]}


NAMES = [
    "request", "request.elements", "request.elements.age", "request.more", "request.more.of", "response.elements.b.c",
    "response.names", "feedback", "feedback.reward", "metrics", "metrics.correct", "metrics.gauge__one.x", "@timestamp",
    "outlier", "nodes", "metrics.unindexed", "feedback.unindexed_reason", "request.", "metrics.", "_doc",
]  # fmt: skip
REASONS = st.one_of(
    st.just(LIMIT),
    st.text(max_size=20),
    st.builds(TYPE.format, st.sampled_from(NAMES)),
    st.builds(OBJECT.format, st.sampled_from(NAMES)),
    st.builds(
        STRICT.format,
        st.sampled_from(["age", "b", "of", "truth", "metrics", "unindexed", ""]),
        st.sampled_from(NAMES),
    ),
)  # fmt: skip


@given(
    st.lists(REASONS, min_size=MAX_REFUSALS + 1, max_size=MAX_REFUSALS + 1),
    st.sets(st.sampled_from([*PARTS, "metrics"])),
)
def test_whatever_an_engine_says(reasons: list[str], left_out: set[str]) -> None:
    """No two forms in a row are one, nothing is lost but metrics, there is an end, and the document is not changed."""
    given_document = {name: content for name, content in document().items() if name not in left_out}
    before = json.dumps(given_document)
    last = None
    for count in range(1, len(reasons) + 1):
        form = degrade(given_document, reasons[:count])
        if form is None:
            break
        shown = json.dumps(form, sort_keys=True).replace(json.dumps(reasons[count - 1]), "")
        assert shown != last
        last = shown
        assert without_metrics(whole(form)) == without_metrics(given_document)
        if "metrics" in form:
            assert expand(form["metrics"]) == given_document["metrics"]
    else:
        raise AssertionError("there is no end")
    assert json.dumps(given_document) == before


def test_a_field_whose_own_name_is_illegal() -> None:
    """It is set aside before anything else is, where the engine names nothing."""
    odd = document()
    odd["feedback"]["a..b"] = 1
    assert aside(degrade(odd, ["field name cannot contain only whitespace"])) == {"feedback": ["a..b"]}


def test_a_document_of_metrics_alone() -> None:
    """It has few forms: as text, left out, and as text again; then there is an end, and no way back."""
    given_document = {"RequestId": "r", "metrics": {"correct": 1}}
    forms = [degrade(given_document, [LIMIT] * count) for count in range(1, MAX_REFUSALS + 1)]
    assert [form and "metrics" in form for form in forms[:4]] == [True, False, True, False]
    assert forms[4:] == [None, None]


@pytest.mark.parametrize(
    ("part", "field"),
    [
        (part, field)
        for part in PARTS
        for field, kind in mapping()["properties"][part]["properties"].items()
        if kind.get("enabled") is False
    ],
)
def test_names_within_what_is_not_indexed(part: str, field: str) -> None:
    """An engine doesn't refuse them, so they stay; where it names nothing, only illegal names elsewhere go."""
    odd = {"RequestId": "r", part: {field: {"a..b": 1}, "theirs": {"c": [{"": 1}]}, "more": {"d": 1}}}
    assert aside(degrade(odd, ["field name cannot contain only whitespace"])) == {part: ["theirs"]}
