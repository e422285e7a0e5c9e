"""The table of packages in docs/architecture.md: the first line of each docstring, in the order of imports."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
_PROGRAM = ROOT / "request_logger"


def layers() -> list[str]:
    """Return the names at the top level of the program from the top layer down, as import-linter is configured."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        contract = tomllib.load(file)["tool"]["importlinter"]["contracts"][0]
    return [name.strip() for layer in contract["layers"] for name in layer.split("|")]


def table() -> str:
    """Return a Markdown table of all packages and top-level modules with their one job."""
    rows = []
    for name in layers():
        folder = _PROGRAM / name
        if folder.is_dir():
            rows.append(f"| `{name}/` | {_first_line(folder / '__init__.py')} |")
            inner = sorted(path for path in folder.iterdir() if (path / "__init__.py").is_file())
            rows += [f"| `{name}/{path.name}/` | {_first_line(path / '__init__.py')} |" for path in inner]
        else:
            rows.append(f"| `{name}.py` | {_first_line(folder.with_suffix('.py'))} |")
    return "\n".join(["| package | job |", "|---|---|", *rows])


def _first_line(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text, f"{path}: has no docstring"
    return text.splitlines()[0].replace("|", "\\|")
