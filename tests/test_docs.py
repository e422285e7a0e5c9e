"""What exists is documented, and what is documented exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from request_logger.commands.registry import COMMANDS
from request_logger.commands.settings import OTHERS, page
from request_logger.scoring.registry import registered
from request_logger.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    *(ROOT / f"{name}.md" for name in ("CHANGELOG", "SECURITY", "CONTRIBUTING")),
    *sorted((ROOT / "docs").glob("**/*.md")),
]
README = ROOT / "README.md"
INDEX = ROOT / "docs" / "index.md"
VARIABLES = {name.upper() for name in Settings.__dataclass_fields__} | set(OTHERS)
# Not the program's: make's own, the tests', an argument of the image's build.
OTHER_VARIABLES = {"TARGET", "ARGS", "PYTHON", "TEST_ENGINE", "REVISION", "PYTHONPATH"}


def text_of_all() -> str:
    return "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


def linked(page: Path) -> set[Path]:
    """Return the targets of a page's relative links, without their anchors."""
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text(encoding="utf-8"))
    return {(page.parent / target).resolve() for target in targets}


def first_column(table: str) -> set[str]:
    return set(re.findall(r"^\| `([^`]+)`", table, re.MULTILINE))


def test_settings_page_is_what_the_command_prints() -> None:
    """docs/settings.md has every variable with its default; `make docs` writes it."""
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == page() + "\n"


def test_every_variable_that_is_read_is_documented() -> None:
    """A variable that the code reads is in the table."""
    sources = [*(ROOT / "request_logger").glob("**/*.py"), *(ROOT / "scorers").glob("**/*.py")]
    read = {
        name
        for source in sources
        for name in re.findall(r"environ(?:\.get\(|\[)\s*\"([A-Z0-9_]+)\"", source.read_text(encoding="utf-8"))
    }
    assert read <= VARIABLES


def test_documented_variables_exist() -> None:
    """A variable that a page sets (`NAME=value`, `name: NAME`) exists."""
    set_somewhere = set(re.findall(r"\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)=", text_of_all()))
    set_somewhere |= set(re.findall(r"name: ([A-Z][A-Z0-9_]+),", text_of_all()))
    assert set_somewhere - VARIABLES - OTHER_VARIABLES == set()


def test_commands_are_documented() -> None:
    """docs/commands.md has a section for every command, and no other."""
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert re.findall(r"^## request-logger (\S+)$", page, re.MULTILINE) == list(COMMANDS)


def test_documented_commands_exist() -> None:
    """Every command that a page names exists: of the program, of make, of the benchmarks."""
    text = text_of_all()
    assert set(re.findall(r"`request-logger ([a-z-]+)", text)) <= set(COMMANDS)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:`|^    )make ([a-z-]+)", text, re.MULTILINE)) <= targets
    for name in set(re.findall(r"python -m bench\.(\w+)", text)):
        folder = ROOT / "bench"
        assert (folder / f"{name}.py").is_file() or (folder / name / "__main__.py").is_file(), name


def test_scorers_are_documented() -> None:
    """The first table of docs/scorers.md has every scorer, and no other."""
    page = (ROOT / "docs" / "scorers.md").read_text(encoding="utf-8")
    table = page[page.index("| `SCORER` |") :].split("\n\n")[0]
    assert first_column(table) - {"SCORER"} == set(registered())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Relative links are to files that exist."""
    assert sorted(target for target in linked(page) if not target.exists()) == []


def test_pages_are_linked() -> None:
    """Every page can be reached by a link from the README or from docs/index.md, which the README links to."""
    reachable = linked(README) | linked(INDEX) | {README}
    assert INDEX in linked(README)
    assert [page.name for page in PAGES if page not in reachable] == []
