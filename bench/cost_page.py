"""Writes the measured costs where they are used: the table of `request-logger size`, and docs/scaling.md.

`python -m bench.cost_page` writes the page from the table as it is, after a change of the command's text.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Mapping, Sequence

from bench.cost_table import table
from bench.engines import Client, engine_url
from bench.probe import Row
from bench.versions import AFTER, ROOT, described
from request_logger.cli import main
from request_logger.commands.costs import FILE, CostRow, CostTable, as_text, read_table

PAGE = ROOT / "docs" / "scaling.md"
_EXAMPLES = (
    (),
    ("--lane", "http", "--events-per-second", "1000", "--feedback", "0.33"),
    ("--lane", "http", "--events-per-second", "1000", "--columns", "0", "--text-bytes", "2000"),
)
_HEADINGS = (
    *("body of a request", "lane", "events/s", "engine CPU ms", "logger CPU ms", "_bulks", "writes"),
    *("bytes", "with overwritten copies"),
)


def write(rows: Sequence[Row]) -> None:
    """Replace the table's rows that were measured for the code here, keep the others, and write the page."""
    measured = [cost_row(row) for row in rows if row.side == AFTER]
    kept = read_table(FILE.read_text(encoding="utf-8")).rows if FILE.exists() else ()
    with engine_url() as url:
        engine = engine_name(Client(url))
    joined = merged(kept, measured)
    CostTable(joined)
    FILE.write_text(as_text(joined, described("HEAD"), engine, os.cpu_count() or 1), encoding="utf-8")
    write_page()


def merged(kept: Sequence[CostRow], measured: Sequence[CostRow]) -> list[CostRow]:
    """Return the rows of both, of which the measured ones replace those of the same body and lane."""
    rows = {(row.lane, row.body): row for row in kept}
    rows.update({(row.lane, row.body): row for row in measured})
    return sorted(rows.values(), key=lambda row: (row.lane, row.rows, row.text_bytes, row.columns, row.body))


def cost_row(row: Row) -> CostRow:
    """Return a run as a row of the table; the engine's compiler is left out, since it stops after some minutes."""
    return CostRow(
        body=row.body,
        lane=row.lane,
        columns=row.columns,
        text_bytes=row.text_bytes,
        rows=row.rows,
        body_bytes=row.body_bytes,
        events=row.events / row.predictions,
        rate=row.rate,
        engine_ms=row.engine_ms - row.compiler_ms,
        logger_ms=row.logger_ms,
        writes=row.writes,
        bulks=row.bulks,
        changes_per_bulk=row.changes_per_bulk,
        bytes_merged=row.bytes_merged,
        bytes_with_overwritten=row.bytes_with_overwritten,
    )


def engine_name(client: Client) -> str:
    """Return the engine's name and version."""
    version = client.ask("GET", "/")["version"]
    return f"{'OpenSearch' if version.get('distribution') == 'opensearch' else 'Elasticsearch'} {version['number']}"


def write_page() -> None:
    """Write the parts of docs/scaling.md that the table of costs determines."""
    put(parts())


def put(contents: Mapping[str, str]) -> None:
    """Replace generated parts of docs/scaling.md by their names."""
    text = PAGE.read_text(encoding="utf-8")
    for name, content in contents.items():
        text = re.sub(
            _between(name), lambda found, new=content: f"{found[1]}\n{new}\n{found[3]}", text, flags=re.DOTALL
        )
    PAGE.write_text(text, encoding="utf-8")


def parts() -> dict[str, str]:
    """Return the generated parts by name: the table of costs, and the calculations of the command."""
    costs = read_table(FILE.read_text(encoding="utf-8"))
    head = f"Measured with {costs.engine} on {costs.cores} cores, {costs.code!r}. All figures are per document."
    blocks = [_printed(*arguments) for arguments in _EXAMPLES]
    return {
        "costs": f"{head}\n\n{table(_HEADINGS, [_cells(row) for row in costs.rows], text_columns=2)}",
        "calculations": "\n\n".join(
            f"    request-logger size {' '.join(arguments)}".rstrip() + f"\n\n```text\n{block}\n```"
            for arguments, block in zip(_EXAMPLES, blocks, strict=True)
        ),
    }


def written_parts() -> dict[str, str]:
    """Return the generated parts as they are in the page. Raises AttributeError if one is missing."""
    text = PAGE.read_text(encoding="utf-8")
    return {name: re.search(_between(name), text, re.DOTALL)[2].strip("\n") for name in ("costs", "calculations")}  # type: ignore[index]


def _cells(row: CostRow) -> list[str]:
    return [
        f"{row.body}, {row.body_bytes:,} bytes",
        row.lane,
        f"{row.rate:,.0f}",
        *(f"{value:.3f}" for value in (row.engine_ms, row.logger_ms)),
        *(f"{value:.2f}" for value in (row.bulks, row.writes)),
        *(f"{value:,.0f}" for value in (row.bytes_merged, row.bytes_with_overwritten)),
    ]


def _printed(*arguments: str) -> str:
    """Return what the command prints, without its last lines, which say how the costs were measured."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        if main(["size", *arguments]):
            raise RuntimeError(f"request-logger size {' '.join(arguments)}: failed")
    return out.getvalue().rpartition("\n\n")[0].strip()


def _between(name: str) -> str:
    return rf"(<!-- {name}: made by `make bench-[a-z]+` -->)(.*?)(<!-- end of {name} -->)"


if __name__ == "__main__":
    write_page()
    sys.exit()
