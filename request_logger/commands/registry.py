"""The subcommands. To add one, write a module in this package and add a line here."""

from __future__ import annotations

# name -> (module, what it does, in a few words)
COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("serve", "run the server, configured by environment variables"),
    "consume": ("consume", "store events from Kafka, as a member of a consumer group"),
    "demo": ("demo", "start a search engine and the server, replay real traffic, and show the metrics"),
    "engine": ("engine", "run a search engine in the foreground, without installation"),
    "check": ("check", "report values that mappings of existing indices reject or distort, and how to fix them"),
    "dead-letters": (
        "dead_letters",
        "list, export or retry documents that the search engine rejected even after fallback",
    ),
    "feedback": ("feedback", "upload truths or rewards from a file, and report the result of each row"),
    "backfill": ("backfill", "store the events of archives, such as those that KServe writes to an object store"),
    "deployments": ("deployments", "list the deployments: predictions, feedback, scorer, last seen, headline figure"),
    "report": ("report", "report the quality of a deployment's predictions: a table, JSON or a page with plots"),
    "audit": ("audit", "list the audited predictions that still lack a truth"),
    "errors": ("errors", "list the predictions that were wrong, or those of a cell of the confusion matrix"),
    "compare": ("compare", "tell which of two predictors or models is better, with significance"),
    "slices": ("slices", "find the parts of the predictions that are worse than the rest"),
    "thresholds": ("thresholds", "show precision, recall and value of a binary classifier by threshold, and the best"),
    "fairness": ("fairness", "compare selection rate, TPR, FPR and precision between the values of a field"),
    "drift": ("drift", "tell whether inputs and predictions are distributed as in reference data or an earlier period"),
    "rescore": ("rescore", "score stored pairs again with a changed scorer or threshold"),
    "export": ("export", "write stored pairs to Parquet or CSV"),
    "check-quality": ("check_quality", "check metrics against limits; the exit status is the result"),
    "dashboards": ("dashboards", "generate dashboards and alerts for Grafana, Kibana and Prometheus"),
    "setup": ("setup", "install the index templates before the first event, and a retention policy"),
    "prune": ("prune", "remove documents older than a given time, or only their payloads"),
    "erase": ("erase", "remove what is stored of a person's predictions, in all indices and on disk, audited"),
    "scorers": ("scorers", "list the scorers, their options and metrics"),
    "try": ("try_pair", "score a truth and a response, without a search engine"),
    "size": ("size", "calculate the machines for a rate of events"),
    "settings": ("settings", "print the settings in force, or docs/settings.md, the list of environment variables"),
    "reference": ("reference", "print a generated file: a page of docs, the chart's schema, or the alerts"),
}

GROUPS: dict[str, tuple[str, ...]] = {
    "run": ("serve", "consume", "demo", "engine"),
    "ask": (
        "deployments",
        "report",
        "errors",
        "compare",
        "slices",
        "thresholds",
        "fairness",
        "drift",
        "audit",
        "check-quality",
        "export",
    ),
    "add and change": ("feedback", "backfill", "rescore", "dead-letters"),
    "operate": ("check", "setup", "prune", "erase", "dashboards", "size", "settings"),
    "develop": ("scorers", "try", "reference"),
}
"""The commands by job, as --help lists them."""

ENGINE_COMMANDS = frozenset(
    {
        "audit",
        "backfill",
        "check",
        "check-quality",
        "compare",
        "dead-letters",
        "deployments",
        "drift",
        "erase",
        "errors",
        "export",
        "fairness",
        "prune",
        "report",
        "rescore",
        "setup",
        "slices",
        "thresholds",
    }
)
"""Commands that use the search engine and nothing else: these have the option --engine."""
