"""The subcommands. To add one, write a module in this package and add a line here."""

from __future__ import annotations

# name -> (module, what it does, in a few words)
COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("serve", "run the server; it is configured by environment variables"),
    "consume": ("consume", "take events from Kafka, as a member of a consumer group"),
    "demo": ("demo", "start an engine and the server, replay real traffic, show the figures"),
    "engine": ("engine", "run a search engine in the foreground, with no installation"),
    "check": ("check", "list what the mappings of existing indices refuse or distort, and what to do"),
    "dead-letters": ("dead_letters", "list, export or store again what the engine refused in every form"),
    "report": ("report", "say how good a deployment's predictions were: a table, JSON or a page with plots"),
    "compare": ("compare", "tell which of two predictors or models is better, and how sure that is"),
    "rescore": ("rescore", "apply a changed scorer or threshold to what is stored"),
    "export": ("export", "write stored pairs to Parquet or CSV"),
    "check-quality": ("check_quality", "check metrics against limits; the exit status says whether they hold"),
    "dashboards": ("dashboards", "write dashboards and alerts for Grafana, Kibana and Prometheus"),
    "setup": ("setup", "install the index templates ahead of the first event, and say what they are"),
    "prune": ("prune", "remove documents older than a given time"),
    "scorers": ("scorers", "list the scorers, their options and metrics"),
    "try": ("try_pair", "print what a truth and a response would score"),
    "size": ("size", "calculate the machines that a rate of events needs"),
    "settings": ("settings", "print docs/settings.md: every environment variable"),
    "reference": ("reference", "print docs/commands.md, docs/fields.md or docs/writer.md"),
}
