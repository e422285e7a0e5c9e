"""A Kubernetes without nodes: etcd, the API server, the controllers. Objects are checked and pods made; none runs."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.cluster.processes import run, wait
from tests.cluster.programs import Programs
from tests.helpers import free_port

# Warned of and refused: a pod that is not restricted shows twice.
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
_COMMAND_SECONDS = 120


class Cluster:
    """Commands of kubectl and helm to a running API server."""

    def __init__(self, programs: Programs, kubeconfig: Path) -> None:
        self.programs = programs
        self.kubeconfig = kubeconfig
        folder = kubeconfig.parent
        # Nothing of the user's own: neither a context nor a chart repository.
        self.env: Mapping[str, str] = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "KUBECONFIG": str(kubeconfig),
        }

    def call(self, *command: str, given: str | None = None, env: Mapping[str, str] | None = None) -> Any:
        """Run a command whatever its status is."""
        return subprocess.run(
            command,
            input=given,
            env={**self.env, **(env or {})},
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """Run kubectl; return what it prints. A failure, and a warning of the server, is an AssertionError."""
        done = self.call(self.programs["kube"], "kubectl", *arguments, given=given)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        assert "Warning" not in done.stderr, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return str(done.stdout)

    def refused(self, *arguments: str, given: str | None = None) -> str:
        """Run kubectl, which must fail; return its error."""
        done = self.call(self.programs["kube"], "kubectl", *arguments, given=given)
        assert done.returncode != 0, f"kubectl {' '.join(arguments)} was not refused: {done.stdout}"
        return str(done.stderr)

    def objects(self, namespace: str, *kinds: str) -> list[dict[str, Any]]:
        """Return the objects of some kinds in a namespace."""
        return list(json.loads(self.kubectl("get", ",".join(kinds), "--namespace", namespace, "-o", "json"))["items"])

    def get(self, namespace: str, kind: str, name: str) -> dict[str, Any]:
        """Return one object."""
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "--namespace", namespace, "-o", "json"))
        return found

    def namespace(self, name: str) -> str:
        """Make a namespace in which only restricted pods are admitted; return its name."""
        about = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}}
        self.kubectl("apply", "-f", "-", given=json.dumps(about))
        wait(lambda: self._has(name, "serviceaccount", "default"), f"the default ServiceAccount of {name}")
        return name

    def _has(self, namespace: str, kind: str, name: str) -> bool:
        return bool(self.kubectl("get", kind, name, "--namespace", namespace, "--ignore-not-found", "-o", "name"))


@contextlib.contextmanager
def start_cluster(programs: Programs, folder: Path) -> Iterator[Cluster]:
    """Run etcd, the API server and the controllers for the duration of the block, on free ports, with the CRDs.

    Raises NotStarted if one of them isn't ready in time.
    """
    etcd, peers, server, manager = (free_port() for _ in range(4))
    token = secrets.token_hex(16)
    (folder / "tokens.csv").write_text(f'{token},check,1,"system:masters"\n', encoding="utf-8")
    key = _write_key(folder)
    kubeconfig = _write_kubeconfig(folder, server, token)
    cluster = Cluster(programs, kubeconfig)
    kube = programs["kube"]
    with contextlib.ExitStack() as stack:
        # It forgets all at its end: no write waits for the disk.
        stack.enter_context(
            run(
                [
                    kube,
                    "etcd",
                    f"--data-dir={folder / 'etcd'}",
                    f"--listen-client-urls=http://127.0.0.1:{etcd}",
                    f"--advertise-client-urls=http://127.0.0.1:{etcd}",
                    f"--listen-peer-urls=http://127.0.0.1:{peers}",
                    f"--initial-advertise-peer-urls=http://127.0.0.1:{peers}",
                    f"--initial-cluster=default=http://127.0.0.1:{peers}",
                    "--unsafe-no-fsync",
                ],
                folder / "etcd.log",
                cluster.env,
            )
        )
        stack.enter_context(
            run(
                [
                    kube,
                    "kube-apiserver",
                    f"--etcd-servers=http://127.0.0.1:{etcd}",
                    f"--secure-port={server}",
                    "--bind-address=127.0.0.1",
                    f"--cert-dir={folder}",
                    f"--token-auth-file={folder / 'tokens.csv'}",
                    "--authorization-mode=RBAC",
                    "--endpoint-reconciler-type=none",
                    "--service-cluster-ip-range=10.0.0.0/16",
                    "--service-account-issuer=https://kubernetes.default.svc",
                    f"--service-account-key-file={key}",
                    f"--service-account-signing-key-file={key}",
                ],
                folder / "kube-apiserver.log",
                cluster.env,
            )
        )
        wait(lambda: _is_ready(cluster), "the API server is ready", 120, folder / "kube-apiserver.log")
        stack.enter_context(
            run(
                [
                    kube,
                    "kube-controller-manager",
                    f"--kubeconfig={kubeconfig}",
                    f"--secure-port={manager}",
                    "--bind-address=127.0.0.1",
                    f"--cert-dir={folder}",
                    f"--service-account-private-key-file={key}",
                    f"--root-ca-file={folder / 'apiserver.crt'}",
                    f"--flex-volume-plugin-dir={folder / 'volumes'}",
                    "--leader-elect=false",
                    # The check waits for what it does.
                    "--horizontal-pod-autoscaler-sync-period=1s",
                ],
                folder / "kube-controller-manager.log",
                cluster.env,
            )
        )
        _add_resources(cluster)
        yield cluster


def _write_key(folder: Path) -> Path:
    """The key that tokens of service accounts are signed with."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path = folder / "service-accounts.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    return path


def _write_kubeconfig(folder: Path, port: int, token: str) -> Path:
    path = folder / "kubeconfig"
    about = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "check", "cluster": {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True}}
        ],
        "users": [{"name": "check", "user": {"token": token}}],
        "contexts": [{"name": "check", "context": {"cluster": "check", "user": "check"}}],
        "current-context": "check",
    }
    path.write_text(json.dumps(about), encoding="utf-8")
    path.chmod(0o600)
    return path


def _is_ready(cluster: Cluster) -> bool:
    return bool(cluster.call(cluster.programs["kube"], "kubectl", "get", "--raw", "/readyz").stdout == "ok")


def _add_resources(cluster: Cluster) -> None:
    """The custom resources of Knative and of the Prometheus operator, without their webhooks, which don't run here."""
    paths = sorted(cluster.programs.resources.iterdir())
    files = (f"--filename={path}" for path in paths)
    # The server warns of formats that it doesn't know: these files are not ours.
    done = cluster.call(cluster.programs["kube"], "kubectl", "apply", "--server-side", *files)
    assert done.returncode == 0, done.stderr
    for item in json.loads(cluster.kubectl("get", "crd", "-o", "json"))["items"]:
        name = item["metadata"]["name"]
        if item["spec"].get("conversion", {}).get("strategy") == "Webhook":
            patch = {"spec": {"conversion": {"strategy": "None", "webhook": None}}}
            cluster.kubectl("patch", "crd", name, "--type=merge", "--patch", json.dumps(patch))
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=60s")
