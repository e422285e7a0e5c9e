"""The generated parts of docs/architecture.md, between two comments each."""

from __future__ import annotations

import re

from tests.design.packages import ROOT, table
from tests.design.trace import Trace

PAGE = ROOT / "docs" / "architecture.md"
# The thread of the HTTP request ends where the event is queued; the writer's thread goes on from there.
_HANDS_OVER = "store.writing.writer"

# What the writer's thread asks what to do next.
_DECIDES = "store.writing.core"


def part(name: str) -> str:
    """Return a generated part of the page as it stands."""
    found = re.search(_between(name), PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found, f"docs/architecture.md has no part {name}"
    return found[2].strip()


def write(trace: Trace) -> None:
    """Write all generated parts anew."""
    text = PAGE.read_text(encoding="utf-8")
    for name, content in (("packages", table()), ("way", diagram(trace))):
        text = re.sub(
            _between(name), lambda found, new=content: f"{found[1]}\n{new}\n{found[3]}", text, flags=re.DOTALL
        )
    PAGE.write_text(text, encoding="utf-8")


def diagram(trace: Trace) -> str:
    """Return the way of an event as a mermaid flowchart: the trunk, and what each step uses."""
    lines = ["```mermaid", "flowchart TD"]
    trunk = trace.trunk
    used = trace.consulted
    for number, name in enumerate(trunk):
        lines.append(f'  t{number}["{name}"]')
    for number, name in enumerate(trunk[:-1]):
        arrow = "-- queue -->" if name == _HANDS_OVER else "-->"
        lines.append(f"  t{number} {arrow} t{number + 1}")
    for number, name in enumerate(trunk):
        if used[name]:
            lines.append(f'  t{number} -.- u{number}("{"<br>".join(used[name])}")')
        if _DECIDES in used[name]:
            lines.append(f'  u{number} -.- decides("{_DECIDES} uses:<br>{"<br>".join(used[_DECIDES])}")')
    return "\n".join([*lines, "```"])


def _between(name: str) -> str:
    return rf"(<!-- {name}: made by `make docs` -->)(.*?)(<!-- end of {name} -->)"
