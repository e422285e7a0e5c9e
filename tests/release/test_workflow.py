"""The release workflow of GitHub: it runs what exists, and publishes only what passed."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))
JOBS: dict[str, Any] = WORKFLOW["jobs"]


def _needs(job: dict[str, Any]) -> set[str]:
    """Return the jobs that one waits for."""
    needs = job.get("needs", [])
    return {needs} if isinstance(needs, str) else set(needs)


def _before(name: str) -> set[str]:
    """Return all jobs that have passed when one starts."""
    return {job for each in _needs(JOBS[name]) for job in {each, *_before(each)}}


def _artifacts(name: str, direction: str) -> list[str]:
    """Return the names of the artifacts that a job uploads or downloads; a step without a name is an error."""
    action = f"actions/{direction}-artifact@"
    return [step["with"]["name"] for step in JOBS[name]["steps"] if step.get("uses", "").startswith(action)]


def test_the_release_workflow_runs_what_exists() -> None:
    """Its make targets, scripts and Dockerfile arguments exist; each job's needs are jobs."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {name for line in makefile.splitlines() for name in re.findall(r"^([a-z-]+):.*## ", line)}
    commands = [step["run"] for job in JOBS.values() for step in job["steps"] if "run" in step]
    named = {
        target for command in commands for line in re.findall(r"^make (.+)", command, re.M) for target in line.split()
    }
    assert named == {"dist", "sbom", "licences"}
    assert named <= targets
    scripts = {path for command in commands for path in re.findall(r"\.ci/\w+", command)}
    assert scripts == {".ci/run", ".ci/version"}
    assert all(os.access(ROOT / path, os.R_OK) for path in scripts)
    (build,) = [step for step in JOBS["image"]["steps"] if step.get("uses", "").startswith("docker/build-push-action@")]
    arguments = {line.partition("=")[0] for line in build["with"]["build-args"].splitlines()}
    declared = set(re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.M))
    assert arguments <= declared
    assert build["with"]["platforms"] == "linux/amd64,linux/arm64"
    assert build["with"]["sbom"] is True
    for job in JOBS.values():
        assert _needs(job) <= set(JOBS)
    # The line that names the image in the chart's values finds it.
    (line,) = [command for command in commands if "chart/values.yaml" in command]
    (pattern,) = re.findall(r"s#(\S.*?)#", line)
    assert re.search(
        pattern.replace("registry.example", r"registry\.example"), (ROOT / "chart" / "values.yaml").read_text(), re.M
    )


def test_jobs_download_what_earlier_jobs_have_uploaded() -> None:
    """Each artifact by its name: without one, all are unpacked, and docker/build-push-action uploads one of its own."""
    uploaded = {name: job for job in JOBS for name in _artifacts(job, "upload")}
    assert set(uploaded) == {"dist", "chart"}
    downloads = {job: _artifacts(job, "download") for job in JOBS}
    assert {job: names for job, names in downloads.items() if names} == {"publish": ["dist", "chart"], "pypi": ["dist"]}
    for job, names in downloads.items():
        assert {uploaded[name] for name in names} <= _before(job), job


def test_the_release_workflow_publishes_only_tags_that_passed() -> None:
    """Whatever pushes, attests or releases asks for a tag; all of it comes after .ci/run."""
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert {name for name, job in JOBS.items() if job.get("permissions", {}).get("contents") == "write"} == {"publish"}
    for name, job in JOBS.items():
        assert name == "check" or "check" in _before(name), name
        for step in job["steps"]:
            publishes = re.search(r"helm push|gh release|attest|login-action|pypi-publish", json.dumps(step))
            asked = str(step.get("if", "")) + str(job.get("if", ""))
            assert not publishes or "github.ref_type == 'tag'" in asked, step
