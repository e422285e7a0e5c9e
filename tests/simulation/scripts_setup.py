"""Scripts about templates, pipelines, data streams, settings and names."""

from __future__ import annotations

from request_logger.settings import Settings
from request_logger.store.indices import capabilities
from request_logger.store.indices.templates import DEAD_LETTER_INDEX, TEMPLATE_NAME, wanted
from tests.simulation.conversation import Step
from tests.simulation.script import (
    FLAT,
    LENIENT,
    READ,
    Script,
    act,
    alias,
    bulk,
    every_way,
    get,
    mget,
    one,
    or_read,
    post,
    put,
)

# The Elasticsearch 9 that tests start lacks the module with these processors.
_WITH_PIPELINES = ("opensearch", "elasticsearch7-oss")
# The Elasticsearch 9 that tests start lacks the native library of best_compression: each shard fails.
_WITH_ALL_CODECS = _WITH_PIPELINES


def _template(patterns: list[str], **more: object) -> dict[str, object]:
    return {"index_patterns": patterns, "priority": 7, **more}


def _ours(name: str) -> dict[str, object]:
    patterns = {TEMPLATE_NAME: ["sim-log-*"], DEAD_LETTER_INDEX: ["sim-letters"]}
    # The engine may have our templates, and overlapping ones must differ in priority.
    return {**wanted(Settings(index_codec="best_compression"))[name], "index_patterns": patterns[name], "priority": 900}


def _template_steps() -> tuple[Step, ...]:
    return (
        get("/_index_template/sim-t"),
        put("/_index_template/sim-t", _ours(TEMPLATE_NAME)),
        get("/_index_template/sim-t"),
        put("/_index_template/sim-t", {**_ours(TEMPLATE_NAME), "version": 2}),
        put("/_index_template/sim-d", _ours(DEAD_LETTER_INDEX)),
        get("/_index_template/sim-d"),
        put("/sim-log-1"),
        get("/sim-log-1/_settings", **FLAT),
        get("/sim-log-1/_mapping"),
        bulk(act("index", "sim-log-2", "1"), {"x": 1, "request": {"payload": [1, "x"]}}),
        get("/sim-log-2/_mapping"),
        bulk(act("index", "sim-letters", "1"), {"@timestamp": "2026-01-02T03:04:05Z", "x": 1}),
        get("/sim-letters/_mapping"),
        put(
            "/_index_template/sim-u",
            _template(
                ["sim-over-*"],
                priority=901,
                template={
                    "settings": {"number_of_shards": 1, "index": {"number_of_replicas": "0"}},
                    "aliases": {"sim-alias": {}},
                    "mappings": {"dynamic": "strict"},
                },
            ),
        ),
        get("/_index_template/sim-u"),
        put("/sim-over-1"),
        get("/sim-over-1/_settings", **FLAT),
        get("/sim-alias/_alias"),
        bulk(act("create", "sim-over-2", "1"), {"x": 1}, act("create", "sim-alias", "1"), {"x": 1}),
        # The alias now has two indices and no write index.
        bulk(act("create", "sim-alias", "1"), {}),
        put(
            "/_index_template/sim-bad",
            _template(["sim-bad-*"], template={"mappings": {"properties": {"a": {"type": "no-such"}}}}),
        ),
        put("/_index_template/sim-bad", {"priority": 1}),
        get("/_index_template/sim-bad"),
        put("/_index_template/sim-same", _template(["sim-l*-x"], priority=900)),
        put("/_index_template/sim-same", _template(["sim-log*"], priority=900)),
        put("/_index_template/sim-same", _template(["sim-log-*"], priority=899)),
        put("/_index_template/sim-same", _template(["sim-m*", "sim-lo"], priority=900)),
        Step("DELETE", "/_index_template/sim-t"),
        Step("DELETE", "/_index_template/sim-t"),
        get("/_index_template/sim-t"),
    )


SETUP = (
    Script(
        "pipelines",
        (
            put("/_ingest/pipeline/sim-drop", {"processors": [{"drop": {}}]}),
            put("/_ingest/pipeline/sim-fail", {"processors": [{"fail": {"message": "no"}}]}),
            put("/sim-d", {"settings": {"index.default_pipeline": "sim-drop"}}),
            every_way("sim-d"),
            mget(("sim-d", "1")),
            put("/sim-f", {"settings": {"index.default_pipeline": "sim-fail"}}),
            every_way("sim-f"),
            put("/sim-n", {"settings": {"index.default_pipeline": "sim-none"}}),
            every_way("sim-n"),
            one(),
            put("/sim-a/_settings", {"index.default_pipeline": "sim-drop"}),
            every_way("sim-a"),
            bulk(
                act("create", "sim-a", "5"),
                {"a": 1},
                act("create", "sim-b", "5"),
                {"a": 1},
                act("create", "sim-a", "6"),
                {"a": 1},
            ),
            get("/sim-a/_settings", **FLAT),
            put("/sim-a/_settings", {"index.default_pipeline": None, "index.final_pipeline": "sim-fail"}),
            every_way("sim-a", "3"),
            put("/sim-a/_settings", {"index.final_pipeline": None}),
            every_way("sim-a", "2"),
        ),
        _WITH_PIPELINES,
    ),
    Script(
        "missing-pipeline",
        (
            put("/sim-n", {"settings": {"index.default_pipeline": "sim-none"}}),
            every_way("sim-n"),
        ),
    ),
    Script(
        "no-auto-create",
        (
            put("/_cluster/settings", {"persistent": {"action.auto_create_index": "-sim-no*,+*"}}),
            every_way("sim-no"),
            every_way("sim-yes"),
            bulk(act("create", "sim-no", "1"), {"a": 1}, act("create", "sim-yes", "9"), {"a": 1}),
            mget(("sim-no", "1")),
            put("/sim-no"),
            every_way("sim-no"),
            put("/_cluster/settings", {"persistent": {"action.auto_create_index": None}}),
            every_way("sim-no-2"),
        ),
    ),
    Script(
        "data-stream",
        (
            put("/_index_template/sim-s", _template(["sim-s*"], priority=902, data_stream={})),
            bulk(act("create", "sim-s", "0"), {"@timestamp": "2026-01-02T03:04:05Z"}),
            bulk(act("create", "sim-s", "0"), {"@timestamp": "2026-01-02T03:04:05Z"}),
            bulk(act("update", "sim-s", "0"), or_read({"@timestamp": "2026-01-02T03:04:05Z"})),
            bulk(act("create", "sim-s1", "1"), {"@timestamp": "2026-01-02T03:04:05Z"}),
            bulk(act("index", "sim-s1", "1"), {"@timestamp": "2026-01-02T03:04:05Z"}),
            bulk(act("update", "sim-s1", "1"), READ, act("delete", "sim-s1", "1")),
            bulk(act("create", "sim-s1", "2"), {"a": 1}),
            mget(("sim-s1", "1")),
            put("/sim-s2"),
        ),
        ("opensearch",),
    ),
    Script(
        "put-index",
        (
            put("/sim-a"),
            put("/sim-a"),
            put("/Sim-sim-"),
            put("/sim-%23"),
            put("/sim-a%20b"),
            put("/_sim-"),
            put("/sim-a%2Cb"),
            put("/sim-" + "x" * 230),
            put("/sim-" + "x" * 252),
            put("/..sim-"),
            put("/sim-c", {"settings": {"number_of_shards": 0}}),
            put("/sim-c", {"mappings": {"properties": {"a": {"type": "no-such"}}}}),
            put("/sim-c", {"no_such": 1}),
            put("/sim-c", {"settings": {"index.no_such": 1}}),
            put("/sim-c", {"settings": {"number_of_replicas": 0}, "aliases": {"sim-alias": {}}}),
            get("/sim-c/_settings", **FLAT),
            get("/sim-c/_alias"),
            get("/sim-alias/_mapping"),
            put("/sim-alias"),
            bulk(act("create", "sim-c", "1"), {"a": 1}),
        ),
    ),
    Script(
        "names-in-a-bulk",
        (
            bulk(
                *(
                    line
                    for name in (
                        "Sim-sim-",
                        "sim-#",
                        "sim-a b",
                        "_sim-",
                        "sim-*",
                        "sim-a,sim-b",
                        "sim-\\",
                        "sim-" + "x" * 252,
                        ".",
                        "sim-a:b",
                        "sim-é",
                    )
                    for line in (act("create", name, "1"), {"a": 1})
                )
            ),
            bulk(
                *(
                    line
                    for name in ("Sim-sim-", "sim-*", "_sim-")
                    for line in (act("update", name, "1"), READ, act("delete", name, "1"))
                )
            ),
        ),
    ),
    Script(
        "settings",
        (
            one(),
            get("/sim-a/_settings", **FLAT),
            put("/sim-a/_settings", {"index.mapping.total_fields.limit": 2000}),
            put("/sim-a/_settings", {"index": {"number_of_replicas": 0}}),
            put("/sim-a/_settings", {"refresh_interval": "30s"}),
            get("/sim-a/_settings", **FLAT),
            bulk(act("create", "sim-a", "2"), {"a": 1}),
            put("/sim-a/_settings", {"index.no_such": 1}),
            put("/sim-a/_settings", {"index.number_of_shards": 3}),
            put("/sim-a/_settings", {"index.mapping.total_fields.limit": "x"}),
            put("/sim-none/_settings", {"index.number_of_replicas": 0}),
            get("/sim-none/_settings", **FLAT),
        ),
    ),
    Script(
        "lists-of-indices",
        (
            put("/sim-a"),
            put("/sim-a-2026.01"),
            put("/sim-a-2026.02"),
            put("/sim-a-2026.03"),
            put("/sim-ab"),
            alias("sim-ab", alias="sim-a-2026.04"),
            post("/sim-a-2026.02/_close"),
            *(
                get(f"/{path}/_alias", **LENIENT)
                for path in (
                    "sim-a,sim-a-2*",
                    "sim-none,sim-none-2*",
                    "sim-b,sim-b-2*,sim-a,sim-a-2*",
                    "sim-a-2026.02,sim-x-2*",
                    "sim-none-2*",
                    "sim-a-2026.04",
                    "sim-a-2026.0*",
                    "sim-none",
                    "Sim-,Sim--2*",
                    "sim-*",
                )
            ),
            get("/sim-none/_alias"),
            get("/sim-none-2*/_alias"),
            get("/sim-a,sim-none/_alias"),
        ),
    ),
    Script("templates", _template_steps()),
    Script(
        "trial-index",
        (
            put("/sim-trial", capabilities.TRIAL_BODY),
            put("/sim-trial", capabilities.TRIAL_BODY),
            Step("POST", "/sim-trial/_search", capabilities.TRIAL_SEARCH),
            Step("DELETE", "/sim-trial"),
            Step("DELETE", "/sim-trial"),
            Step("POST", "/sim-trial/_search", capabilities.TRIAL_SEARCH),
        ),
    ),
    Script(
        "trial-codec",
        (
            put("/sim-trial", capabilities.CODEC_BODY),
            Step("PUT", "/sim-trial/_doc/1", {"number": 1}, params=capabilities.CODEC_PARAMS),
            Step("PUT", "/sim-trial/_doc/1", {"number": 1}, params=capabilities.CODEC_PARAMS),
            Step("DELETE", "/sim-trial"),
        ),
        _WITH_ALL_CODECS,
    ),
    Script(
        "cluster",
        (
            get("/"),
            get("/_cluster/health"),
            Step("POST", "/_cluster/health"),
            Step("DELETE", "/_bulk"),
            get("/_bulk"),
            get("/_mget"),
        ),
    ),
)
