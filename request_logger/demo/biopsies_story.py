"""Sends the demo's second deployment, and shows what the commands say of it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from request_logger.demo.biopsies import (
    AUDIT_RATE,
    DAYS,
    DRIFT_DAYS,
    MODELS,
    REPORTED_RIGHT,
    REPORTED_WRONG,
    Biopsy,
    batches_of,
    make_biopsies,
)
from request_logger.demo.story import NAMESPACE, send
from request_logger.errors import CommandError

SETTINGS = {"AUDIT_RATE": f"{AUDIT_RATE:g}", "UI": "true"}
"""The logger's settings that the story needs."""
# The queries of a report over 3,000 documents take a second.
_SECONDS = 120

Say = Callable[[str], None]


def tell_biopsies(url: str, engine_url: str, deployment: str, say: Say) -> None:
    """Send the biopsies to the logger at ``url``, print what the commands say of them, and what else to ask.

    Raises CommandError if an event isn't acknowledged or a command fails.
    """
    biopsies = make_biopsies(datetime.now(UTC))
    messages = batches_of(biopsies, deployment)
    started = time.monotonic()
    send(url, messages, connections=2, tell=lambda _: None)
    answered = [biopsy for biopsy in biopsies if biopsy.feedback_time is not None]
    target = f"{NAMESPACE}/{deployment}"
    say("")
    say(
        f"{target}: {len(biopsies):,} predictions for biopsies by {' and '.join(MODELS)} over {DAYS} days, feedback for"
        f" {len(answered):,}; sent in {time.monotonic() - started:.1f} s"
    )
    say(f"  users report {REPORTED_WRONG:.0%} of the errors and {REPORTED_RIGHT:.0%} of the correct predictions;")
    say(f"  {AUDIT_RATE:.0%} of the predictions are in an audit, which gets all truths;")
    say(f"  in the last {DRIFT_DAYS} days a new microscope adds a standard deviation to the symmetry.")
    say(
        f"  Only this demo knows that {_share(biopsies)} of all predictions are right. Of those with feedback,"
        f" {_share(answered)} are."
    )
    _show("deployments", ["deployments"], engine_url, say)
    _show(f"report {target}", ["report", target], engine_url, say)
    say("")
    say("ask further:")
    page = f"{url}/ui?target={target}"
    for question, command in (
        ("how good are both models?", f"compare {' '.join(MODELS)} --in {target} --where audit=true"),
        ("what has changed?", f"drift {target} --from now-{DRIFT_DAYS}d --against now-{DAYS}d..now-{DRIFT_DAYS}d"),
        ("where is model-a worst?", f"slices {target} --where audit=true --where model={MODELS[0]}"),
        ("which threshold pays?", f"thresholds {target} --where audit=true --cost tp=0,fp=-1,fn=-10,tn=0"),
    ):
        say(f"  {question:26}{_command(command)}{_option(engine_url)}")
    say(f"  {'the same as pages:':26}{page}")
    say("")


def _share(biopsies: Sequence[Biopsy]) -> str:
    return f"{sum(biopsy.correct for biopsy in biopsies) / len(biopsies):.1%}"


def _show(title: str, arguments: Sequence[str], engine_url: str, say: Say) -> None:
    """Print a command and its output. Raises CommandError."""
    say("")
    say(f"$ {_command(title)}{_option(engine_url)}")
    command = [sys.executable, "-m", "request_logger.cli", *arguments, "--engine", engine_url]
    done = subprocess.run(  # noqa: S603  # its own module
        command, capture_output=True, text=True, timeout=_SECONDS, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise CommandError(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()[:300]}")
    say(done.stdout.rstrip("\n"))


def _command(arguments: str) -> str:
    """Return a command as it can be typed here: from the environment of this Python."""
    beside = Path(sys.executable).parent / "request-logger"
    here = Path.cwd()
    return f"{beside.relative_to(here) if beside.is_relative_to(here) else beside} {arguments}"


def _option(engine_url: str) -> str:
    """Return the option that names the engine, where the command would not find it by itself."""
    return "" if engine_url == "http://127.0.0.1:9200" else f" --engine {engine_url}"
