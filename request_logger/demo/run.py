"""The demo: a real engine, a real server, real traffic, and metrics compared with scikit-learn's.

Everything works as in a cluster: events go over HTTP to a separate server process, queries over HTTP to the engine.
Only the model is fit here; `demo.story.make_story` describes how.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from request_logger.analytics.selection import has_part
from request_logger.demo.biopsies import DEPLOYMENT
from request_logger.demo.biopsies_story import SETTINGS, tell_biopsies
from request_logger.demo.local_server import LocalServer, RunningServer, engine_settings, is_free
from request_logger.demo.story import (
    NAMESPACE,
    PREDICTIONS,
    REWARDED,
    WITH_FEEDBACK,
    Message,
    Story,
    make_story,
    messages_of,
    recorded,
    send,
)
from request_logger.documents.event import Body, from_headers
from request_logger.embedded_engine import start_engine
from request_logger.errors import CommandError
from request_logger.settings import Settings
from request_logger.signals import stopped_by_signals, wait_for_stop
from request_logger.store.client.client import SearchEngine

TOLERANCE = 1e-9
# The usual ports of the two, where they are free: commands without --engine then find the demo's engine.
ENGINE_PORT, LOGGER_PORT = 9200, 8080
CONNECTIONS = 8
_MAX_CLASSES = 100
_CELLS = ("true_positive", "false_positive", "false_negative")

# A user's queries: without scripts, as any dashboard can send them.
QUERY: dict[str, Any] = {
    "with_feedback": {"filter": {"exists": {"field": "feedback.reward"}}},
    "rewarded": {"sum": {"field": "feedback.reward"}},
    "accuracy": {"avg": {"field": "metrics.correct"}},
    "log_loss": {"avg": {"field": "metrics.log_loss"}},
    **{cell: {"terms": {"field": f"metrics.{cell}", "size": _MAX_CLASSES}} for cell in _CELLS},
}

Say = Callable[[str], None]
Server = LocalServer | RunningServer


@dataclass(frozen=True, slots=True)
class Figure:
    """A value aggregated by the engine, and the expected value."""

    name: str
    found: float
    expected: float

    @property
    def agrees(self) -> bool:
        """Whether both are equal within TOLERANCE, or both undefined."""
        if math.isnan(self.found) or math.isnan(self.expected):
            return math.isnan(self.found) and math.isnan(self.expected)
        return abs(self.found - self.expected) <= TOLERANCE


def run(*, once: bool, say: Say, url: str | None = None) -> int:
    """Run the demo; with ``once`` it ends after the figures, otherwise it waits for Ctrl-C.

    ``url`` is that of a running server, with the search engine in ELASTICSEARCH_HOST.

    Returns the exit status: 1 if a figure is wrong. Raises CommandError, EngineUnavailable and EngineFailed.
    """
    with stopped_by_signals(), contextlib.ExitStack() as stack:
        if url and not os.environ.get("ELASTICSEARCH_HOST"):
            raise CommandError("--url: set ELASTICSEARCH_HOST to the engine of that server as well")
        story = make_story()
        embedded = not os.environ.get("ELASTICSEARCH_HOST")
        engine_env = stack.enter_context(_engine(say, embedded=embedded))
        given = {**engine_env, **({} if once else SETTINGS)}
        server: Server = RunningServer(url) if url else stack.enter_context(LocalServer(given, port=LOGGER_PORT))
        say(f"request logger ready at {server.url} after {server.boot:.1f} s")
        engine = SearchEngine(server.settings)
        try:
            _replay(server, engine, say)
            # Another engine may have predictions of an earlier demo: a unique name keeps the counts exact.
            suffix = "" if embedded else f"-{uuid.uuid4().hex[:8]}"
            deployment = f"iris{suffix}"
            index = _play(story, deployment, server, say)
            figures = _figures(story, engine, index)
        except CommandError as error:
            say(f"FAILED: {error}")
            return 1
        _show(figures, story, say)
        wrong = [figure for figure in figures if not figure.agrees]
        if wrong:
            say(f"FAILED: {'; '.join(f'{w.name} is {w.found}, expected {w.expected}' for w in wrong)}")
            return 1
        say(f"all {len(figures)} figures agree to {TOLERANCE:g}")
        if once:
            return 0
        _invite(engine.urls[0], server.url, index, deployment, engine, say)
        try:
            tell_biopsies(server.url, engine.urls[0], f"{DEPLOYMENT}{suffix}", say)
        except CommandError as error:
            say(f"FAILED: {error}")
            return 1
        say("press Ctrl-C to stop")
        return wait_for_stop(lambda: server.running)


@contextlib.contextmanager
def _engine(say: Say, *, embedded: bool) -> Iterator[Mapping[str, str]]:
    """Yield the environment variables for the engine: an embedded one, or none for that in ELASTICSEARCH_HOST."""
    if not embedded:
        given = SearchEngine(Settings.from_env())
        urls = ", ".join(given.urls)
        if not given.ping():
            raise CommandError(f"the engine at {urls} (ELASTICSEARCH_HOST) does not answer")
        say(f"using the engine at {urls} (ELASTICSEARCH_HOST)")
        yield {}
        return
    port = ENGINE_PORT if is_free(ENGINE_PORT) else None
    with start_engine("opensearch", progress=say, port=port) as engine:
        fetch, boot = engine.timings["fetch"], engine.timings["boot"]
        say(f"OpenSearch {engine.version} ready at {engine.url}: fetched in {fetch:.1f} s, booted in {boot:.1f} s")
        yield engine_settings(engine.url)


def _replay(server: Server, engine: SearchEngine, say: Say) -> None:
    """Send the events recorded from a real executor, in their order, and check that every id is stored."""
    messages = recorded()
    seconds = send(server.url, messages, connections=1, tell=lambda _: None)
    say(f"first event stored after {seconds[0]:.2f} s (including index creation)")
    events = [from_headers(_lowered(message), Body(b""), server.settings) for message in messages]
    indices = ",".join(sorted({event.index for event in events}))
    wanted = {event.request_id for event in events}
    body = {
        "size": 0,
        "query": {"terms": {"RequestId": sorted(wanted)}},
        "aggs": {"ids": {"terms": {"field": "RequestId", "size": len(wanted) + 1}}},
    }
    found = {bucket["key"] for bucket in _search(engine, indices, body)["aggregations"]["ids"]["buckets"]}
    if found != wanted:
        raise CommandError(f"recorded predictions are missing: {', '.join(sorted(wanted - found))}")
    say(
        f"replayed {len(messages)} requests recorded from a Seldon executor in {sum(seconds):.1f} s:"
        f" all acknowledged, all {len(wanted)} predictions stored"
    )


def _play(story: Story, deployment: str, server: Server, say: Say) -> str:
    """Send the story's events and return their index."""
    say(
        f"classifier: logistic regression on two sepal measures of 50 irises, {story.accuracy_of_all:.0%} right on the"
        f" other {PREDICTIONS}; split by seed {story.seed}, the first that gives the notebook's totals"
    )
    events = [message for prediction in messages_of(story, deployment) for message in prediction]
    # From both ends in turn, so that some feedback arrives before its response; the order must not matter.
    mixed = [events[-1 - i // 2] if i % 2 else events[i // 2] for i in range(len(events))]
    started = time.monotonic()
    told = 0

    def tell(done: int) -> None:
        nonlocal told
        if done > told:
            told = done
            say(f"  {done} of {len(mixed)} events")

    send(server.url, mixed, connections=CONNECTIONS, tell=tell)
    say(
        f"{PREDICTIONS} predictions and feedback for {WITH_FEEDBACK} of them: {len(mixed)} events acknowledged"
        f" in {time.monotonic() - started:.1f} s"
    )
    return from_headers(_lowered(events[0]), Body(b""), server.settings).index


def _figures(story: Story, engine: SearchEngine, index: str) -> list[Figure]:
    """Return the engine's aggregates with scikit-learn's values for the same pairs."""
    from sklearn import metrics  # noqa: PLC0415  # from an optional extra

    pairs = story.pairs[:WITH_FEEDBACK]
    truths, predictions = [pair.truth for pair in pairs], [story.predicted(pair) for pair in pairs]
    answer = _search(engine, index, {"size": 0, "track_total_hits": True, "aggs": QUERY})
    found = answer["aggregations"]
    figures = [
        Figure("predictions", _total(answer), PREDICTIONS),
        Figure("with feedback", found["with_feedback"]["doc_count"], WITH_FEEDBACK),
        Figure("sum of feedback.reward", found["rewarded"]["value"], REWARDED),
        Figure("accuracy", _number(found["accuracy"]["value"]), metrics.accuracy_score(truths, predictions)),
        Figure(
            "log loss",
            _number(found["log_loss"]["value"]),
            metrics.log_loss(truths, [pair.probabilities for pair in pairs], labels=list(story.classes)),
        ),
    ]
    expected = metrics.precision_recall_fscore_support(
        truths, predictions, labels=list(story.classes), zero_division=math.nan
    )
    counts = {cell: {b["key"]: b["doc_count"] for b in found[cell]["buckets"]} for cell in _CELLS}
    for position, label in enumerate(story.classes):
        tp, fp, fn = (counts[cell].get(label, 0) for cell in _CELLS)
        values = (_ratio(tp, tp + fp), _ratio(tp, tp + fn), _ratio(2 * tp, 2 * tp + fp + fn), tp + fn)
        for name, value, column in zip(("precision", "recall", "F1", "support"), values, expected, strict=True):
            figures.append(Figure(f"{label} {name}", value, float(column[position])))
    return figures


def _show(figures: list[Figure], story: Story, say: Say) -> None:
    single = [figure for figure in figures if figure.name.split()[0] not in story.classes]
    by_name = {figure.name: figure for figure in figures}
    say("")
    say(f"{'':24}{'engine':>20}{'scikit-learn':>20}")
    for figure in single:
        say(f"{figure.name:24}{figure.found:>20.12g}{figure.expected:>20.12g}")
    say("")
    columns = ("precision", "recall", "F1", "support")
    say(f"{'':12}{'':12}" + "".join(f"{column:>16}" for column in columns))
    for label in story.classes:
        row = [by_name[f"{label} {column}"] for column in columns]
        say(f"{label:12}{'engine':12}" + "".join(f"{figure.found:>16.12g}" for figure in row))
        say(f"{'':12}{'scikit-learn':12}" + "".join(f"{figure.expected:>16.12g}" for figure in row))
    say("")


def _invite(engine_url: str, url: str, index: str, deployment: str, engine: SearchEngine, say: Say) -> None:
    """Print what is running, and three commands to try."""
    search = f"curl -s '{engine_url}/{index}/_search?pretty&filter_path=aggregations"
    json_header = "-H 'Content-Type: application/json'"
    query = json.dumps({"size": 0, "aggs": QUERY}, separators=(",", ":"))
    body = {"size": 1, "query": {"bool": {"must_not": has_part("feedback")}}, "_source": ["RequestId"]}
    open_id = _search(engine, index, body)["hits"]["hits"][0]["_source"]["RequestId"]
    say(f"engine          {engine_url}")
    say(f"request logger  {url}  (counters at {url}/metrics)")
    say("")
    say("query the same figures:")
    say(f"  {search}' {json_header} -d '{query}'")
    say("a stored prediction that was wrong:")
    say(f"  curl -s '{engine_url}/{index}/_search?pretty&size=1&q=metrics.correct:0'")
    say("send feedback for a prediction without; then query the figures again:")
    say(
        f"  curl -i {url} {json_header} -H 'Ce-Specversion: 1.0' -H 'Ce-Id: by-hand' -H 'Ce-Source: curl'"
        f" -H 'Ce-Type: io.seldon.serving.feedback' -H 'Ce-Requestid: {open_id}' -H 'Ce-Namespace: {NAMESPACE}'"
        f" -H 'Ce-Inferenceservicename: {deployment}' -H 'Ce-Endpoint: default' -H 'Ce-Modelid: classifier'"
        """ -d '{"reward": 1, "truth": {"data": {"ndarray": ["virginica"]}}}'"""
    )


def _search(engine: SearchEngine, index: str, body: dict[str, Any]) -> Any:
    status, answer = engine.request("POST", f"/{index}/_refresh")
    if status == 200:
        status, answer = engine.request("POST", f"/{index}/_search", body)
    if status != 200:
        raise CommandError(f"the engine answered {status}: {json.dumps(answer)[:300]}")
    return answer


def _lowered(message: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in message.headers}


def _total(answer: Any) -> int:
    total = answer["hits"]["total"]
    return int(total["value"] if isinstance(total, dict) else total)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _ratio(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else math.nan
