"""The overlays over what the original's notebooks made, as docs/kubernetes.md says it goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cluster.control_plane import Cluster
from tests.cluster.overlays import (
    IMAGE,
    Case,
    apply,
    check_pods,
    check_unchanged,
    images,
    rendered,
    wait_for_autoscaler,
    write,
)
from tests.cluster.report import Report
from tests.k8s.manifests import named

NAME = "seldon-request-logger"
ORIGINAL = Path(__file__).parent / "original"
KNATIVE_KINDS = ("eventing.knative.dev/v1/Broker", "eventing.knative.dev/v1/Trigger", "serving.knative.dev/v1/Service")
# As docs/kubernetes.md has it.
KEEP_THE_BROKER = (
    "patches:\n  - patch: |\n      $patch: delete\n      apiVersion: eventing.knative.dev/v1\n      kind: Broker\n"
    "      metadata:\n        name: default\n"
)


def check_originals(cluster: Cluster, report: Report, folder: Path) -> None:
    """Run the steps of the Deployment's overlay and of Knative's."""
    if report.chosen("over the original's Deployment: "):
        _check_deployment(cluster, report, folder)
    if report.chosen("over the original's Knative Service: "):
        _check_knative(cluster, report, folder)


def _check_deployment(cluster: Cluster, report: Report, folder: Path) -> None:
    group = "over the original's Deployment: "
    with report.step(f"{group}client-side apply removes its env, the autoscaler sets the number of pods"):
        namespace = make_original(cluster, "original-client", "deployment")
        kustomization = write(folder / namespace, Case("base"), namespace)
        cluster.kubectl("apply", "-k", str(kustomization))
        assert "ELASTICSEARCH_HOST" not in variables(cluster, namespace)
        assert set(images(cluster, namespace)) == {f"{IMAGE}:first"}
        wait_for_autoscaler(cluster, namespace)
        check_pods(cluster, namespace)
    with report.step(f"{group}server-side apply conflicts, and takes over by force"):
        namespace = make_original(cluster, "original-server", "deployment")
        kustomization = write(folder / namespace, Case("base"), namespace)
        assert "conflict" in cluster.refused("apply", "--server-side", "-k", str(kustomization))
        apply(cluster, kustomization, "--force-conflicts")
        assert "ELASTICSEARCH_HOST" not in variables(cluster, namespace)
        check_unchanged(cluster, kustomization, namespace)
        check_pods(cluster, namespace)
    with report.step(f"{group}the image alone is refused in a restricted namespace"):
        namespace = make_original(cluster, "original-image", "deployment")
        done = cluster.call(
            *(cluster.programs["kube"], "kubectl", "--namespace", namespace, "set", "image"),
            *(f"deployment/{NAME}", f"user-container={IMAGE}:first"),
        )
        assert "would violate PodSecurity" in done.stderr, done.stderr


def _check_knative(cluster: Cluster, report: Report, folder: Path) -> None:
    group = "over the original's Knative Service: "
    with report.step(f"{group}client-side apply, by Knative's own rules an update"):
        namespace = make_original(cluster, "original-knative", "knative")
        kustomization = write(folder / namespace, Case("overlays/knative"), namespace)
        known = _knative_names(cluster, kustomization)
        was = {kind: cluster.get(namespace, _resource(kind), name) for kind, name in known}
        cluster.kubectl("apply", "-k", str(kustomization))
        for kind, name in known:
            problem = validate(cluster, cluster.get(namespace, _resource(kind), name), folder, was[kind])
            assert not problem, problem
        found = cluster.get(namespace, _resource(KNATIVE_KINDS[2]), NAME)["spec"]["template"]["spec"]["containers"]
        assert [container["image"] for container in found] == [f"{IMAGE}:first"]
        assert "ELASTICSEARCH_HOST" not in {each["name"] for each in found[0]["env"]}
    with report.step(f"{group}server-side apply by force"):
        namespace = make_original(cluster, "original-knative-server", "knative")
        kustomization = write(folder / namespace, Case("overlays/knative"), namespace)
        apply(cluster, kustomization, "--force-conflicts")
        check_unchanged(cluster, kustomization, namespace)
    with report.step(f"{group}a Broker of another class is refused, unless it is left out"):
        namespace = cluster.namespace("original-broker")
        kustomization = write(folder / namespace, Case("overlays/knative"), namespace)
        (broker,) = named(rendered(cluster, kustomization), KNATIVE_KINDS[0]).values()
        kafka = json.loads(json.dumps(broker))
        kafka["metadata"]["annotations"] = {"eventing.knative.dev/broker.class": "Kafka"}
        cluster.kubectl("apply", "-f", "-", given=json.dumps(kafka))
        assert "immutable" in validate(cluster, broker, folder, kafka).lower()
        apply(cluster, write(kustomization, Case("overlays/knative"), namespace, extra=KEEP_THE_BROKER))
        kept = cluster.get(namespace, "broker", "default")["metadata"]["annotations"]
        assert kept["eventing.knative.dev/broker.class"] == "Kafka"
    with report.step(f"{group}Knative's defaulting and validation accept every object of the overlay"):
        kustomization = write(folder / "own", Case("overlays/knative"), "own")
        made = [each for kind in KNATIVE_KINDS for each in named(rendered(cluster, kustomization), kind).values()]
        assert len(made) == len(KNATIVE_KINDS)
        problems = [validate(cluster, each, folder) for each in made]
        assert not any(problems), problems
        # What it finds: made[1] is the Trigger.
        wrong = {**made[1], "spec": {**made[1]["spec"], "delivery": {"retry": -1}}}
        assert "spec.delivery.retry" in validate(cluster, wrong, folder)


def make_original(cluster: Cluster, namespace: str, name: str) -> str:
    """Apply the original's objects in a namespace of their own, as the notebooks do; return its name."""
    # Where the original runs, pods aren't restricted: the label comes afterwards.
    cluster.kubectl("create", "namespace", namespace)
    cluster.kubectl("apply", "--namespace", namespace, "-f", str(ORIGINAL / f"{name}.yaml"))
    cluster.call(
        *(cluster.programs["kube"], "kubectl", "label", "namespace", namespace),
        *("pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/warn=restricted"),
    )
    return namespace


def variables(cluster: Cluster, namespace: str) -> set[str]:
    """Return the names in the `env` of the logger's container."""
    (container,) = cluster.get(namespace, "deployment", NAME)["spec"]["template"]["spec"]["containers"]
    return {each["name"] for each in container.get("env", [])}


def validate(cluster: Cluster, given: dict[str, Any], folder: Path, was: dict[str, Any] | None = None) -> str:
    """Return what Knative's validation has against an object, or against an update of another one."""
    arguments = []
    if was:
        path = folder / "was.json"
        path.write_text(json.dumps(was), encoding="utf-8")
        arguments = ["--was", str(path)]
    done = cluster.call(cluster.programs["validate"], *arguments, given=json.dumps(given))
    assert (done.returncode == 0) == (done.stderr == ""), done.stderr
    return str(done.stderr)


def _knative_names(cluster: Cluster, kustomization: Path) -> list[tuple[str, str]]:
    manifests = rendered(cluster, kustomization)
    return [(kind, name) for kind in KNATIVE_KINDS for name in named(manifests, kind)]


def _resource(kind: str) -> str:
    """As kubectl names a kind whose short name two APIs have."""
    group, _, name = kind.split("/")
    return f"{name.lower()}s.{group}"
