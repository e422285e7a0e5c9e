"""The documents that `python -m bench.slices` measures with, and its table."""

from __future__ import annotations

import json

from bench.slices import PAGE, Measured, documents, table


def test_documents() -> None:
    """They are as stored ones, in all folds; those of the worse slice have more errors."""
    made = [json.loads(line) for line in documents(2000, 20)]
    assert len(made) == 2000
    assert {len(each["request"]["elements"]) for each in made} == {20}
    assert {each["fold"] for each in made} == set(range(20))
    kinds = {type(value) for each in made for value in each["request"]["elements"].values()}
    assert kinds == {float, str, bool}
    wrong: dict[bool, list[int]] = {True: [], False: []}
    # Half of the audited predictions lack a truth.
    assert [sum(each.get("audit", False) for each in made if ("metrics" in each) is has) for has in (True, False)] == [
        20,
        20,
    ]
    assert len({each["@timestamp"] for each in made}) == 60
    for each in made:
        if "metrics" not in each:
            continue
        assert each["metrics"]["scorer"] == "binary" and "score_bin" in each["metrics"]
        wrong[each["request"]["elements"]["text_0"] == "value 0"].append(1 - each["metrics"]["correct"])
    assert sum(wrong[True]) / len(wrong[True]) > 1.5 * sum(wrong[False]) / len(wrong[False])


def test_table() -> None:
    """It has one line per command, and its place is on the page."""
    lines = table(100_000, 100, [Measured("slices", 12.34, 5.0, 81.9)]).splitlines()
    assert lines[-1] == "| slices | 12.3 | 5.0 | 82 |"
    assert "100,000 predictions with 100 fields" in lines[0]
    assert PAGE.read_text(encoding="utf-8").count("<!-- bench: `python -m bench.slices` -->") == 1
