"""The programs of others that the check runs, built from their Go modules and cached by version.

Their modules are verified by go.sum. Only the first run needs Go.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from request_logger.embedded_engine.jars import cache_root

GO = Path(__file__).parent / "go"
# Its folder of the custom resources is not in a package that a Go file could import, so it isn't in go.mod.
PROMETHEUS_OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.93.0"
# Module of go/, and package. The first takes longest and is needed first.
PACKAGES = {
    "kube": ("kube", "."),
    "helm3": ("tools", "helm.sh/helm/v3/cmd/helm"),
    "channel": ("tools", "./channel"),
    "ingress": ("tools", "knative.dev/eventing/cmd/broker/ingress"),
    "filter": ("tools", "knative.dev/eventing/cmd/broker/filter"),
    "validate": ("tools", "./validate"),
    "helm4": ("tools", "helm.sh/helm/v4/cmd/helm"),
}
# Where each module keeps the custom resources that the manifests are of.
RESOURCES = {
    "knative.dev/eventing": (
        "config/core/resources",
        ("broker", "trigger", "subscription", "eventpolicy", "eventtype"),
    ),
    "knative.dev/serving": ("config/core/300-resources", ("service",)),
    PROMETHEUS_OPERATOR: (
        "example/prometheus-operator-crd",
        tuple(f"monitoring.coreos.com_{name}" for name in ("podmonitors", "prometheusrules", "servicemonitors")),
    ),
}
_BUILD_SECONDS = 3600


class ProgramsMissing(Exception):  # noqa: N818  # as EngineUnavailable
    """A program is not cached and can't be built here."""


@dataclass(frozen=True)
class Programs:
    """Where the programs are, and the definitions of the custom resources."""

    folder: Path
    resources: Path

    def __getitem__(self, name: str) -> str:
        return str(self.folder / _file_name(name))


def kubernetes_version() -> str:
    """Return the version that go.mod names."""
    found = re.search(r"k8s\.io/kubernetes v(\S+)", (GO / "kube" / "go.mod").read_text(encoding="utf-8"))
    assert found
    return found[1]


def programs(report: Callable[[str], None]) -> Programs:
    """Build what the cache doesn't have; return where everything is.

    Raises ProgramsMissing if something must be built and Go is not installed, or a build fails.
    """
    folder = cache_root() / f"kube-{kubernetes_version()}"
    made = Programs(folder, folder / f"resources-{_digest('tools')}")
    folder.mkdir(parents=True, exist_ok=True)
    for name, (module, package) in PACKAGES.items():
        if not Path(made[name]).is_file():
            started = time.monotonic()
            _build(module, package, Path(made[name]))
            report(f"built {name} in {time.monotonic() - started:.0f} s")
    if not made.resources.is_dir():
        _copy_resources(made.resources)
    return made


def _file_name(name: str) -> str:
    return f"{name}-{_digest(PACKAGES[name][0])}"


def _digest(module: str) -> str:
    """What a build depends on: another version is another file."""
    made = hashlib.sha256(PROMETHEUS_OPERATOR.encode())
    for path in sorted(path for path in (GO / module).rglob("*") if path.is_file()):
        made.update(path.relative_to(GO).as_posix().encode() + path.read_bytes())
    return made.hexdigest()[:12]


def _build(module: str, package: str, target: Path) -> None:
    version = kubernetes_version()
    major, minor, _ = version.split(".")
    stamp = "k8s.io/component-base/version.git"
    linked = f"-s -w -X {stamp}Version=v{version} -X {stamp}Major={major} -X {stamp}Minor={minor}"
    made = target.with_name(f"{target.name}.part")
    _go("build", "-trimpath", "-ldflags", linked, "-o", str(made), package, module=module)
    made.rename(target)


def _copy_resources(target: Path) -> None:
    made = target.with_name(f"{target.name}.part")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    for module, (inside, names) in RESOURCES.items():
        folder = Path(json.loads(_go("mod", "download", "-json", module, module="tools"))["Dir"]) / inside
        for name in names:
            shutil.copyfile(folder / f"{name}.yaml", made / f"{name}.yaml")
    made.rename(target)


def _go(*arguments: str, module: str) -> str:
    if shutil.which("go") is None:
        raise ProgramsMissing("Go is needed to build what is not cached: https://go.dev/dl")
    done = subprocess.run(
        ["go", *arguments],
        cwd=GO / module,
        env={**os.environ, "GOFLAGS": f"{os.environ.get('GOFLAGS', '')} -buildvcs=false -mod=readonly".strip()},
        capture_output=True,
        text=True,
        timeout=_BUILD_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise ProgramsMissing(f"go {arguments[0]} failed in {GO / module}:\n{done.stderr[-3000:]}")
    return done.stdout
