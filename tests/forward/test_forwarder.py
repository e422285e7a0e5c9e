"""The forwarder with real receivers: that refuse, fail, hang, talk garbage and come back; in memory and on disk."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from request_logger.forward import FORWARDED, Message, sink
from request_logger.forward import forwarder as forwarder_module
from request_logger.forward.backoff import Circuit
from tests.forward.forwarding import HEADERS, Forwarding, bodies, forwarding, offer_and_wait
from tests.forward.receiver import Received, Receiver, answer, garbage, hang_up, receiving
from tests.helpers import free_port
from tests.kafka_helpers import wait_for


@pytest.fixture(params=["memory", "disk"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """SPOOL_DIR, or none."""
    return str(tmp_path) if request.param == "disk" else ""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Report what waits with each turn."""
    monkeypatch.setattr(forwarder_module, "_REPORT_SECONDS", 0.0)


def test_each_is_sent_once(receiver: Receiver, folder: str) -> None:
    """Headers and bytes are those that were offered, plus the mark and what FORWARD_HEADERS has."""
    sent = [*bodies(300), b"", bytes(range(256)) * 100]
    with forwarding(receiver.url, folder, forward_headers="Authorization: Bearer s\nX-A: b:c") as found:
        found.offer(*sent)
        wait_for(lambda: found.count("sent") == len(sent))
        wait_for(lambda: found.value("waiting_requests") == 0)
    assert sorted(receiver.bodies) == sorted(sent)
    for one in receiver.received:
        assert {**one.headers, **HEADERS, FORWARDED: "1", "authorization": "Bearer s", "x-a": "b:c"} == one.headers


def test_what_was_forwarded_once_is_not_again(receiver: Receiver, folder: str) -> None:
    with forwarding(receiver.url, folder) as found:
        found.forwarder.offer(Message({**HEADERS, FORWARDED: "1"}, b"loop"))
        found.offer(b"other")
        wait_for(lambda: found.count("sent") == 1)
    assert receiver.bodies == [b"other"]


def test_a_refused_one_is_dropped(receiver: Receiver, folder: str) -> None:
    """400 is the event's fault: it isn't sent twice, is counted, and stops no other."""

    def behave(received: Received, handler: Any) -> None:
        answer(400 if int(received.body) % 3 == 0 else 202)(received, handler)

    receiver.behaviour = behave
    with forwarding(receiver.url, folder) as found:
        found.offer(*bodies(30))
        wait_for(lambda: found.count("sent") + found.count("refused") == 30)
        wait_for(lambda: found.value("waiting_requests") == 0)
        assert (found.count("sent"), found.count("refused"), found.value("retries_total")) == (20, 10, 0)
    assert sorted(receiver.bodies) == sorted(bodies(30))


@pytest.mark.parametrize(
    "failing",
    [answer(500), answer(503, Retry_After="1"), answer(429), answer(302, Location="/x"), answer(401), garbage, hang_up],
    ids=["500", "503", "429", "302", "401", "garbage", "hangs up"],
)
def test_failures_are_retried(receiver: Receiver, folder: str, failing: Callable[[Received, Any], None]) -> None:
    """Whatever it does, everything arrives once it works again; until then all of it waits."""
    receiver.behaviour = failing
    with forwarding(receiver.url, folder, forward_connections=2) as found:
        found.offer(*bodies(20))
        wait_for(lambda: found.value("retries_total") >= 3)
        assert found.count("sent") == 0
        wait_for(lambda: found.value("waiting_requests") == 20)
        receiver.behaviour = answer(200)
        wait_for(lambda: found.count("sent") == 20)
    assert set(receiver.bodies) == set(bodies(20))


def test_no_receiver_at_first(folder: str) -> None:
    """What came before it was there arrives; attempts become rare meanwhile, and the age grows."""
    port = free_port()
    with forwarding(f"http://127.0.0.1:{port}", folder, forward_connections=2) as found:
        found.offer(*bodies(50))
        wait_for(lambda: found.value("retries_total") >= 4)
        wait_for(lambda: found.value("oldest_seconds") > 0.5)
        assert found.value("waiting_requests") == 50
        assert found.value("retries_total") < 20
        with receiving(port) as receiver:
            wait_for(lambda: found.count("sent") == 50)
            assert sorted(receiver.bodies) == sorted(bodies(50))


def test_one_that_never_answers(receiver: Receiver, folder: str) -> None:
    """After FORWARD_TIMEOUT_SECONDS it is a failure; offers don't wait for it."""
    receiver.behaviour = receiver.wait_until_the_end
    with forwarding(receiver.url, folder, forward_timeout_seconds=0.3, forward_connections=2) as found:
        found.offer(*bodies(10))
        wait_for(lambda: found.value("retries_total") >= 2)
        receiver.behaviour = answer(200)
        wait_for(lambda: found.count("sent") == 10)


def test_a_message_that_always_fails(receiver: Receiver, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others go past it; it is given up in the end, and counted."""
    monkeypatch.setattr("request_logger.forward.backoff._LONGEST_SECONDS", 0.02)

    def behave(received: Received, handler: Any) -> None:
        answer(500 if received.body == b"0" else 200)(received, handler)

    receiver.behaviour = behave
    with forwarding(receiver.url, folder) as found:
        found.offer(*bodies(20))
        wait_for(lambda: found.count("sent") == 19)
        # Alone it is retried without an end: the receiver may be what fails.
        wait_for(lambda: found.value("retries_total") >= 5)
        number = 20

        def is_given_up() -> bool:
            nonlocal number
            found.offer(b"%d" % number)
            number += 1
            time.sleep(0.02)
            return found.count("given_up") == 1

        wait_for(is_given_up)
        wait_for(lambda: found.value("waiting_requests") == 0)
    assert receiver.bodies.count(b"0") >= 20


def test_unsendable_headers(receiver: Receiver, folder: str) -> None:
    """A line end in a header, which only another program's can be, makes the message refused, not the thread end."""
    with forwarding(receiver.url, folder) as found:
        found.forwarder.offer(Message({**HEADERS, "ce-x": "a\nb"}, b"bad"))
        found.offer(b"good")
        wait_for(lambda: (found.count("refused"), found.count("sent")) == (1, 1))


def test_overflow_in_memory() -> None:
    """What has no room is dropped and counted; what has is sent later."""
    port = free_port()
    with forwarding(f"http://127.0.0.1:{port}", "", forward_memory_bytes=2**16) as found:
        found.offer(*bodies(100))
        dropped = found.count("dropped")
        assert 0 < dropped < 100
        with receiving(port):
            wait_for(lambda: found.count("sent") == 100 - dropped)
            found.offer(*bodies(10))
            wait_for(lambda: found.count("sent") == 110 - dropped)


def test_overflow_on_disk(tmp_path: Path) -> None:
    """A full spool and a full memory: the rest is dropped; one that never fits is dropped at once and blocks none."""
    port = free_port()
    limits = {"forward_memory_bytes": 2**18, "forward_spool_bytes": 2**16}
    with forwarding(f"http://127.0.0.1:{port}", str(tmp_path), **limits) as found:
        found.offer(bytes(2**17))
        wait_for(lambda: found.count("dropped") == 1)
        found.offer(*(b"%05d" % number + bytes(5_000) for number in range(400)))
        dropped = found.count("dropped")
        assert 1 < dropped < 400
        with receiving(port):
            wait_for(lambda: found.count("sent") == 401 - dropped)
            wait_for(lambda: found.value("waiting_requests") == 0)
    assert found.count("dropped") == dropped


def test_a_stop_sends_what_is_in_memory(receiver: Receiver) -> None:
    found = Forwarding(receiver.url, "")
    found.offer(*bodies(100))
    found.forwarder.close(10)
    assert sorted(receiver.bodies) == sorted(bodies(100))


def test_a_stop_keeps_what_is_on_disk(tmp_path: Path) -> None:
    """Also what had just been offered; the next process sends it."""
    port = free_port()
    found = Forwarding(f"http://127.0.0.1:{port}", str(tmp_path))
    found.offer(*bodies(100))
    found.forwarder.close(0.5)
    with receiving(port) as receiver, forwarding(receiver.url, str(tmp_path)) as again:
        wait_for(lambda: again.count("sent") == 100)
        assert sorted(receiver.bodies) == sorted(bodies(100))


def test_killed_with_a_full_spool(receiver: Receiver, tmp_path: Path) -> None:
    """What was on disk at kill -9 is sent by the next process; a part of what had been sent may arrive twice."""
    receiver.behaviour = lambda received, handler: answer(200 if int(received.body) % 2 else 503)(received, handler)
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=offer_and_wait, args=(receiver.url, str(tmp_path), 200, ready))
    process.start()
    try:
        assert ready.wait(30)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join(10)
    finally:
        process.kill()
    receiver.behaviour = answer(200)
    with forwarding(receiver.url, str(tmp_path)) as again:
        wait_for(lambda: again.count("sent") > 0 and again.value("waiting_requests") == 0)
    assert set(receiver.bodies) == set(bodies(200))


def test_two_processes_share_the_disk(receiver: Receiver, tmp_path: Path) -> None:
    """One of them sends what both have; when it ends, the other takes over."""
    with forwarding(receiver.url, str(tmp_path)) as first, forwarding(receiver.url, str(tmp_path)) as second:
        second.offer(*bodies(100))
        wait_for(lambda: first.count("sent") == 100)
        first.forwarder.close(1)
        second.offer(*bodies(100, 100))
        wait_for(lambda: second.count("sent") == 100)
    assert sorted(receiver.bodies) == sorted(bodies(200))


def test_a_damaged_record_is_set_aside(receiver: Receiver, tmp_path: Path) -> None:
    """It is moved to a file, counted, and stops no other."""
    from request_logger.forward import disk_outbox

    incidents: list[str] = []
    outbox = disk_outbox.DiskOutbox(str(tmp_path), 2**20, lambda: None, lambda what, *_: incidents.append(what))
    outbox._spool.append_records([b"damaged", disk_outbox.to_record(Message(HEADERS, b"whole"))])
    found = outbox.next()
    assert found is not None
    assert found[1].body == b"whole"
    assert outbox.next() is None
    outbox.remove(found[0])
    outbox.close()
    assert incidents == ["spool_bad"]
    assert len(list((tmp_path / "forward").glob("bad-*.bin"))) == 1


def test_a_retry_after_is_waited_for() -> None:
    """Also by a receiver that works; a long one is a mistake."""
    assert sink._outcome(429, "7").retry_after == 7
    assert sink._outcome(503, "99999").retry_after == sink.MOST_RETRY_AFTER_SECONDS
    assert [sink._outcome(503, text).retry_after for text in (None, "soon", "-1", "9" * 400, "\u0663")] == [0] * 5
    circuit = Circuit(4, 2)
    circuit.failed(100.0, 7)
    assert (circuit.room(106.9, 0), circuit.room(107.1, 0)) == (0, 4)


def test_the_circuit() -> None:
    """After some failures in a row one at a time is tried, with growing pauses; one success opens it."""
    circuit = Circuit(8, 3)
    now = 0.0
    assert circuit.room(now, 5) == 3
    for _ in range(8):
        circuit.failed(now, 0)
    # All eight were in flight together: one pause.
    assert circuit.room(now + 0.24, 0) == 0
    assert circuit.room(now + 0.51, 0) == 1
    assert circuit.room(now + 0.51, 1) == 0
    for _ in range(12):
        now += 31
        assert circuit.room(now, 0) == 1
        circuit.failed(now, 0)
    assert circuit.room(now + 14.9, 0) == 0
    circuit.sent()
    assert circuit.room(now, 0) == 8
