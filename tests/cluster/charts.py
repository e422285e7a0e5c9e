"""The chart with Helm 3 and 4: installed, changed, scaled, taken back, over the original's objects, and removed."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cluster.control_plane import Cluster
from tests.cluster.originals import NAME, make_original, variables
from tests.cluster.overlays import (
    BUILT_IN,
    check_pods,
    generations,
    images,
    names,
    replicas,
    scale,
    wait_for_autoscaler,
)
from tests.cluster.report import Report
from tests.k8s.manifests import ROOT

CHART = ROOT / "chart"
HELMS = {"helm3": "Helm 3", "helm4": "Helm 4"}
ALL = ("monitoring=true", "prune.olderThan=90d")
# What a values file has that `--set` doesn't: numbers that Helm reads as floats.
VALUES = "image: {tag: 20260101}\nsettings: {MAX_PENDING_BYTES: 67108864}\n"
_SCALED = 5


def check_charts(cluster: Cluster, report: Report, folder: Path) -> None:
    """Run the same steps with each Helm, in namespaces of their own."""
    for program, title in HELMS.items():
        group = f"chart with {title}: "
        if report.chosen(group):
            _check_chart(cluster, report, folder, program, group)


def _check_chart(cluster: Cluster, report: Report, folder: Path, program: str, group: str) -> None:
    namespace = f"{program}-own"
    helm = Helm(cluster, program, namespace)
    with report.step(f"{group}lint and install"):
        cluster.namespace(namespace)
        helm.run("lint", str(CHART))
        helm.run("install", "logger", str(CHART), *settings(*ALL))
        check_pods(cluster, namespace)
        wait_for_autoscaler(cluster, namespace)
    with report.step(f"{group}upgrade with the same values changes nothing"):
        before = generations(cluster, namespace)
        helm.run("upgrade", "logger", str(CHART), *settings(*ALL))
        assert generations(cluster, namespace) == before
    with report.step(f"{group}scale, upgrade and roll back keep the number of pods"):
        scale(cluster, namespace)
        path = folder / "values.yaml"
        path.write_text(VALUES, encoding="utf-8")
        helm.run("upgrade", "logger", str(CHART), *settings(*ALL), "--values", str(path))
        assert set(images(cluster, namespace)) == {"registry.example/seldon-request-logger:20260101"}
        assert cluster.get(namespace, "configmap", NAME)["data"]["MAX_PENDING_BYTES"] == "67108864"
        assert replicas(cluster, namespace) == _SCALED
        check_pods(cluster, namespace)
        helm.run("rollback", "logger", "1")
        assert "MAX_PENDING_BYTES" not in cluster.get(namespace, "configmap", NAME)["data"]
        assert replicas(cluster, namespace) == _SCALED
        check_pods(cluster, namespace)
    with report.step(f"{group}values that don't exist are rejected, and nothing has changed"):
        before = generations(cluster, namespace)
        for value, name in (("autoscaler.minn=3", "minn"), ("settings.NO_SUCH=1", "NO_SUCH")):
            assert name in helm.refused("upgrade", "logger", str(CHART), "--set", value)
        assert generations(cluster, namespace) == before
    with report.step(f"{group}uninstall leaves nothing"):
        helm.run("uninstall", "logger")
        left = names(cluster, namespace) - BUILT_IN
        assert left == set(), left
    with report.step(f"{group}over the original's objects"):
        other = make_original(cluster, f"{program}-original", "deployment")
        over = Helm(cluster, program, other)
        assert "ownership" in over.refused("install", "logger", str(CHART))
        force = ("--force-conflicts",) if program == "helm4" else ()
        if force:
            assert "conflict" in over.refused("install", "logger", str(CHART), "--take-ownership")
            over.run("uninstall", "logger", "--ignore-not-found")
            cluster.kubectl("delete", "namespace", other)
            make_original(cluster, other, "deployment")
        over.run("install", "logger", str(CHART), "--take-ownership", *force)
        # As the docs warn: these win over `settings`.
        assert "ELASTICSEARCH_HOST" in variables(cluster, other)
        cluster.kubectl(
            *("--namespace", other, "set", "env", f"deployment/{NAME}", "ELASTICSEARCH_HOST-", "ELASTICSEARCH_PORT-")
        )
        assert variables(cluster, other) == {"PROMETHEUS_MULTIPROC_DIR"}
        check_pods(cluster, other)


def settings(*values: str) -> list[str]:
    """Return the options that give values."""
    return [option for value in values for option in ("--set", value)]


class Helm:
    """One of the Helms, in one namespace."""

    def __init__(self, cluster: Cluster, program: str, namespace: str) -> None:
        self._cluster = cluster
        self._command = (cluster.programs[program], "--namespace", namespace)

    def run(self, *arguments: str) -> str:
        """Run a command; a failure, and a warning of the server, is an AssertionError."""
        done = self._cluster.call(*self._command, *arguments)
        assert done.returncode == 0, f"helm {json.dumps(arguments)}: {done.stderr}"
        assert "would violate" not in done.stderr, done.stderr
        return str(done.stdout)

    def refused(self, *arguments: str) -> str:
        """Run a command, which must fail; return its error."""
        done = self._cluster.call(*self._command, *arguments)
        assert done.returncode != 0, f"helm {json.dumps(arguments)} was not refused: {done.stdout}"
        return str(done.stderr)
