"""What the tests of k8s/ share: the files, what kustomize makes of them, and the schemas."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import yaml

ROOT = Path(__file__).parent.parent.parent
K8S = ROOT / "k8s"
SCHEMAS = ROOT / "tests" / "data" / "schemas"
# What an operator applies.
APPLIED = ["base", *sorted(f"overlays/{path.name}" for path in (K8S / "overlays").iterdir())]
KUSTOMIZE = next(
    (command for command in (["kustomize", "build"], ["kubectl", "kustomize"]) if shutil.which(command[0])), None
)

Manifest = dict[str, Any]


def documents(path: Path) -> list[Any]:
    """All documents of a YAML file."""
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document is not None]


@functools.cache
def rendered(name: str | Path) -> list[Manifest]:
    """What would be applied, as kustomize prints it, of a folder in k8s/ or of another one."""
    assert KUSTOMIZE
    done = subprocess.run([*KUSTOMIZE, str(K8S / name)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def kind_of(manifest: Manifest) -> str:
    """A manifest's apiVersion and kind, as the schemas name them."""
    return f"{manifest['apiVersion']}/{manifest['kind']}"


@functools.cache
def _validators() -> dict[str, jsonschema.Draft202012Validator]:
    found = {}
    for path in SCHEMAS.glob("*.json"):
        schema = json.loads(path.read_text(encoding="utf-8"))
        for kind, name in schema.get("kinds", {}).items():
            validator = {"$ref": f"#/$defs/{name}", "$defs": schema["$defs"]}
            found[kind] = jsonschema.Draft202012Validator(validator)
    return found


def problems(manifest: Manifest) -> list[str]:
    """What a manifest's schema has against it; a kind without a schema is a problem, too."""
    validator = _validators().get(kind_of(manifest))
    if validator is None:
        return [f"no schema for {kind_of(manifest)}"]
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(manifest)]


def pod_specs(manifest: Manifest) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Labels and spec of the pods that a manifest makes."""
    spec = manifest.get("spec", {})
    template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
    if template:
        yield template.get("metadata", {}).get("labels", {}), template["spec"]


def pods_in(manifests: list[Manifest]) -> list[tuple[Manifest, dict[str, Any]]]:
    """Return each pod's spec with the manifest that makes it; what is applied always makes at least one."""
    found = [(manifest, pod) for manifest in manifests for _, pod in pod_specs(manifest)]
    assert found, "no manifest makes a pod"
    return found


def named(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    """The manifests of a kind (`v1/Service`) by their names."""
    return {manifest["metadata"]["name"]: manifest for manifest in manifests if kind_of(manifest) == kind}
