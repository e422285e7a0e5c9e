"""`request-logger rescore`: what a changed scorer gives, written into what is stored, beside live traffic."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from request_logger.analytics.accumulator import Accumulator
from request_logger.analytics.rollups import aggregations, compute
from request_logger.analytics.selection import Selection
from request_logger.cli import main
from request_logger.documents.document import degrade
from request_logger.documents.folds import fold_of
from request_logger.jobs.rescore import Counts, Rescore, Scorers
from request_logger.scoring.registry import build
from request_logger.scoring.rules import Chooser
from request_logger.scoring.score import score, settler
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine
from request_logger.store.writing.ports import Limits, NullObserver
from request_logger.store.writing.writer import Writer
from scorers.base import Row
from tests.helpers import Index, Sender, Server, event, index_of, ndarray
from tests.scorers import aggregate, oracle

N = 300
SINGLES = 30
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(reach: Settings, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line; gives status, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["rescore", *arguments])
        return status, *capsys.readouterr()

    return run


def pairs() -> tuple[np.ndarray, np.ndarray]:
    truths, scores = oracle.binary_pairs(0.4, seed=21)
    return truths[:N], scores[:N]


@pytest.fixture
def stored(sender: Sender, deployment: str) -> str:
    """300 pairs of a binary model, as single predictions and as a batch; gives their index."""
    truths, scores = pairs()
    for k in range(SINGLES):
        assert sender.send(event("response", f"r{k}", deployment), ndarray([float(scores[k])]))[0] == 200
        feedback = {"truth": {"data": {"ndarray": [int(truths[k])]}}}
        assert sender.send(event("feedback", f"r{k}", deployment), json.dumps(feedback).encode())[0] == 200
    batch = {"truth": {"data": {"ndarray": truths[SINGLES:].tolist()}}}
    assert sender.send(event("response", "batch", deployment), ndarray(scores[SINGLES:].tolist()))[0] == 200
    assert sender.send(event("feedback", "batch", deployment), json.dumps(batch).encode())[0] == 200
    return index_of(deployment)


def expected(threshold: float) -> dict[str, float]:
    truths, scores = pairs()
    answers = (scores >= threshold).astype(int)
    return {
        "documents": N,
        "accuracy": sk.accuracy_score(truths, answers),
        "precision": sk.precision_score(truths, answers),
        "recall": sk.recall_score(truths, answers),
        "f1": sk.f1_score(truths, answers),
        "mcc": sk.matthews_corrcoef(truths, answers),
        "log_loss": sk.log_loss(truths, scores),
        "brier": sk.brier_score_loss(truths, scores),
    }


def in_engine(index: Index, name: str) -> dict[str, Any]:
    scorer = build("binary", {})
    return compute(scorer, index.aggregate(name, aggregations(scorer), {"term": {"metrics.scorer": "binary"}}))


def close(values: dict[str, float]) -> dict[str, Any]:
    return {name: pytest.approx(value, rel=1e-9, abs=1e-9) for name, value in values.items()}


@pytest.mark.engine
def test_another_threshold(command: Run, stored: str, index: Index) -> None:
    """A dry run shows both sides as scikit-learn has them and changes nothing; then all is written, and only once."""
    # A number between 0 and 1 says nothing by itself to auto, which scored it first.
    assert command("--index", stored, "--scorer", "binary")[1].endswith(f"{N} documents: {N} changed, 0 as they are\n")
    before = index.documents(stored)
    chosen = ("--index", stored, "--scorer", "binary:threshold=0.3")
    status, out, err = command(*chosen, "--dry-run", "--json")
    assert (status, err) == (0, "")
    told = json.loads(out)
    moved = int(((pairs()[1] >= 0.3) & (pairs()[1] < 0.5)).sum())
    assert [told[name] for name in ("read", "changed", "same", "refused")] == [N, moved, N - moved, 0]
    assert {row["scorer"] for row in told["metrics"]} == {"binary"}
    for side, threshold in (("before", 0.5), ("after", 0.3)):
        wanted = expected(threshold)
        found = {row["metric"]: row[side] for row in told["metrics"] if row["metric"] in wanted}
        assert found == close(wanted)
    assert index.documents(stored) == before

    status, out, err = command(*chosen)
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == f"{N} documents: {moved} changed, {N - moved} as they are"
    assert f"{'accuracy':26}" in out
    found, wanted = in_engine(index, stored), expected(0.3)
    del wanted["documents"]
    assert {name: found[name] for name in wanted} == close(wanted)
    after = index.documents(stored)
    derived = dict.fromkeys(("metrics", "prediction"))
    assert {key: {**document, **derived} for key, document in after.items()} == {
        key: {**document, **derived} for key, document in before.items()
    }
    for document in after.values():
        assert document["prediction"]["label"] == document["metrics"]["predicted_label"]

    assert command(*chosen)[1].endswith(f"0 changed, {N} as they are\n")
    assert index.documents(stored) == after


@pytest.mark.engine
def test_what_was_never_scored(command: Run, reach: Settings, deployment: str, index: Index) -> None:
    """Documents that the original logger stored have no metrics: they get them; those of others stay as they are."""
    name = index_of(deployment)
    lines = []
    for k, who in enumerate((deployment, deployment, "another")):
        document = {
            "@timestamp": f"2026-01-0{k + 1}T00:00:00Z",
            "RequestId": f"o{k}",
            "Ce-Inferenceservicename": who,
            "response": {"instance": [0.2, 0.8], "names": ["no", "yes"], "dataType": "tabular"},
            "feedback": {"reward": 1, "truth": {"data": {"ndarray": ["yes"]}}},
        }
        lines += [json.dumps({"index": {"_index": name, "_id": f"o{k}"}}), json.dumps(document)]
    # As the original has it: the engine guesses the types.
    assert not SearchEngine(reach).bulk(("\n".join(lines) + "\n").encode())["errors"]
    status, out, _ = command("--index", name, "--deployment", deployment, "--from", "2026-01-02", "--to", "2026-01-04")
    assert (status, out.splitlines()[-1]) == (0, "1 documents: 1 changed, 0 as they are")
    assert command("--index", name, "--deployment", deployment)[1].endswith("1 changed, 1 as they are\n")
    found = {id: document.get("metrics", {}).get("correct") for (_, id), document in index.documents(name).items()}
    assert found == {"o0": 1, "o1": 1, "o2": None}
    labels = {id: document.get("prediction", {}).get("label") for (_, id), document in index.documents(name).items()}
    assert labels == {"o0": "yes", "o1": "yes", "o2": None}
    folds = {id: document.get("fold") for (_, id), document in index.documents(name).items()}
    assert folds == {"o0": fold_of("o0"), "o1": fold_of("o1"), "o2": None}


@pytest.mark.engine
def test_a_run_that_was_stopped_goes_on(reach: Settings, stored: str, index: Index) -> None:
    """What is done before the time that it told needs no second look, and nothing is left out."""
    engine = SearchEngine(reach)
    writer = Writer(engine, degrade, NullObserver(), Limits(cache_max_bytes=0))

    def begin(tell: Callable[[Counts, int | None], None]) -> Rescore:
        scorers = Scorers(Chooser("binary:threshold=0.3"))
        return Rescore(
            engine, reach, Selection(index=stored), scorers, settler(scorers), writer=writer, on_progress=tell
        )

    spread(index, stored)
    reached: list[int] = []

    def stop_after_some(counts: Counts, time: int | None) -> None:
        if time is not None:
            reached.append(time)
        if len(reached) == 3:
            raise KeyboardInterrupt

    first = begin(stop_after_some)
    assert first.count() == N
    with pytest.raises(KeyboardInterrupt):
        first.run(slices=2, page=20)
    assert 40 <= first.counts.read < N
    second = begin(lambda counts, time: None)
    second.start_at(reached[-1])
    total = second.count()
    assert total < N
    second.run(slices=2, page=20)
    writer.close(10)
    assert second.counts.read == total
    found, wanted = in_engine(index, stored), expected(0.3)
    del wanted["documents"]
    assert {name: found[name] for name in wanted} == close(wanted)


def spread(index: Index, name: str) -> None:
    """Give each document a distinct time; in a batch all have the same."""
    for k, ((_, id), _) in enumerate(index.documents(name).items()):
        body = {"doc": {"@timestamp": f"2026-01-02T03:{k // 60:02d}:{k % 60:02d}Z"}}
        index.request("POST", f"/{name}/_update/{id}", body)


@pytest.mark.engine
def test_the_state_file(command: Run, stored: str, tmp_path: Path) -> None:
    """It is gone after a whole run; one of another run is not taken, nor a file that is none."""
    state = tmp_path / "state.json"
    chosen = ("--index", stored, "--state", str(state))
    assert command(*chosen, "--scorer", "binary:threshold=0.3")[0] == 0
    assert not state.exists()
    state.write_text('{"about": "else", "reached": 1}')
    status, _, err = command(*chosen)
    assert status == 2
    reason = "is the state of a rescore of other documents or scorers: remove it to start over"
    assert err == f"request-logger: {state}: {reason}\n"
    state.write_text("[]")
    assert command(*chosen)[0] == 2


@pytest.mark.engine
def test_a_state_is_gone_on_from(
    command: Run, stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: Index
) -> None:
    """Stopped while it runs, the command leaves its state; the same command goes on from there."""
    spread(index, stored)
    state = tmp_path / "state.json"
    chosen = ("--index", stored, "--state", str(state), "--scorer", "binary:threshold=0.3", "--page", "20")
    whole = Rescore._page
    seen = 0

    def page(self: Rescore, hits: Any) -> None:
        nonlocal seen
        seen += 1
        if seen > 5:
            raise KeyboardInterrupt
        whole(self, hits)

    monkeypatch.setattr("request_logger.commands.rescore._SAVE_SECONDS", 0.0)
    monkeypatch.setattr(Rescore, "_page", page)
    assert command(*chosen, "--slices", "1")[0] == 130
    assert json.loads(state.read_text())["reached"] > 0
    monkeypatch.setattr(Rescore, "_page", whole)
    status, out, _ = command(*chosen)
    assert status == 0
    assert out.splitlines()[0].startswith("continuing from 2026-01-02T03:01:39.000Z")
    assert "\n201 documents: " in out
    assert not state.exists()
    found, wanted = in_engine(index, stored), expected(0.3)
    del wanted["documents"]
    assert {name: found[name] for name in wanted} == close(wanted)


@pytest.mark.engine
def test_beside_live_feedback_nothing_is_lost(
    reach: Settings, make_server: Callable[..., Server], deployment: str, index: Index, capsys: Any
) -> None:
    """While feedback comes, is corrected and comes late, runs with changing thresholds never undo any of it."""
    server = make_server(SCORER="binary:threshold=0.3")
    name, rng = index_of(deployment), random.Random(5)
    latest: dict[str, int] = {}
    scores = {f"r{k}": rng.random() for k in range(120)}
    first = Sender(server.url)
    for id, chance in scores.items():
        assert first.send(event("response", id, deployment), ndarray([chance]))[0] == 200
    failures: list[Any] = []

    def correct(worker: int) -> None:
        sender, own = Sender(server.url), random.Random(worker)
        mine = [id for k, id in enumerate(scores) if k % 3 == worker]
        for number in range(250):
            id, truth = own.choice(mine), own.randrange(2)
            body = {"truth": {"data": {"ndarray": [truth]}}, "reward": number}
            when = f"2026-01-03T00:{number // 60:02d}:{number % 60:02d}.000Z"
            answer = sender.send(event("feedback", id, deployment, Ce_Time=when), json.dumps(body).encode())
            if answer[0] != 200:
                failures.append(answer)
            latest[id] = truth
        sender.close()

    workers = [threading.Thread(target=correct, args=(worker,)) for worker in range(3)]
    for worker in workers:
        worker.start()
    runs = 0
    while any(worker.is_alive() for worker in workers):
        threshold = (0.1, 0.9)[runs % 2]
        assert main(["rescore", "--index", name, "--scorer", f"binary:threshold={threshold}", "--page", "20"]) == 0
        runs += 1
    assert runs >= 2
    assert failures == []
    assert main(["rescore", "--index", name, "--scorer", "binary:threshold=0.3"]) == 0
    capsys.readouterr()
    documents = {id: document for (_, id), document in index.documents(name).items()}
    assert set(documents) == set(scores)
    chooser = Chooser("binary:threshold=0.3")
    for id, truth in latest.items():
        document = documents[id]
        assert document["feedback"]["truth"]["data"]["ndarray"] == [truth], id
        assert document["response"]["instance"] == scores[id]
        wanted = score(document, chooser)
        assert wanted is not None
        assert {**document["metrics"], "scored_at": None} == {**wanted, "scored_at": None}
        assert document["metrics"]["correct"] == int((scores[id] >= 0.3) == truth)
    first.close()


@pytest.mark.engine
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--scorer", "binary:treshold=0.3"), "SCORER: unknown option 'treshold'"),
        (("--scorers-config", "/nowhere.yaml"), "/nowhere.yaml: can't be read"),
        (("--from", "yesteryear"), "failed to parse date field [yesteryear]"),
    ],
)
def test_wrong_use_is_said_in_a_line(command: Run, stored: str, arguments: tuple[str, ...], said: str) -> None:
    """A typing error in a scorer or a time is one line and status 2."""
    status, out, err = command("--index", stored, *arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1


@pytest.mark.engine
def test_nothing_there(command: Run, deployment: str) -> None:
    """No index is no error."""
    assert command("--index", f"inference-log-{deployment}-*") == (
        0,
        "0 documents: 0 changed, 0 as they are\n",
        "",
    )


def scored(name: str) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    """Documents of one scorer, as its `score` makes them."""
    rng = np.random.default_rng(3)
    if name == "binary":
        truths, scores = oracle.binary_pairs(0.3, seed=1)
        values: Any = zip(truths.tolist(), scores.tolist(), strict=True)
    elif name == "multiclass":
        truths, logits = oracle.multiclass_pairs(4, seed=2)
        values = zip(truths.tolist(), oracle.softmax(logits).tolist(), strict=True)
    elif name == "multilabel":
        truths, logits = oracle.multilabel_pairs(5, seed=3)
        values = zip(truths.tolist(), (1 / (1 + np.exp(-logits))).tolist(), strict=True)
    elif name == "ordinal":
        truths, answers = oracle.ordinal_pairs(seed=4)
        values = zip(truths.tolist(), answers.tolist(), strict=True)
    elif name == "ranking":
        gains, order = oracle.ranking_pairs(8, seed=5)
        values = zip(gains.tolist(), order.tolist(), strict=True)
    else:
        values = zip((1e6 + rng.random(500)).tolist(), (1e6 + rng.random(500)).tolist(), strict=True)
    scorer = build(name, {})
    yield scorer, [scorer.score(Row(truth), Row(prediction)) for truth, prediction in values]


@pytest.mark.parametrize("name", ["binary", "multiclass", "multilabel", "ordinal", "ranking", "regression"])
def test_an_accumulator_is_what_an_engine_sums(name: str) -> None:
    """The sums made here give the metrics that aggregations give."""
    ((scorer, documents),) = scored(name)
    accumulator = Accumulator(scorer)
    for document in documents:
        accumulator.add(document)
    assert accumulator.documents == len(documents)
    flat = oracle._flat
    wanted = flat(aggregate.roll_up(scorer, documents))
    assert flat(accumulator.values()) == {
        path: pytest.approx(value, rel=1e-12, abs=1e-12) for path, value in wanted.items()
    }
