"""What Grafana's Elasticsearch data source and Kibana send for a panel, and how they read the answer.

Written after Grafana's `pkg/tsdb/elasticsearch` (9 to 13) and Kibana's aggregation configs (7.10): the parts that our
panels use, and an error for any other.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Json = dict[str, Any]
Rows = list[tuple[tuple[Any, ...], tuple[Any, ...]]]

_LUCENE = re.compile(r'([!*+\-=<>\s&|()\[\]{}^~?:\\/"])')


def grafana_text(text: str, variables: Mapping[str, str | Sequence[str]]) -> str:
    """Put variables into a Lucene query: a text as it is (an interval, "All"), chosen values as ("a" OR "b")."""

    def value(match: re.Match[str]) -> str:
        chosen = variables[match.group(1)]
        if isinstance(chosen, str):
            return chosen
        return "(" + " OR ".join('"' + _LUCENE.sub(r"\\\1", each) + '"' for each in chosen) + ")"

    return re.sub(r"\$(\w+)", value, text)


def grafana_quoted(value: str) -> str:
    """One value as it is put into a Lucene query where a panel is repeated for it."""
    return _LUCENE.sub(r"\\\1", value)


def grafana_math(expression: str, tables: Mapping[str, Rows]) -> Rows:
    """The values of an expression over queries of one figure each, row by row; None where it isn't a number.

    The operators mean the same in Grafana's expressions and in Python: a power binds more tightly than a product, that
    more tightly than a sum.
    """
    code = compile(ast.parse(re.sub(r"\$([A-Z])", r"\1", expression), mode="eval"), "expression", "eval")
    known = (ast.Expression, ast.BinOp, ast.Name, ast.Load, ast.Constant, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)
    parsed = ast.walk(ast.parse(re.sub(r"\$([A-Z])", r"\1", expression), mode="eval"))
    assert all(isinstance(node, known) for node in parsed)
    rows: Rows = []
    for found in zip(*tables.values(), strict=True):
        (keys,) = {row[0] for row in found}
        values = {name: value for name, (_, (value,)) in zip(tables, found, strict=True)}
        try:
            rows.append((keys, (eval(code, {}, values),)))
        except (TypeError, ZeroDivisionError):
            # Null in one is null in all; 0/0 is NaN there, and shown as nothing.
            rows.append((keys, (None,)))
    return rows


def grafana_body(target: Json, variables: Mapping[str, str | Sequence[str]], start: int, end: int) -> Json:
    """The search of one target between two times (ms)."""
    assert target["timeField"] == "@timestamp"
    query = grafana_text(target["query"], variables)
    filters = [
        {"range": {"@timestamp": {"gte": start, "lte": end, "format": "epoch_millis"}}},
        {"query_string": {"analyze_wildcard": True, "query": query}},
    ]
    inner = {
        m["id"]: {m["type"]: {"field": grafana_text(m["field"], variables)}}
        for m in target["metrics"]
        if m["type"] != "count"
    }
    for bucket in reversed(target["bucketAggs"]):
        inner = {bucket["id"]: {**_grafana_bucket(bucket, variables, start, end), "aggs": inner}}
    return {"size": 0, "query": {"bool": {"filter": filters}}, "aggs": inner}


def _grafana_bucket(bucket: Json, variables: Mapping[str, Any], start: int, end: int) -> Json:
    settings = bucket["settings"]
    if bucket["type"] == "terms":
        order = {"_term": "_key"}.get(settings["orderBy"], settings["orderBy"])
        return {
            "terms": {
                "field": bucket["field"],
                "size": int(settings["size"]),
                "order": {order: settings["order"]},
                "min_doc_count": int(settings["min_doc_count"]),
            }
        }
    if bucket["type"] == "filters":
        made = {
            each["label"]: {"query_string": {"query": each["query"], "analyze_wildcard": True}}
            for each in settings["filters"]
        }
        return {"filters": {"filters": made}}
    assert bucket["type"] == "date_histogram"
    interval = grafana_text(settings["interval"], variables)
    return {
        "date_histogram": {
            "field": bucket["field"],
            "fixed_interval": "12h" if interval == "auto" else interval,
            "min_doc_count": int(settings["min_doc_count"]),
            "extended_bounds": {"min": start, "max": end},
            "format": "epoch_millis",
        }
    }


def grafana_rows(target: Json, aggregations: Json) -> Rows:
    """The answer as a table: the keys of the buckets, and the values of the metrics."""
    figures = [(m["id"], m["type"]) for m in target["metrics"]]
    return list(_rows([b["id"] for b in target["bucketAggs"]], figures, aggregations, ()))


def _rows(
    buckets: Sequence[str], figures: Sequence[tuple[str, str]], found: Json, keys: tuple[Any, ...]
) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    if not buckets:
        yield keys, tuple(found["doc_count"] if kind == "count" else found[id]["value"] for id, kind in figures)
        return
    inner = found[buckets[0]]["buckets"]
    named = inner.items() if isinstance(inner, dict) else ((bucket["key"], bucket) for bucket in inner)
    for key, bucket in named:
        yield from _rows(buckets[1:], figures, bucket, (*keys, key))


def grafana_panels(dashboard: Json) -> dict[str, Json]:
    """All panels but the headings, by their title."""
    found: dict[str, Json] = {}
    for panel in dashboard["panels"]:
        for each in [*panel.get("panels", []), panel]:
            if each["type"] != "row":
                assert each["title"] not in found
                found[each["title"]] = each
    return found


def kibana_body(visualization: Json, chosen: Sequence[Json], start: int, end: int) -> Json:
    """The search of one visualization; ``chosen`` are the filters of the controls."""
    attributes = visualization["attributes"]
    source = json.loads(attributes["kibanaSavedObjectMeta"]["searchSourceJSON"])
    assert source["query"]["language"] == "lucene"
    filters = [
        {"query_string": {"query": source["query"]["query"], "analyze_wildcard": True, "time_zone": "UTC"}},
        *chosen,
        {"range": {"@timestamp": {"gte": start, "lte": end, "format": "epoch_millis"}}},
    ]
    figures, buckets = _kibana_parts(visualization)
    inner = {f["id"]: {f["type"]: {"field": f["params"]["field"]}} for f in figures if f["type"] != "count"}
    for bucket in reversed(buckets):
        params = bucket["params"]
        if bucket["type"] == "terms":
            made: Json = {
                "terms": {
                    "field": params["field"],
                    "size": params["size"],
                    "order": {params["orderBy"]: params["order"]},
                }
            }
        else:
            assert bucket["type"] == "date_histogram"
            made = {
                "date_histogram": {
                    "field": params["field"],
                    "fixed_interval": "1d",
                    "time_zone": "UTC",
                    "min_doc_count": params["min_doc_count"],
                }
            }
        inner = {bucket["id"]: {**made, "aggs": inner}}
    return {"size": 0, "track_total_hits": True, "query": {"bool": {"filter": filters}}, "aggs": inner}


def kibana_rows(visualization: Json, answer: Json) -> Rows:
    """The answer as a table."""
    figures, buckets = _kibana_parts(visualization)
    kinds = [(f["id"], f["type"]) for f in figures]
    found = {**answer.get("aggregations", {}), "doc_count": answer["hits"]["total"]["value"]}
    return list(_rows([b["id"] for b in buckets], kinds, found, ()))


def _kibana_parts(visualization: Json) -> tuple[list[Json], list[Json]]:
    state = json.loads(visualization["attributes"]["visState"])
    assert all(each["enabled"] for each in state["aggs"])
    figures = [each for each in state["aggs"] if each["schema"] == "metric"]
    return figures, [each for each in state["aggs"] if each["schema"] != "metric"]
