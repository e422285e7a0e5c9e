"""The Helm chart applies what k8s/base holds, and its values change what they say."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from request_logger import __version__
from request_logger.commands.reference_chart import chart_schema
from request_logger.settings import Settings
from tests.k8s.manifests import K8S, ROOT, Manifest, documents, named, pod_specs, problems

CHART = ROOT / "chart"
HELM = shutil.which("helm")
NAME = "seldon-request-logger"
needs_helm = pytest.mark.skipif(HELM is None, reason="helm is not here: go install helm.sh/helm/v3/cmd/helm@v3.22.0")


def helm_template(*arguments: str, chart: Path = CHART) -> subprocess.CompletedProcess[str]:
    """Run `helm template`."""
    assert HELM
    return subprocess.run(
        [HELM, "template", "any", str(chart), *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def rendered(*values: str, files: tuple[Path, ...] = (), chart: Path = CHART) -> list[Manifest]:
    """What the chart would apply with these values."""
    given = [argument for value in values for argument in ("--set", value)]
    done = helm_template(*given, *(f"--values={path}" for path in files), chart=chart)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def test_it_is_of_this_version_and_all_its_files_are_there() -> None:
    """It reads the manifests of k8s/, which are no copies; its settings exist, and none of them is a secret."""
    (about,) = documents(CHART / "Chart.yaml")
    assert about["version"] == about["appVersion"] == __version__
    text = (CHART / "templates" / "all.yaml").read_text(encoding="utf-8")
    names = [name.removesuffix(".yaml") for name in re.findall(r'"((?:base|common|prune)/[^"]+)"', text)]
    of_base = {f"base/{path.stem}" for path in (K8S / "base").glob("*.yaml")} - {"base/kustomization"}
    assert {name for name in names if name.startswith("base/")} == of_base
    for name in names:
        assert (CHART / f"{name}.yaml").resolve().is_relative_to(K8S)
        assert documents(CHART / f"{name}.yaml")
    (values,) = documents(CHART / "values.yaml")
    fields = {name.upper(): field for name, field in Settings.__dataclass_fields__.items()}
    assert not [name for name in values["settings"] if fields[name].metadata["secret"]]


def test_the_schema_is_that_of_the_settings() -> None:
    """`make docs` writes it. The chart's own values are valid, wrong names and types are not."""
    text = (CHART / "values.schema.json").read_text(encoding="utf-8")
    assert text == chart_schema() + "\n"
    schema = jsonschema.Draft7Validator(json.loads(text))
    (values,) = documents(CHART / "values.yaml")
    assert list(schema.iter_errors(values)) == []
    for wrong in (
        {"autoscaler": {"minn": 3}},
        {"settings": {"NO_SUCH": 1}},
        {"settings": {"ELASTICSEARCH_PASS": "in a ConfigMap"}},
        {"settings": {"QUEUE": "sometimes"}},
        {"settings": {"MAX_PENDING_BYTES": 1.5}},
        {"prune": {"olderThan": "a while"}},
        {"images": {}},
        {"enabled": False},
    ):
        assert len(list(schema.iter_errors({**values, **wrong}))) == 1, wrong
    for right in (
        {"settings": {"MAX_PENDING_BYTES": "67108864", "SAMPLE_RATE": 0.5}},
        {"prune": {"olderThan": "90d"}},
        # Of a chart that depends on this one.
        {"global": {"region": "eu"}, "enabled": True},
    ):
        assert list(schema.iter_errors({**values, **right})) == []


@needs_helm
def test_numbers_of_a_values_file_stay_whole(tmp_path: Path) -> None:
    """Helm reads them as floats; one with a fraction keeps it."""
    path = tmp_path / "values.yaml"
    path.write_text(
        "image: {tag: 20260101}\nsettings: {MAX_PENDING_BYTES: 67108864, SAMPLE_RATE: 0.25, FAST_HTTP: false}\n"
    )
    manifests = rendered(files=(path,))
    data = named(manifests, "v1/ConfigMap")[NAME]["data"]
    assert (data["MAX_PENDING_BYTES"], data["SAMPLE_RATE"], data["FAST_HTTP"]) == ("67108864", "0.25", "false")
    pod = named(manifests, "apps/v1/Deployment")[NAME]["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"].endswith(":20260101")


@needs_helm
def test_unknown_values_are_rejected() -> None:
    """By the schema, with their names."""
    for value, name in (("autoscaler.minn=3", "minn"), ("settings.NO_SUCH=1", "NO_SUCH")):
        done = helm_template("--set", value)
        assert done.returncode != 0
        assert name in done.stderr


@needs_helm
@pytest.mark.parametrize("values", [(), ("monitoring=true", "prune.payloadsOlderThan=30d", "settings.INDEX_NAME=all")])
def test_what_it_applies_is_valid(values: tuple[str, ...]) -> None:
    """By the schemas of their kinds."""
    manifests = rendered(*values)
    assert {(manifest["kind"], *problems(manifest)) for manifest in manifests} == {
        (manifest["kind"],) for manifest in manifests
    }
    assert len({(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests}) == len(manifests)


@needs_helm
def test_without_values_it_is_the_base() -> None:
    """Beside the image's name and the settings' checksum; its settings are those of the base."""
    found = {manifest["kind"]: manifest for manifest in rendered("monitoring=true")}
    files = [*(K8S / "base").glob("*.yaml"), *(K8S / "common").glob("*.yaml")]
    base = {manifest["kind"]: manifest for path in files for manifest in documents(path)}
    del base["Kustomization"]
    settings = found.pop("ConfigMap")["data"]
    pod = found["Deployment"]["spec"]["template"]
    assert pod["metadata"].pop("annotations")
    pod["spec"]["containers"][0]["image"] = NAME
    assert found == base
    (common,) = documents(K8S / "common" / "kustomization.yaml")
    assert settings == dict(line.split("=", 1) for line in common["configMapGenerator"][0]["literals"])


@needs_helm
def test_values_change_what_they_say(tmp_path: Path) -> None:
    """Also in the package, which has the manifests in it."""
    assert HELM
    subprocess.run(
        [HELM, "package", str(CHART), "--destination", str(tmp_path)], capture_output=True, timeout=60, check=True
    )
    (package,) = tmp_path.iterdir()
    given = ("image.repository=mine/logger", "image.tag=9", "resources.limits.memory=2Gi", "prune.olderThan=190d")
    given += ("prune.payloadsOlderThan=30d",)
    manifests = rendered(
        *given, "autoscaler.min=3", "settings.GUNICORN_WORKERS=5", "networkPolicy=false", chart=package
    )
    specs: list[dict[str, Any]] = [spec for manifest in manifests for _, spec in pod_specs(manifest)]
    assert [spec["containers"][0]["image"] for spec in specs] == ["mine/logger:9"] * 2
    deployment = named(manifests, "apps/v1/Deployment")[NAME]
    resources = deployment["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert resources == {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}}
    assert named(manifests, "autoscaling/v2/HorizontalPodAutoscaler")[NAME]["spec"]["minReplicas"] == 3
    assert named(manifests, "v1/ConfigMap")[NAME]["data"]["GUNICORN_WORKERS"] == "5"
    (job,) = named(manifests, "batch/v1/CronJob").values()
    assert next(pod_specs(job))[1]["containers"][0]["args"][-4:] == [
        "--older-than",
        "190d",
        "--payloads-older-than",
        "30d",
    ]
    assert "NetworkPolicy" not in {manifest["kind"] for manifest in manifests}
    # A change of settings rolls the pods.
    (other,) = named(rendered("settings.LOG_LEVEL=DEBUG"), "apps/v1/Deployment").values()
    annotations = [made["spec"]["template"]["metadata"]["annotations"] for made in (deployment, other)]
    assert annotations[0] != annotations[1]
