"""k8s/ is what Kubernetes, Knative and the Prometheus operator take, and its parts find one another."""

from __future__ import annotations

import copy
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from request_logger import __version__
from request_logger.commands.registry import COMMANDS
from request_logger.commands.settings import OTHERS
from request_logger.settings import Settings
from tests.k8s.manifests import (
    APPLIED,
    K8S,
    KUSTOMIZE,
    Manifest,
    documents,
    kind_of,
    named,
    pod_specs,
    pods_in,
    problems,
    rendered,
)

FILES = sorted(path for path in K8S.glob("**/*.yaml") if "dashboards" not in path.parts)
WHOLE = [
    (path, document)
    for path in FILES
    for document in documents(path)
    if isinstance(document, dict) and "apiVersion" in document and "kustomize" not in document["apiVersion"]
]
# They have no reference to another object, but for those of their pods.
POINTS_NOWHERE = {
    "v1/ServiceAccount",
    "v1/ConfigMap",
    "apps/v1/Deployment",
    "serving.knative.dev/v1/Service",
    "eventing.knative.dev/v1/Broker",
    "monitoring.coreos.com/v1/PrometheusRule",
}
VARIABLES = {name.upper() for name in Settings.__dataclass_fields__} | set(OTHERS)
needs_kustomize = pytest.mark.skipif(
    KUSTOMIZE is None, reason="neither kustomize nor kubectl is here: the files alone are checked"
)
every_overlay = pytest.mark.parametrize("name", APPLIED)


@pytest.mark.parametrize(("path", "manifest"), WHOLE, ids=lambda value: value.name if isinstance(value, Path) else "")
def test_files_are_valid(path: Path, manifest: Manifest) -> None:
    """Each file is valid by its kind's schema: this needs no tool."""
    assert problems(manifest) == [], path


def test_kustomizations_name_files_that_exist() -> None:
    """And each file is named by one."""
    reached = {K8S / name / "kustomization.yaml" for name in APPLIED}
    todo = [*reached, *K8S.glob("components/*/kustomization.yaml")]
    while todo:
        kustomization = todo.pop()
        reached.add(kustomization)
        (content,) = documents(kustomization)
        targets = [*content.get("resources", []), *content.get("components", []), *content.get("configurations", [])]
        targets += [patch["path"] for patch in content.get("patches", []) if "path" in patch]
        for target in targets:
            path = (kustomization.parent / target).resolve()
            if path.is_dir():
                path /= "kustomization.yaml"
            assert path.is_file(), f"{kustomization}: {target}"
            if path not in reached and path.name == "kustomization.yaml":
                todo.append(path)
            reached.add(path)
    assert sorted(set(FILES) - reached) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "replicas"), "two"),
        (("spec", "replica"), 2),
        (("spec", "template", "spec", "containers", 0, "readinessProbe", "httpGet", "port"), None),
        (("spec", "template", "spec", "containers", 0, "envFrom"), {"name": "x"}),
    ],
)
def test_schemas_find_mistakes(path: tuple[Any, ...], value: Any) -> None:
    """The check would notice a wrong type, a misspelt field, a missing one."""
    manifest = copy.deepcopy(next(each for _, each in WHOLE if kind_of(each) == "apps/v1/Deployment"))
    inner: Any = manifest
    for step in path[:-1]:
        inner = inner[step]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    assert len(problems(manifest)) == 1


@needs_kustomize
@every_overlay
def test_what_is_applied_is_valid(name: str) -> None:
    """Kustomize's output is valid by the schemas, in one namespace, and nothing is there twice."""
    manifests = rendered(name)
    assert {kind_of(each) + each["metadata"]["name"]: problems(each) for each in manifests if problems(each)} == {}
    assert {each["metadata"]["namespace"] for each in manifests} == {"seldon-logs"}
    names = [(kind_of(each), each["metadata"]["name"]) for each in manifests]
    assert len(names) == len(set(names))


@needs_kustomize
@every_overlay
def test_pods_are_restricted(name: str) -> None:
    """Every pod keeps to the restricted Pod Security Standard, writes to volumes alone, and has our version."""
    for manifest, pod in pods_in(rendered(name)):
        (container,) = pod["containers"]
        # Knative has the pod's part of it at the container.
        both = {**pod.get("securityContext", {}), **container["securityContext"]}
        assert both["runAsNonRoot"] is True
        assert both["runAsUser"] == 10001
        assert both["seccompProfile"] == {"type": "RuntimeDefault"}
        assert both["allowPrivilegeEscalation"] is False
        assert both["capabilities"] == {"drop": ["ALL"]}
        assert both["readOnlyRootFilesystem"] is True
        assert pod["automountServiceAccountToken"] is False
        assert {"requests", "limits"} <= set(container["resources"])
        assert {mount["name"] for mount in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]} | {
            each["metadata"]["name"] for each in manifest["spec"].get("volumeClaimTemplates", [])
        }
        assert container["image"] == f"registry.example/seldon-request-logger:{__version__}"
        if "args" in container:
            assert container["args"][0] == "request-logger"
            assert container["args"][1] in COMMANDS
        if manifest["kind"] != "CronJob":
            assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
            # Knative holds events while no pod is ready: test_a_sender_behind_knative_is_answered_in_time.
            ready = "/healthz" if kind_of(manifest) == "serving.knative.dev/v1/Service" else "/readyz"
            assert container["readinessProbe"]["httpGet"]["path"] == ready


@needs_kustomize
@every_overlay
def test_variables_exist(name: str) -> None:
    """Every variable that a manifest sets is one of ours, and right by our own check."""
    manifests = rendered(name)
    (config,) = named(manifests, "v1/ConfigMap").values()
    assert set() < set(config["data"]) <= VARIABLES
    for _, pod in pods_in(manifests):
        (container,) = pod["containers"]
        given = {each["name"]: each.get("value", "secret") for each in container["env"]}
        assert set(given) <= VARIABLES
        Settings.from_env({**config["data"], **given})


@needs_kustomize
@every_overlay
def test_parts_find_one_another(name: str) -> None:
    """Selectors match pods, ports, ConfigMaps, ServiceAccounts and targets are there."""
    manifests = rendered(name)
    pods = [(labels, pod) for manifest in manifests for labels, pod in pod_specs(manifest)]
    services = named(manifests, "v1/Service")
    for manifest in manifests:
        spec = manifest.get("spec", {})
        match kind_of(manifest):
            case "v1/Service":
                (chosen,) = [pod for labels, pod in pods if spec["selector"].items() <= labels.items()]
                ports = {port["containerPort"] for port in chosen["containers"][0]["ports"]}
                assert {port["targetPort"] for port in spec["ports"]} <= ports
                assert spec["ports"][0]["port"] == 80
            case "monitoring.coreos.com/v1/ServiceMonitor":
                wanted = spec["selector"]["matchLabels"].items()
                (service,) = [each for each in services.values() if wanted <= each["metadata"]["labels"].items()]
                assert spec["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
            case "policy/v1/PodDisruptionBudget" | "monitoring.coreos.com/v1/PodMonitor":
                wanted = spec["selector"]["matchLabels"].items()
                assert [labels for labels, _ in pods if wanted <= labels.items()]
            case "networking.k8s.io/v1/NetworkPolicy":
                wanted = spec["podSelector"]["matchLabels"].items()
                assert [labels for labels, _ in pods if wanted <= labels.items()]
            case "autoscaling/v2/HorizontalPodAutoscaler":
                target = spec["scaleTargetRef"]
                assert target["name"] in named(manifests, f"{target['apiVersion']}/{target['kind']}")
            case "eventing.knative.dev/v1/Trigger":
                assert spec["broker"] in named(manifests, "eventing.knative.dev/v1/Broker")
                for ref in (spec["subscriber"]["ref"], spec["delivery"]["deadLetterSink"]["ref"]):
                    assert ref["name"] in named(manifests, f"{ref['apiVersion']}/{ref['kind']}")
            case "apps/v1/StatefulSet":
                assert spec["serviceName"] in services
            case kind:
                assert kind in POINTS_NOWHERE, "a kind whose references are not checked"
    for _, pod in pods_in(manifests):
        (container,) = pod["containers"]
        assert container["envFrom"][0]["configMapRef"]["name"] in named(manifests, "v1/ConfigMap")
        assert pod["serviceAccountName"] in named(manifests, "v1/ServiceAccount")


@needs_kustomize
def test_names_are_those_of_the_notebooks() -> None:
    """What is applied takes the place of what Seldon's notebooks made; a Deployment's selector can't be changed."""
    knative = rendered("overlays/knative")
    service = named(knative, "serving.knative.dev/v1/Service")["seldon-request-logger"]
    trigger = named(knative, "eventing.knative.dev/v1/Trigger")["seldon-request-logger-trigger"]
    assert trigger["spec"]["subscriber"]["ref"]["name"] == service["metadata"]["name"]
    assert trigger["spec"]["broker"] == "default"
    assert trigger["spec"]["delivery"]["retry"] > 0
    # Knative makes a Service of that name itself.
    assert "seldon-request-logger" not in named(knative, "v1/Service")
    base = rendered("base")
    deployment = named(base, "apps/v1/Deployment")["seldon-request-logger"]
    assert deployment["spec"]["selector"] == {"matchLabels": {"app": "seldon-request-logger"}}
    assert deployment["spec"]["template"]["spec"]["containers"][0]["name"] == "user-container"
    assert named(base, "v1/Service")["seldon-request-logger"]["spec"]["selector"] == {"app": "seldon-request-logger"}


@needs_kustomize
@every_overlay
def test_the_autoscaler_alone_sets_replicas(name: str) -> None:
    """Where both do, applying again resets the number of pods, or conflicts with the autoscaler's change."""
    for autoscaler in named(rendered(name), "autoscaling/v2/HorizontalPodAutoscaler").values():
        target = autoscaler["spec"]["scaleTargetRef"]
        scaled = named(rendered(name), f"{target['apiVersion']}/{target['kind']}")[target["name"]]
        assert "replicas" not in scaled["spec"]


@needs_kustomize
def test_a_sender_behind_knative_is_answered_in_time() -> None:
    """An in-memory broker answers after the last attempt, that of the dead-letter sink included; some wait for 10 s."""
    manifests = rendered("overlays/knative")
    (config,) = named(manifests, "v1/ConfigMap").values()
    (trigger,) = named(manifests, "eventing.knative.dev/v1/Trigger").values()
    delivery = trigger["spec"]["delivery"]
    assert delivery["backoffPolicy"] == "exponential"
    first = float(re.fullmatch(r"PT([0-9.]+)S", delivery["backoffDelay"])[1])  # type: ignore[index]
    pauses = sum(first * 2**attempt for attempt in range(delivery["retry"]))
    assert (delivery["retry"] + 2) * float(config["data"]["STORE_TIMEOUT_SECONDS"]) + pauses < 10
    # While no pod is ready, Knative would keep the sender waiting for much longer.
    (service,) = named(manifests, "serving.knative.dev/v1/Service").values()
    container = service["spec"]["template"]["spec"]["containers"][0]
    assert container["readinessProbe"]["httpGet"]["path"] == "/healthz"


@needs_kustomize
def test_deleting_the_consumer_removes_nothing_of_other_overlays() -> None:
    """`kubectl delete -k overlays/kafka` beside any other overlay."""
    (consumer, *others) = [
        {(kind_of(each), each["metadata"]["name"]) for each in rendered(name) if each["kind"] != "ConfigMap"}
        for name in ("overlays/kafka", *(name for name in APPLIED if name != "overlays/kafka"))
    ]
    assert len(others) == len(APPLIED) - 1
    assert not any(consumer & other for other in others)


@needs_kustomize
def test_every_pod_is_scraped_once() -> None:
    """Also where the consumer runs beside Knative: its lag would count twice."""
    manifests = [*rendered("overlays/knative"), *rendered("overlays/kafka")]
    selectors = [each["spec"]["selector"] for each in named(manifests, "monitoring.coreos.com/v1/PodMonitor").values()]
    assert len(selectors) == 2
    pods = [labels for manifest in manifests for labels, _ in pod_specs(manifest)]
    assert [sum(_selects(selector, labels) for selector in selectors) for labels in pods] == [1] * len(pods)
    assert not _selects(selectors[0], {"app": "seldon-request-logger-prune", **selectors[0]["matchLabels"]})


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector selects a pod."""
    excluded = selector.get("matchExpressions", [])
    assert all(each["operator"] == "NotIn" for each in excluded)
    return selector["matchLabels"].items() <= labels.items() and not any(
        labels.get(each["key"]) in each["values"] for each in excluded
    )


@needs_kustomize
@pytest.mark.parametrize("component", ["opensearch", "elastic"])
def test_a_component_keeps_the_host(component: str, tmp_path: Path) -> None:
    """The kustomization that lists it names the engine, and the image of every workload."""
    shutil.copytree(K8S, tmp_path / "k8s")
    (tmp_path / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: seldon-logs\n"
        f"resources: [k8s/overlays/direct]\ncomponents: [k8s/components/{component}, k8s/components/prune]\n"
        "images: [{name: registry.example/seldon-request-logger, newName: mine/logger, newTag: '7'}]\n"
        "configMapGenerator:\n- name: seldon-request-logger\n  behavior: merge\n"
        "  literals: [ELASTICSEARCH_HOST=my-engine]\n"
    )
    manifests = rendered(tmp_path)
    (config,) = named(manifests, "v1/ConfigMap").values()
    assert config["data"]["ELASTICSEARCH_HOST"] == "my-engine"
    images = [pod["containers"][0]["image"] for _, pod in pods_in(manifests)]
    assert len(images) == 2
    assert set(images) == {"mine/logger:7"}


@needs_kustomize
@pytest.mark.parametrize("component", ["opensearch", "elastic", "prune", "prune-payloads"])
@pytest.mark.parametrize("overlay", APPLIED)
def test_components_go_with_every_overlay(component: str, overlay: str, tmp_path: Path) -> None:
    """An engine's component gives every pod its credentials and its CA; prune makes a job, each of them valid."""
    if overlay == f"overlays/{component}":
        manifests = rendered(overlay)
    else:
        if not component.startswith("prune") and overlay in ("overlays/opensearch", "overlays/elastic"):
            overlay = "base"  # it has an engine's component already
        # Kustomize takes relative paths only.
        shutil.copytree(K8S, tmp_path / "k8s")
        (tmp_path / "kustomization.yaml").write_text(
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: seldon-logs\n"
            f"resources: [k8s/{overlay}]\ncomponents: [k8s/components/{component}, k8s/components/image]\n"
        )
        manifests = rendered(tmp_path)
    assert [problem for manifest in manifests for problem in problems(manifest)] == []
    if component.startswith("prune"):
        (job,) = named(manifests, "batch/v1/CronJob").values()
        ((_, pod),) = pod_specs(job)
        assert pod["containers"][0]["envFrom"][0]["configMapRef"]["name"] in named(manifests, "v1/ConfigMap")
        assert pod["containers"][0]["image"].startswith("registry.example/")
        assert ("--payloads-older-than" in pod["containers"][0]["args"]) == (component == "prune-payloads")
        return
    (config,) = named(manifests, "v1/ConfigMap").values()
    assert config["data"]["ELASTICSEARCH_PROTOCOL"] == "https"
    for _, pod in pods_in(manifests):
        (container,) = pod["containers"]
        assert container["envFrom"][0]["configMapRef"]["name"] == config["metadata"]["name"]
        assert {"ELASTICSEARCH_USER", "ELASTICSEARCH_PASS"} <= {each["name"] for each in container["env"]}
        folder_of_ca = config["data"]["ELASTICSEARCH_CA_CERT"].rpartition("/")[0]
        assert folder_of_ca in {mount["mountPath"] for mount in container["volumeMounts"]}
