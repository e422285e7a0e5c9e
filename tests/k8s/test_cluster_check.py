"""`make kube-check` covers what k8s/ has, and its fixtures are what they say; this needs neither Go nor a cluster."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from tests.cluster import programs
from tests.cluster.originals import KEEP_THE_BROKER, ORIGINAL
from tests.cluster.overlays import KINDS, cases, write
from tests.cluster.report import Report
from tests.k8s.manifests import APPLIED, K8S, KUSTOMIZE, ROOT, documents, kind_of, problems, rendered

needs_kustomize = pytest.mark.skipif(KUSTOMIZE is None, reason="neither kustomize nor kubectl is here")


def test_every_overlay_and_component_is_a_case() -> None:
    """Each overlay alone; each component but the image's, which all of them have, with some."""
    made = cases()
    assert {case.overlay for case in made if not case.component} == set(APPLIED)
    components = {path.name for path in (K8S / "components").iterdir()} - {"image"}
    assert {case.component for case in made if case.component} == components
    assert len({case.name for case in made}) == len(made)


@needs_kustomize
def test_every_kind_is_compared() -> None:
    """What an overlay makes is among the kinds that are listed after each step."""
    listed = {name.split(".")[0].rstrip("s") for name in KINDS.split(",")}
    kinds = {manifest["kind"].lower() for name in APPLIED for manifest in rendered(name)}
    assert {kind.rstrip("s") for kind in kinds} <= listed


@pytest.mark.parametrize("path", sorted(ORIGINAL.iterdir()), ids=lambda path: path.stem)
def test_the_originals_objects_are_valid(path: Path) -> None:
    """By the schemas of their kinds: they are the notebooks', repaired."""
    made = documents(path)
    assert {kind_of(each): problems(each) for each in made} == {kind_of(each): [] for each in made} != {}


@needs_kustomize
def test_the_documented_patch_leaves_the_broker_out(tmp_path: Path) -> None:
    """It is the one in docs/kubernetes.md, and removes nothing else."""
    text = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    assert KEEP_THE_BROKER in text
    (tmp_path / "k8s").symlink_to(K8S)
    (case,) = [case for case in cases() if case.name == "overlays/knative"]
    folder = write(tmp_path / "own", case, "seldon-logs", extra=KEEP_THE_BROKER)
    text = (folder / "kustomization.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)["patches"]
    kinds = [kind_of(each) for each in rendered("overlays/knative")]
    kinds.remove("eventing.knative.dev/v1/Broker")
    assert sorted(kind_of(each) for each in rendered(folder)) == sorted(kinds)


def test_a_failed_step_stops_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    """Its reason is printed and its name is in the summary; without a step nothing has passed."""
    report = Report()
    assert report.failed
    with report.step("one: first"):
        raise AssertionError("the reason")
    with report.step("one: second"):
        pass
    report.print_summary()
    assert report.failed
    printed = capsys.readouterr()
    assert "    AssertionError: the reason" in printed.out
    assert "| one | 2 | first |" in printed.out
    assert "2 steps, 1 failed" in printed.err


def test_the_time_of_a_step_within_another_counts_once() -> None:
    """The sum of the steps is the time that passed."""
    report = Report()
    started = time.monotonic()
    with report.step("one: all"), report.step("one: a part"):
        time.sleep(0.02)
    assert 0.02 <= sum(step.seconds for step in report.steps) <= time.monotonic() - started


def test_without_go_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And what is cached is neither built nor downloaded again."""
    monkeypatch.setenv("REQUEST_LOGGER_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(programs.ProgramsMissing, match="Go is needed"):
        programs.programs(print)
    (folder,) = tmp_path.iterdir()
    assert folder.name == f"kube-{programs.kubernetes_version()}"
    names = [Path(programs.Programs(folder, folder)[name]) for name in programs.PACKAGES]
    for path in names:
        path.touch()
    with pytest.raises(programs.ProgramsMissing, match="Go is needed"):
        programs.programs(print)
    (folder / f"resources-{names[-1].name.rpartition('-')[2]}").mkdir()
    assert Path(programs.programs(print)["helm4"]) == names[-1]
