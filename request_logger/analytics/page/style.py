"""The style sheet of the plots: the same in a page and in an SVG file of its own, for light and dark."""

from __future__ import annotations

# Colours of curves in one plot: by a test, each has a contrast of at least 3 to the paper, and any two differ also for
# readers who can't tell red from green, or blue from yellow.
LIGHT = ("#0a5ab0", "#d768a9", "#1fa35d", "#833700", "#9e8b00", "#524a45")
DARK = ("#84bdf7", "#da9170", "#37ffbe", "#f0d264", "#d7e3fa", "#888c8e")
PAPER = ("#fff", "#14181c")
# Solid, dashed, dotted...: lines can be told apart without colours.
_DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "12 4")


def _variables(paper: str, others: str, series: tuple[str, ...]) -> str:
    return f"--paper: {paper}; {others} {' '.join(f'--series{k}: {colour};' for k, colour in enumerate(series))}"


_LIGHT = _variables(PAPER[0], "--ink: #1b1f24; --soft: #50575e; --line: #d5d9de; --accent: #0a5ab0;", LIGHT)
_DARK = _variables(PAPER[1], "--ink: #e9ecef; --soft: #b4bcc4; --line: #3a424a; --accent: #84bdf7;", DARK)

STYLE = (
    f"""
:root {{ color-scheme: light dark; {_LIGHT} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}
svg text {{ font: 11px system-ui, sans-serif; fill: var(--ink); }}
svg .halo {{ paint-order: stroke; stroke: var(--paper); stroke-width: 4px; stroke-linejoin: round; }}
svg .soft {{ fill: var(--soft); }} svg .paper {{ fill: var(--paper); }}
.grid {{ stroke: var(--line); }} .axis {{ stroke: var(--soft); }}
.curve {{ fill: none; stroke: var(--series, var(--accent)); stroke-width: 2; stroke-linejoin: round; }}
.guide {{ fill: none; stroke: var(--soft); stroke-dasharray: 4 4; }}
.dot, .bar {{ fill: var(--series, var(--accent)); }}
.young {{ fill: var(--paper); stroke: var(--series, var(--accent)); }}
.band {{ fill: var(--series, var(--accent)); fill-opacity: .2; }}
.context {{ fill: none; stroke: var(--soft); stroke-opacity: .35; }}
.whisker {{ stroke: var(--series, var(--accent)); stroke-width: 1.5; }}
.limit {{ stroke: var(--ink); stroke-width: 2; }}
.hit {{ fill: transparent; }} .hit:hover {{ fill: var(--soft); fill-opacity: .25; }}
.cell {{ fill: var(--accent); }} .right {{ fill: none; stroke: var(--soft); }}
a:hover .right, a:focus-visible .right {{ stroke: var(--ink); stroke-width: 2; }}
"""
    + "".join(
        f".series{k} {{ --series: var(--series{k}); }}"
        f"{f' .series{k} .curve {{ stroke-dasharray: {dash}; }}' if dash else ''}\n"
        for k, dash in enumerate(_DASHES)
    )
    + ".plain .curve { stroke-dasharray: none; } svg .name { font-weight: 600; }\n"
)
