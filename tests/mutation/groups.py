"""Which modules are mutated, and the tests that should detect a mutation of them; all without an engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Group:
    """Packages or modules, and the files or folders in tests/ whose tests are tried for them, one collection for all.

    Of these tests only those that execute the mutated line run, so a long list costs one run of all tests and no more.
    """

    paths: tuple[str, ...]
    tests: tuple[str, ...]

    @property
    def modules(self) -> dict[str, Path]:
        """The modules by their dotted names; a package's ``__init__`` has no code to mutate."""
        found: list[Path] = []
        for path in self.paths:
            whole = ROOT / path
            found += [whole] if path.endswith(".py") else sorted(whole.glob("[!_]*.py"))
        return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in found}


GROUPS: dict[str, Group] = {
    "scorers": Group(
        ("scorers",), ("scorers", "defects/test_scorers.py", "defects/test_numbers.py", "analytics", "test_recorder.py")
    ),
    "scoring": Group(
        ("request_logger/scoring",),
        (
            "scorers",
            "test_recorder.py",
            "test_undecodable.py",
            "test_custom_metrics.py",
            "test_deployment_evidence.py",
            "test_evaluations.py",
            "test_failed_requests.py",
            "test_flat_pairs.py",
            "test_markers.py",
            "test_payload_removal.py",
            "test_user_code.py",
            "defects",
        ),
    ),
    "documents": Group(
        ("request_logger/documents", "request_logger/ingest/write_plan.py"),
        (
            "test_recorder.py",
            "test_batch_rows.py",
            "test_elements.py",
            "test_undecodable.py",
            "test_refused_forms.py",
            "test_events.py",
            "test_cloudevents.py",
            "test_names.py",
            "test_versions.py",
            "test_contents.py",
            "test_restore.py",
            "test_orders.py",
            "test_period_indices.py",
            "test_user_code.py",
            "test_user_decoders.py",
            "test_wire.py",
            "test_redaction.py",
            "test_access.py",
            "test_any_document.py",
            "test_audit.py",
            "test_envelopes.py",
            "test_evaluations.py",
            "test_event_metadata.py",
            "test_failed_requests.py",
            "test_first_parts.py",
            "test_flat_pairs.py",
            "test_folds.py",
            "test_latency.py",
            "test_payload_removal.py",
            "test_refused_moves.py",
            "test_row_counts.py",
            "test_sampling.py",
            "test_text_in_documents.py",
            "test_write_plans.py",
            "join_keys",
            "payloads/test_predictions.py",
            "server/test_structured_attributes.py",
            "scorers/test_settle.py",
            "scorers/test_reasons.py",
            "defects",
        ),
    ),
    "analytics": Group(
        tuple(
            f"request_logger/analytics/{name}.py"
            for name in (
                "accumulator",
                "auc_contrast",
                "baselines",
                "calibration",
                "chi_squared",
                "class_averages",
                "contrasts",
                "corrections",
                "coverage",
                "curves",
                "differences",
                "drift/chance",
                "drift/distances",
                "drift/judgement",
                "estimates",
                "fairness/rates",
                "feedback/contingency",
                "feedback/estimated",
                "feedback/numbers",
                "feedback/prediction_powered",
                "feedback/strata",
                "feedback/weighted",
                "fold_contrast",
                "formatting",
                "intervals",
                "jackknife",
                "label_averages",
                "mean_contrast",
                "means",
                "pair_contrast",
                "paired_samples",
                "permutations",
                "proportions",
                "ranges",
                "rollups",
                "shares",
                "slices/effects",
                "slices/shrinkage",
                "t_distribution",
                "thresholds/areas",
                "thresholds/best",
                "thresholds/cells",
                "traffic_check",
                "verdict",
            )
        ),
        ("analytics", "scorers", "test_accumulator.py", "test_check_quality.py"),
    ),
}
