"""`make kube-check`: builds or finds the programs, starts a control plane, and runs all steps."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.charts import check_charts
from tests.cluster.control_plane import start_cluster
from tests.cluster.originals import check_originals
from tests.cluster.outage import check_outages
from tests.cluster.overlays import check_overlays
from tests.cluster.processes import NotStarted
from tests.cluster.programs import ProgramsMissing, kubernetes_version, programs
from tests.cluster.report import Report


def main(arguments: Sequence[str] | None = None) -> int:
    """Status 0: every step has passed, 1: one has failed, 2: something that the check needs is missing."""
    parser = argparse.ArgumentParser(prog="make kube-check", description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="steps of groups whose name has this text")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the programs' logs")
    given = parser.parse_args(arguments)
    # So that what was started ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    report = Report(given.only)
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="kube-check-")).resolve()
    try:
        found = programs(lambda line: print(line, flush=True))
        print(f"the programs are there after {time.monotonic() - started:.0f} s", flush=True)
        with start_cluster(found, folder) as cluster:
            print(f"Kubernetes {kubernetes_version()} is ready after {time.monotonic() - started:.0f} s", flush=True)
            check_overlays(cluster, report, folder)
            check_originals(cluster, report, folder)
            check_charts(cluster, report, folder)
            check_outages(cluster, report, folder)
    except (ProgramsMissing, NotStarted) as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        if given.keep or report.failed:
            print(f"logs are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    report.print_summary()
    print(f"{time.monotonic() - started:.0f} s in all")
    return int(report.failed)


if __name__ == "__main__":
    sys.exit(main())
