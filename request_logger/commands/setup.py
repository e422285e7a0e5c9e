"""`request-logger setup`: the index templates, installed ahead of the first event, and how long documents are kept."""

from __future__ import annotations

import argparse

from request_logger.commands.durations import duration
from request_logger.commands.engine_access import quiet_engine
from request_logger.commands.installer import Installer
from request_logger.errors import CommandError
from request_logger.settings import Settings
from request_logger.store.indices import retention
from request_logger.store.indices.templates import wanted

_ISM = ("/_plugins/_ism", "/_opendistro/_ism")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How long documents are kept, and whether to do it."""
    parser.add_argument(
        "--retention",
        metavar="TIME",
        help="with INDEX_PERIOD: let the engine (ILM, ISM) remove indices that hold only documents older than this: "
        "hours, days or weeks, such as 90d",
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be sent to the engine, change nothing")


def run(arguments: argparse.Namespace) -> int:
    """Install what is missing or older. Status 0: all is there, 2: the engine or the settings are at fault."""
    settings = Settings.from_env()
    min_age = _age(arguments.retention, settings) if arguments.retention is not None else ""
    installer = Installer(quiet_engine(settings), dry_run=arguments.dry_run)
    for name, template in wanted(settings).items():
        installer.template(name, template)
    if min_age:
        _retain(installer, settings, min_age, arguments.retention)
    return 0


def _age(text: str, settings: Settings) -> str:
    kept = duration("--retention", text)
    if settings.index_period == "none":
        raise CommandError(
            "--retention: expected INDEX_PERIOD to be month or day, found none: an engine removes whole indices, and "
            f"these are still written to; `request-logger prune --older-than {text}` in a CronJob removes documents"
        )
    return retention.age(kept, settings.index_period)


def _retain(installer: Installer, settings: Settings, min_age: str, text: str) -> None:
    """Install the policy of what the engine has: ILM, or ISM. Raises CommandError where it has neither."""
    what = f"policy {retention.NAME}"
    # By what is there, not by name and version: builds of both engines are without.
    if installer.has("/_ilm/status", "operation_mode"):
        path = f"/_ilm/policy/{retention.NAME}"
        policy = retention.ilm_policy(min_age, installer.get(path))
        installer.put(f"ILM {what}", path, policy)
        installer.template(retention.NAME, retention.index_template(settings))
        return
    for api in _ISM:
        if installer.has(f"{api}/policies", "policies"):
            path = f"{api}/policies/{retention.NAME}"
            present = installer.get(path)
            policy = retention.ism_policy(min_age, retention.patterns(settings.index_name), present)
            version = {f"if{name}": str(present[name]) for name in ("_seq_no", "_primary_term")} if present else {}
            installer.put(f"ISM {what}", path, policy, version)
            return
    raise CommandError(
        f"--retention: {installer.where} has neither ILM nor ISM: run `request-logger prune --older-than {text}` in a "
        "CronJob instead (k8s/components/prune), which removes whole indices of months and days, too"
    )
