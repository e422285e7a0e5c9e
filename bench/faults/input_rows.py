"""Rows in which the input, or a user's code, is the fault: no other event may be affected."""

from __future__ import annotations

import contextlib
import json
import time
from urllib.parse import urlsplit

from bench.engines import Client
from bench.faults.crowd import slow_clients_of
from bench.faults.culprits import ANSWER_SECONDS, Culprits, Probes, poison_events, send
from bench.faults.registry import row
from bench.faults.stage import Stage
from bench.faults.traffic import Traffic, headers
from bench.first import index_of

CLASSES = 19
REPORTS_AT_ONCE = 10
_PREDICTIONS_OF_REPORT = 2000
IDLE_CONNECTIONS = 4100
# More than a liveness probe's default timeoutSeconds of 1, since the benchmark's machine is busy.
_PROBE_SECONDS = 3.0


def _expect_undisturbed(stage: Stage, *senders: Traffic) -> None:
    """Note a problem if another event was rejected, or waited."""
    for sender in senders:
        stage.expect_no_retries(sender)
        stage.expect(sender.longest < ANSWER_SECONDS, f"another event has waited {sender.longest:.1f} s")


@row("integers of 309 to 4,301 digits, eight a second, in requests, responses, rewards, truths, structured events")
def poison_numbers(stage: Stage) -> None:
    """Each is answered 200 or 400 immediately; other events are not affected."""
    with (
        stage.logger() as logger,
        stage.traffic(logger) as sender,
        Culprits(logger.url, poison_events(f"{stage.name}-poison")) as culprits,
    ):
        time.sleep(stage.seconds)
    stage.notes.append(f"poisoned events were answered {dict(culprits.answers)}, within {culprits.longest:.1f} s")
    others = set(culprits.answers) - {200, 400}
    stage.expect(not others, f"poisoned events were answered {dict(culprits.answers)}")
    stage.expect(culprits.longest < ANSWER_SECONDS, f"a poisoned event has waited {culprits.longest:.1f} s")
    _expect_undisturbed(stage, sender)


@row("scorers that raise, or return numpy integers, nothing, a list or sets; next to one that works")
def scorer_fails(stage: Stage) -> None:
    """The documents are stored completely, and name the scorer that failed."""
    kinds = ("Raising", "OfNumpy", "OfNothing", "OfAList", "OfOddTypes")
    rules = [{"deployment": f"*-{name.lower()}", "scorer": f"bench.faults.scorers.{name}"} for name in kinds]
    config = stage.file("scorers.yaml", json.dumps({"rules": rules}))
    share = stage.rate / (len(kinds) + 1)
    with stage.logger(SCORERS_CONFIG=config) as logger, contextlib.ExitStack() as stack:
        senders = [stack.enter_context(stage.traffic(logger, rate=share))]
        for name in kinds:
            # A numpy integer may also be converted to a number, and scored.
            scored = None if name in ("OfNumpy", "OfOddTypes") else False
            made = stage.traffic(logger, suffix=f"-{name.lower()}", scored=scored, rate=share)
            senders.append(stack.enter_context(made))
        time.sleep(stage.seconds)
    _expect_undisturbed(stage, *senders)


@row(f"{IDLE_CONNECTIONS:,} idle connections, while /healthz is probed and events arrive")
def connection_flood(stage: Stage) -> None:
    """More connections than a worker accepts: probes must not wait."""
    with (
        stage.logger() as logger,
        stage.traffic(logger) as sender,
        slow_clients_of(logger.url, idle=IDLE_CONNECTIONS, trickling=0),
        Probes(logger.url, timeout=_PROBE_SECONDS) as probes,
    ):
        time.sleep(max(stage.seconds, 5.0))
    stage.notes.append(f"{probes.asked} probes, {probes.failed} without a response, longest {probes.longest:.1f} s")
    stage.expect(probes.failed == 0, f"{probes.failed} of {probes.asked} probes had no response in {_PROBE_SECONDS} s")
    _expect_undisturbed(stage, sender)


@row(f"{REPORTS_AT_ONCE} concurrent reports of {CLASSES} classes, repeatedly, while events arrive")
def reports(stage: Stage) -> None:
    """A report is answered 200 or 429, and no event waits for one."""
    _fill_with_classes(stage)
    path = f"/v1/report?target=bench/{stage.name}-classes"
    with stage.logger() as logger, stage.traffic(logger) as sender, contextlib.ExitStack() as stack:
        readers = [
            stack.enter_context(Probes(logger.url, path, every=0.05, timeout=60.0)) for _ in range(REPORTS_AT_ONCE)
        ]
        time.sleep(stage.seconds)
    answers = sum((reader.statuses for reader in readers), start=readers[0].statuses - readers[0].statuses)
    longest = max(reader.longest for reader in readers)
    stage.notes.append(f"reports were answered {dict(answers)}, the slowest after {longest:.1f} s")
    stage.expect(answers[200] > 0, "no report was answered")
    stage.expect(set(answers) <= {200, 429}, f"reports were answered {dict(answers)}")
    _expect_undisturbed(stage, sender)


def _fill_with_classes(stage: Stage) -> None:
    """Store scored predictions of many classes."""
    lines = []
    for number in range(_PREDICTIONS_OF_REPORT):
        truth, predicted = f"c{number % CLASSES}", f"c{(number * 7 + number // 5) % CLASSES}"
        right = truth == predicted
        document = {
            "@timestamp": f"2026-01-02T03:{number // 60 % 60:02}:{number % 60:02}Z",
            "RequestId": str(number),
            "Ce-Namespace": "bench",
            "Ce-Inferenceservicename": f"{stage.name}-classes",
            "Ce-Endpoint": "default",
            "Ce-Modelid": "classifier",
            "request": {"dataType": "tabular"},
            "response": {"dataType": "tabular"},
            "feedback": {"reward": int(right)},
            "metrics": {
                "scorer": "multiclass",
                "basis": "truth",
                "correct": int(right),
                "truth_label": truth,
                "predicted_label": predicted,
                **({"true_positive": truth} if right else {"false_positive": predicted, "false_negative": truth}),
                "probability": 0.05 + 0.9 * (number % 100) / 100,
                "log_loss": 0.1 + (number % 10) / 10,
            },
        }
        lines.append(json.dumps({"index": {"_id": str(number)}}) + "\n" + json.dumps(document) + "\n")
    with stage.logger() as logger:
        # The index gets its mapping with its first event.
        send(urlsplit(logger.url).netloc, headers(f"{stage.name}-classes", (0, "request")), b"{}")
    body = "".join(lines).encode()
    Client(stage.engine.url).ask("POST", f"/{index_of(f'{stage.name}-classes')}/_bulk?refresh=true", body)
