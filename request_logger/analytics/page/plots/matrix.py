"""The confusion matrix as a picture: counts and rates, one cell per truth and prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup

from request_logger.analytics.formatting import percent
from request_logger.analytics.page import svg
from request_logger.analytics.page.plots.plot import Plot, Report, plot
from request_logger.analytics.page.svg import WIDTH, element, hint, short, width_of

OTHERS = "(others)"
# More cells are too small for a finger, and hardly seen.
MOST_CLASSES = 20
# Cells with text need this width: for a count and a rate, for a rate.
_BOTH, _RATE = 42.0, 26.0
_LABELS, _LARGEST = 92.0, 66.0
# The longest name above a column; it is turned, and so takes half of it at the right and most of it in height.
_ABOVE = 72.0
_SHADE = 0.6

Link = Callable[[str, str], str]
"""Returns the address of the documents with a truth and a prediction."""


def confusion_matrix(task: Report, key: str, link: Link | None = None) -> Plot:
    """Return the matrix, one row per truth. A cell has the id ``KEY-cell-ROW-COLUMN``, and with ``link`` an address."""
    table, left_out = _merged(task["confusion_matrix"])
    labels = list(table)
    above = min(max(map(width_of, labels)), _ABOVE)
    size = min((WIDTH - _LABELS - above / 2) / len(labels), _LARGEST)
    top = 10.0 + 0.9 * above
    drawn = [*_names(labels, size, top)]
    for row, truth in enumerate(labels):
        total = sum(table[truth].values())
        for column, said in enumerate(labels):
            n = table[truth].get(said, 0)
            text = f"truth {truth}, prediction {said}: {n:,} of {total:,} ({percent(n / total if total else None)})"
            cell = element(
                "g",
                hint(text),
                *_cell(n, total, _LABELS + column * size, top + row * size, size, is_right=truth == said),
                id=f"{key}-cell-{row}-{column}",
            )
            if link is not None and n and OTHERS not in (truth, said):
                cell = element("a", cell, href=link(truth, said), aria_label=text)
            drawn.append(cell)
    caption = "One row per truth, one column per prediction: the shade is the share of the row." + (
        f" {left_out} rarer classes are together as {OTHERS}." if left_out else ""
    )
    rows = [
        (truth, said, f"{n:,}", percent(n / total))
        for truth, row_ in table.items()
        if (total := sum(row_.values()))
        for said in labels
        if (n := row_.get(said, 0))
    ]
    header = ("Truth", "Prediction", "Documents", "of the truth")
    height = top + len(labels) * size + 4
    return plot(
        f"{key}-matrix", "Confusion matrix", caption, header, rows, *drawn, height=height, has_links=link is not None
    )


def _merged(matrix: Mapping[str, Mapping[str, int]]) -> tuple[dict[str, dict[str, int]], int]:
    """Return the matrix of the most frequent classes by name, all others as one, and the number of these."""
    weights: dict[str, int] = {}
    for truth, row in matrix.items():
        for said, n in row.items():
            weights[truth] = weights.get(truth, 0) + n
            weights[said] = weights.get(said, 0) + n
    frequent = sorted(weights, key=lambda label: (-weights[label], label))
    kept = sorted(frequent[: MOST_CLASSES - (len(frequent) > MOST_CLASSES)])
    left_out = len(frequent) - len(kept)
    table: dict[str, dict[str, int]] = {label: {} for label in (*kept, *([OTHERS] if left_out else []))}
    for truth, row in matrix.items():
        inside = table[truth if truth in table else OTHERS]
        for said, n in row.items():
            name = said if said in table else OTHERS
            inside[name] = inside.get(name, 0) + n
    return table, left_out


def _names(labels: Sequence[str], size: float, top: float) -> list[Markup]:
    """Return the names of the rows at the left and of the columns above, the latter upright where they need it."""
    elements = []
    for position, label in enumerate(labels):
        middle = position * size + size / 2
        name = short(label, _LABELS - 8)
        elements.append(element("text", name, hint(label), x=_LABELS - 5, y=top + middle + 4, text_anchor="end"))
        x = _LABELS + middle
        turned = f"rotate(-60 {x:.2f} {top - 4:.2f})"
        elements.append(element("text", short(label, _ABOVE), hint(label), x=x, y=top - 4, transform=turned))
    return elements


def _cell(n: int, total: int, x: float, y: float, size: float, *, is_right: bool) -> list[Markup]:
    share = n / total if total else 0.0
    box = {"x": x, "y": y, "width": size - 1, "height": size - 1}
    elements = [element("rect", **box, class_="cell", fill_opacity=round(_SHADE * share, 3))]
    if is_right or size >= _RATE:
        elements.append(element("rect", **box, class_="right" if is_right else "hit"))
    middle = x + (size - 1) / 2
    if size >= _BOTH:
        elements.append(element("text", f"{n:,}", x=middle, y=y + size / 2 - 2, text_anchor="middle"))
        elements.append(
            element("text", percent(share), x=middle, y=y + size / 2 + 12, text_anchor="middle", class_="soft")
        )
    elif size >= _RATE and n:
        rate = svg.short(f"{100 * share:.0f} %", size)
        elements.append(element("text", rate, x=middle, y=y + size / 2 + 4, text_anchor="middle"))
    return elements
