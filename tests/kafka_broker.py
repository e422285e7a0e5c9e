"""A real Kafka for the tests: one KRaft process, its jars from Maven Central checked like those of the engines."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from request_logger.embedded_engine.jars import cache_folder, fetch
from request_logger.embedded_engine.java import find_java
from request_logger.embedded_engine.kinds import Kind, read_lock
from tests.helpers import free_port

KIND = Kind(name="kafka", title="Kafka", version="3.9.1", java=17, launcher="kafka.Kafka")
_LOCK = Path(__file__).parent / "data" / "kafka.lock"
_BOOT_SECONDS = 60
# Its standard input is a pipe from us: when we end, of whatever, it is closed, and Java is killed.
_TIED = '"$@" & java=$!; cat > /dev/null; kill -9 $java'
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={folder}/data
num.partitions=1
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
auto.create.topics.enable=false
log.retention.ms=-1
"""


class Broker:
    """A Kafka that runs. ``address`` is what KAFKA_BROKERS takes."""

    def __init__(self, address: str, log: Path) -> None:
        self.address = address
        self.log = log
        self.admin = AdminClient({"bootstrap.servers": address, "log_level": 0})

    def make_topic(self, name: str, partitions: int = 1) -> str:
        """Make a topic, give its name."""
        self.admin.create_topics([NewTopic(name, partitions, 1)])[name].result(30)
        return name

    def committed(self, topic: str, partitions: int, group: str) -> list[int]:
        """The offsets that a group has committed, 0 where there is none."""
        places = [TopicPartition(topic, number) for number in range(partitions)]
        asked = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)])
        return [max(place.offset, 0) for place in asked[group].result(30).topic_partitions]


@contextlib.contextmanager
def start_kafka(progress: Callable[[str], None] = print) -> Iterator[Broker]:
    """Run a Kafka for as long as the block does. Raises EngineUnavailable where Java or the jars are missing."""
    java = find_java(KIND)
    jars = read_lock(_LOCK)
    lib = cache_folder(KIND) / "lib"
    fetch(KIND.label, jars, lib, progress)
    folder = Path(tempfile.mkdtemp(prefix="request-logger-kafka-"))
    port, controller = free_port(), free_port()
    properties = folder / "server.properties"
    properties.write_text(_PROPERTIES.format(port=port, controller=controller, folder=folder))
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    base = [str(java.path), "-Xmx512m", "-XX:+ExitOnOutOfMemoryError", quiet, "-cp", f"{lib}/*"]
    log = folder / "kafka.log"
    process = None
    try:
        with log.open("ab") as file:
            subprocess.run(
                [*base, "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", str(properties)],
                stdout=file, stderr=file, stdin=subprocess.DEVNULL, check=True,
            )  # fmt: skip
            process = subprocess.Popen(
                ["/bin/sh", "-c", _TIED, "sh", *base, KIND.launcher, str(properties)],
                stdin=subprocess.PIPE, stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip
        broker = Broker(f"127.0.0.1:{port}", log)
        _wait(broker, port)
        yield broker
    finally:
        if process is not None and process.stdin is not None:
            process.stdin.close()
            process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(broker: Broker, port: int) -> None:
    deadline = time.monotonic() + _BOOT_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                with contextlib.suppress(KafkaException):
                    broker.admin.list_topics(timeout=5)
                    return
        time.sleep(0.1)
    raise AssertionError(f"Kafka is not ready:\n{broker.log.read_text()[-2000:]}")
