"""`request-logger setup`: install the index templates, a retention policy, and upgrade indices of earlier versions."""

from __future__ import annotations

import argparse

from request_logger.commands.durations import duration
from request_logger.commands.engine_access import quiet_engine
from request_logger.commands.installer import Installer
from request_logger.commands.upgrading import upgrade
from request_logger.errors import CommandError
from request_logger.settings import Settings
from request_logger.store.indices import retention
from request_logger.store.indices.templates import wanted

_ISM = ("/_plugins/_ism", "/_opendistro/_ism")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--retention",
        metavar="TIME",
        help="with INDEX_PERIOD: let the search engine (ILM, ISM) remove indices that have only documents older than "
        "this: hours, days or weeks, such as 90d",
    )
    parser.add_argument(
        "--upgrade",
        nargs="?",
        const="",
        metavar="INDICES",
        help="copy indices of earlier versions to new ones with the current types, while loggers write, and put an "
        "alias in their place; names or globs, separated by commas (default: all that `check` lists)",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the requests, change nothing")


def run(arguments: argparse.Namespace) -> int:
    """Install what is missing or older. Status 0: all is installed, 2: an invalid setting, or no search engine."""
    settings = Settings.from_env()
    min_age = _age(arguments.retention, settings) if arguments.retention is not None else ""
    engine = quiet_engine(settings)
    installer = Installer(engine, dry_run=arguments.dry_run)
    for name, template in wanted(settings).items():
        installer.template(name, template)
    if min_age:
        _retain(installer, settings, min_age, arguments.retention)
    if arguments.upgrade is not None:
        upgrade(engine, settings, arguments.upgrade, dry_run=arguments.dry_run)
    return 0


def _age(text: str, settings: Settings) -> str:
    kept = duration("--retention", text)
    if settings.index_period == "none":
        raise CommandError(
            "--retention: expected INDEX_PERIOD to be month or day, found none: a policy removes whole indices, and "
            f"these are still in use; `request-logger prune --older-than {text}` in a CronJob removes single documents"
        )
    return retention.age(kept, settings.index_period)


def _retain(installer: Installer, settings: Settings, min_age: str, text: str) -> None:
    """Install a policy for ILM or ISM, whichever the search engine has. Raises CommandError if it has neither."""
    what = f"policy {retention.NAME}"
    # Detected by requests, since some builds of both engines lack the feature.
    if installer.has("/_ilm/status", "operation_mode"):
        path = f"/_ilm/policy/{retention.NAME}"
        policy = retention.ilm_policy(min_age, installer.get(path))
        installer.put(f"ILM {what}", path, policy)
        for name, template in retention.index_templates(settings).items():
            installer.template(name, template)
        return
    for api in _ISM:
        if installer.has(f"{api}/policies", "policies"):
            path = f"{api}/policies/{retention.NAME}"
            present = installer.get(path)
            policy = retention.ism_policy(min_age, retention.all_patterns(settings), present)
            version = {f"if{name}": str(present[name]) for name in ("_seq_no", "_primary_term")} if present else {}
            installer.put(f"ISM {what}", path, policy, version)
            return
    raise CommandError(
        f"--retention: {installer.where} has neither ILM nor ISM: run `request-logger prune --older-than {text}` in a "
        "CronJob instead (k8s/components/prune), which removes whole indices of months and days, too"
    )
