"""What exists is documented, and what is documented exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from request_logger.commands.registry import COMMANDS
from request_logger.commands.settings import OTHERS, page
from request_logger.scoring.registry import registered
from request_logger.settings import Settings

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    *(ROOT / f"{name}.md" for name in ("CHANGELOG", "SECURITY", "CONTRIBUTING")),
    *sorted((ROOT / "docs").glob("**/*.md")),
]
README = (ROOT / "README.md").read_text(encoding="utf-8")
VARIABLES = {name.upper() for name in Settings.__dataclass_fields__} | set(OTHERS)
# Not the program's: make's own, the tests', an argument of the image's build.
OTHER_VARIABLES = {"ARGS", "PYTHON", "TEST_ENGINE", "REVISION"}


def text_of_all() -> str:
    return "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


def section(title: str) -> str:
    """A section of the README, up to the next heading of its rank."""
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


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
    """The README's table has every command, and no other."""
    table = section("Commands")
    assert {name.removeprefix("request-logger ") for name in first_column(table)} == set(COMMANDS)


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
    """The README's table has every scorer, and no other; docs/scorers.md has them all too."""
    assert first_column(section("Scorers")) == set(registered())
    in_detail = (ROOT / "docs" / "scorers.md").read_text(encoding="utf-8")
    assert [name for name in registered() if f"`{name}`" not in in_detail] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Relative links are to files that exist."""
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_pages_are_linked_from_the_readme() -> None:
    """Nobody finds a page that nothing leads to."""
    assert [page.name for page in PAGES[1:] if page.name not in README] == []
