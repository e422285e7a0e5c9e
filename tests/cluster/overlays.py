"""Every overlay and component: applied twice, scaled, upgraded, taken back and deleted on a real API server."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.control_plane import Cluster
from tests.cluster.processes import wait
from tests.cluster.report import Report
from tests.k8s.manifests import APPLIED, K8S, pod_specs

IMAGE = "registry.example/seldon-request-logger"
# What Kubernetes itself puts into a namespace.
BUILT_IN = {"ConfigMap/kube-root-ca.crt", "ServiceAccount/default"}
KINDS = (
    "deployment.apps,statefulset.apps,cronjob.batch,service,configmap,serviceaccount,persistentvolumeclaim,"
    "horizontalpodautoscaler,poddisruptionbudget,networkpolicy,servicemonitor,podmonitor,prometheusrule,"
    "services.serving.knative.dev,broker,trigger"
)
_SCALED = 5


@dataclass(frozen=True)
class Case:
    """What a user's own kustomization lists."""

    overlay: str
    component: str = ""

    @property
    def name(self) -> str:
        """As a user would say it."""
        return f"{self.overlay} with {self.component}" if self.component else self.overlay


def cases() -> list[Case]:
    """Every overlay alone, and with each component that it doesn't have."""
    engines = ("opensearch", "elastic")
    made = [Case(overlay) for overlay in APPLIED]
    for overlay in APPLIED:
        made += [Case(overlay, component) for component in ("prune", "prune-payloads")]
        if overlay.rpartition("/")[2] not in engines:
            made += [Case(overlay, component) for component in engines]
    return made


def check_overlays(cluster: Cluster, report: Report, folder: Path) -> None:
    """Run the steps of every case, each in a namespace of its own."""
    shutil.copytree(K8S, folder / "k8s")
    for number, case in enumerate(cases()):
        group = f"{case.name}: "
        if not report.chosen(group):
            continue
        namespace = f"overlay-{number}"
        with report.step(f"{group}apply"):
            cluster.namespace(namespace)
            kustomization = write(folder / namespace, case, namespace)
            apply(cluster, kustomization)
        with report.step(f"{group}apply again, diff is empty"):
            check_unchanged(cluster, kustomization, namespace)
        with report.step(f"{group}its pods are admitted as restricted"):
            check_pods(cluster, namespace)
        if not case.component:
            _check_changes(cluster, report, group, case, kustomization, namespace)
        with report.step(f"{group}delete leaves the volumes alone"):
            check_deleted(cluster, kustomization, namespace)
        if not case.component:
            _check_client_side(cluster, report, folder / f"client-{number}", case, f"client-{number}")
    _check_beside(cluster, report, folder)


def _check_changes(
    cluster: Cluster, report: Report, group: str, case: Case, kustomization: Path, namespace: str
) -> None:
    if cluster.objects(namespace, "horizontalpodautoscaler"):
        with report.step(f"{group}scale, apply keeps the number of pods"):
            scale(cluster, namespace)
            apply(cluster, kustomization)
            assert replicas(cluster, namespace) == _SCALED
    with report.step(f"{group}upgrade and go back"):
        for tag in ("next", "first"):
            write(kustomization, case, namespace, tag)
            apply(cluster, kustomization)
            found = set(images(cluster, namespace))
            assert found == {f"{IMAGE}:{tag}"}, found
            check_pods(cluster, namespace)


def _check_client_side(cluster: Cluster, report: Report, folder: Path, case: Case, namespace: str) -> None:
    with report.step(f"{case.name}: client-side: apply twice, scale, apply, delete"):
        cluster.namespace(namespace)
        kustomization = str(write(folder, case, namespace))
        cluster.kubectl("apply", "-k", kustomization)
        for is_scaled in (False, bool(cluster.objects(namespace, "horizontalpodautoscaler"))):
            if is_scaled:
                scale(cluster, namespace)
            wait_for_autoscaler(cluster, namespace)
            before = generations(cluster, namespace)
            cluster.kubectl("apply", "-k", kustomization)
            assert generations(cluster, namespace) == before
            assert cluster.kubectl("diff", "-k", kustomization) == ""
        cluster.kubectl("delete", "-k", kustomization)


def _check_beside(cluster: Cluster, report: Report, folder: Path) -> None:
    """The consumer beside another overlay, and without it again."""
    group = "overlays/kafka beside base: "
    if not report.chosen(group):
        return
    with report.step(f"{group}delete removes nothing of the other"):
        namespace = cluster.namespace("beside")
        first = write(folder / "beside-base", Case("base"), namespace)
        second = write(folder / "beside-kafka", Case("overlays/kafka"), namespace)
        apply(cluster, first)
        before = names(cluster, namespace)
        apply(cluster, second)
        cluster.kubectl("delete", "-k", str(second))
        assert names(cluster, namespace) == before


def write(folder: Path, case: Case, namespace: str, tag: str = "first", extra: str = "") -> Path:
    """Write a user's kustomization; return its folder."""
    folder.mkdir(exist_ok=True)
    components = f"components: [../k8s/components/{case.component}]\n" if case.component else ""
    (folder / "kustomization.yaml").write_text(
        f"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: {namespace}\n"
        f"resources: [../k8s/{case.overlay}]\n{components}images: [{{name: {IMAGE}, newTag: {tag}}}]\n{extra}",
        encoding="utf-8",
    )
    return folder


def apply(cluster: Cluster, kustomization: Path, *options: str) -> None:
    """Apply on the server; a conflict or a warning is an AssertionError."""
    cluster.kubectl("apply", "--server-side", *options, "-k", str(kustomization))


def check_unchanged(cluster: Cluster, kustomization: Path, namespace: str) -> None:
    """A second apply changes no object, and diff says so."""
    wait_for_autoscaler(cluster, namespace)
    before = generations(cluster, namespace)
    apply(cluster, kustomization)
    assert generations(cluster, namespace) == before
    assert cluster.kubectl("diff", "--server-side", "-k", str(kustomization)) == ""


def check_pods(cluster: Cluster, namespace: str) -> None:
    """Every workload has made pods, so PodSecurity has admitted them. Those of Knative and of jobs are only tried."""
    workloads = cluster.objects(namespace, "deployment.apps", "statefulset.apps")
    for workload in workloads:
        kind, name = workload["kind"].lower(), workload["metadata"]["name"]
        wait(functools.partial(_has_pods, cluster, namespace, kind, name), f"{kind} {name} has its pods")
    others = cluster.objects(namespace, "cronjob.batch", "services.serving.knative.dev")
    assert workloads or others
    for other in others:
        for _, spec in pod_specs(other):
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "try"}, "spec": _without_knative(spec)}
            cluster.kubectl("create", "--dry-run=server", "--namespace", namespace, "-f", "-", given=json.dumps(pod))


def _without_knative(spec: dict[str, Any]) -> dict[str, Any]:
    """What Knative's controller makes of a revision's pod: its own fields go, probes get the container's port."""
    made: dict[str, Any] = json.loads(json.dumps(spec))
    for name in ("containerConcurrency", "timeoutSeconds"):
        made.pop(name, None)
    for container in made["containers"]:
        for probe in ("livenessProbe", "readinessProbe"):
            if probe in container:
                container[probe]["httpGet"].setdefault("port", container["ports"][0]["containerPort"])
    return made


def _has_pods(cluster: Cluster, namespace: str, kind: str, name: str) -> bool:
    found = cluster.get(namespace, kind, name)
    status = found["status"]
    failed = [each["message"] for each in status.get("conditions", []) if each["type"] == "ReplicaFailure"]
    assert not failed, failed
    return bool(
        status.get("observedGeneration") == found["metadata"]["generation"]
        and status.get("replicas", 0) >= found["spec"]["replicas"] > 0
    )


def check_deleted(cluster: Cluster, kustomization: Path, namespace: str) -> None:
    """What is left are the volumes of the StatefulSets: events may wait on them."""
    sets = cluster.objects(namespace, "statefulset.apps")
    volumes = {
        f"PersistentVolumeClaim/{claim['metadata']['name']}-{each['metadata']['name']}-{number}"
        for each in sets
        for claim in each["spec"]["volumeClaimTemplates"]
        for number in range(each["spec"]["replicas"])
    }
    cluster.kubectl("delete", "-k", str(kustomization))
    left = names(cluster, namespace) - BUILT_IN
    assert left == volumes, left ^ volumes


def wait_for_autoscaler(cluster: Cluster, namespace: str) -> None:
    """Until it has set its minimum: until then a Deployment has one pod."""
    for each in cluster.objects(namespace, "horizontalpodautoscaler"):
        target = each["spec"]["scaleTargetRef"]["name"]
        wait(functools.partial(_has_minimum, cluster, namespace, target, each["spec"]["minReplicas"]), "the minimum")


def _has_minimum(cluster: Cluster, namespace: str, name: str, least: int) -> bool:
    return replicas(cluster, namespace, name) >= least


def scale(cluster: Cluster, namespace: str, name: str = "seldon-request-logger") -> None:
    """As the autoscaler does, by the subresource. It keeps that number, since there are no metrics."""
    cluster.kubectl("scale", "deployment", name, "--namespace", namespace, f"--replicas={_SCALED}")


def replicas(cluster: Cluster, namespace: str, name: str = "seldon-request-logger") -> int:
    """How many pods a Deployment is to have."""
    return int(cluster.get(namespace, "deployment", name)["spec"]["replicas"])


def images(cluster: Cluster, namespace: str) -> Iterable[str]:
    """Return the image of every container in a namespace's workloads."""
    kinds = ("deployment.apps", "statefulset.apps", "cronjob.batch", "services.serving.knative.dev")
    for workload in cluster.objects(namespace, *kinds):
        for _, spec in pod_specs(workload):
            yield from (container["image"] for container in spec["containers"])


def names(cluster: Cluster, namespace: str) -> set[str]:
    """Return kind and name of all objects of the kinds that we make, but those in deletion."""
    return {
        f"{each['kind']}/{each['metadata']['name']}"
        for each in cluster.objects(namespace, KINDS)
        if "deletionTimestamp" not in each["metadata"]
    }


def generations(cluster: Cluster, namespace: str) -> dict[str, Any]:
    """Return what changes with an object's content; of those without a generation, the content."""
    return {
        f"{each['kind']}/{each['metadata']['name']}": each["metadata"].get("generation")
        or each.get("data")
        or each["spec"]
        for each in cluster.objects(namespace, KINDS)
        if each["kind"] not in ("ServiceAccount", "PersistentVolumeClaim")
    }


def rendered(cluster: Cluster, kustomization: Path) -> list[dict[str, Any]]:
    """Return what would be applied."""
    return list(yaml.safe_load_all(cluster.kubectl("kustomize", str(kustomization))))
