"""Examples of every command, for its --help and for docs/commands.md. A test parses them."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[str, ...]] = {
    "serve": ("ELASTICSEARCH_HOST=http://localhost:9200 request-logger serve",),
    "consume": ("KAFKA_BROKERS=kafka:9092 KAFKA_TOPIC=inference request-logger consume",),
    "demo": ("request-logger demo", "request-logger demo --once"),
    "engine": ("request-logger engine --kind opensearch --port 9200",),
    "check": ("request-logger check", "request-logger check 'inference-log-*' --json"),
    "dead-letters": ("request-logger dead-letters list", "request-logger dead-letters retry --dry-run"),
    "feedback": (
        "request-logger feedback truths.csv --url http://logger:8080 --deployment iris --namespace demo",
        "request-logger feedback truths.parquet --id request_id --truth label --state truths.state",
    ),
    "backfill": (
        "request-logger backfill /archive/demo/iris",
        "request-logger backfill 'archive/**/2026-01-*.ndjson.gz' --state progress.json",
    ),
    "deployments": ("request-logger deployments", "request-logger deployments --from now-7d --where country=DE"),
    "report": (
        "request-logger report demo/iris",
        "request-logger report demo/iris --all",
        "request-logger report demo/iris --by country --by model",
        "request-logger report demo/iris --from now-7d --by country --window 1d",
        "request-logger report demo/iris --where country=DE --where 'age>=30' --html report.html",
    ),
    "errors": (
        "request-logger errors demo/iris --from now-7d --where country=DE",
        "request-logger errors demo/iris --truth virginica --answer versicolor --csv",
    ),
    "compare": (
        "request-logger compare default canary --in demo/iris",
        "request-logger compare model-a model-b --by model --in demo/wine --metric f1_macro --where country=DE",
        "request-logger compare demo/iris seldon/iris",
        "request-logger compare model-a model-b --in demo/iris --where country=DE --from now-7d --errors 5",
    ),
    "slices": (
        "request-logger slices prod/fraud --from now-30d",
        "request-logger slices prod/fraud --fields country,amount --metric log_loss --rank cost",
    ),
    "thresholds": ("request-logger thresholds prod/fraud --cost 'tp=0,fp=-1,fn=-10,tn=0'",),
    "fairness": ("request-logger fairness prod/credit --by gender",),
    "drift": (
        "request-logger drift demo/iris",
        "request-logger drift demo/iris --from now-1d --against same-weekday --fail",
    ),
    "audit": ("request-logger audit demo/iris --csv",),
    "rescore": ("request-logger rescore --in demo/iris --scorer binary:threshold=0.3 --dry-run",),
    "export": (
        "request-logger export pairs.parquet --in demo/iris --from now-30d --where correct=0",
        "request-logger export pairs.csv --namespace demo --format csv",
    ),
    "check-quality": ("request-logger check-quality --in demo/iris --from now-1d --min accuracy=0.9",),
    "dashboards": ("request-logger dashboards --dir dashboards",),
    "setup": ("request-logger setup --retention 90d --dry-run",),
    "prune": ("request-logger prune --older-than 90d --dry-run",),
    "scorers": ("request-logger scorers", "request-logger scorers binary"),
    "try": (
        "request-logger try truth.json response.json",
        'request-logger try --scorer binary:threshold=0.3 \'"yes"\' \'{"no": 0.4, "yes": 0.6}\'',
    ),
    "size": ("request-logger size --events-per-second 2000 --columns 37 --retention 90",),
    "settings": ("request-logger settings --show",),
    "reference": ("request-logger reference fields",),
}
