"""Joins two versions of a feedback. Pure code: the order and the number of deliveries don't matter.

A feedback has two kinds of content. The truth, the reward and all else that says how right the prediction was is
corrected as a whole: the later version replaces the earlier one. Each of its evaluations stands for itself: the later
one of a name and an id is kept, and those of other names or ids stay. So a feedback of nothing but evaluations leaves
the truth in place, and a truth the evaluations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from request_logger.payloads.evaluations import EVALUATIONS, LEFT_OUT, ONLY, bounded, entries_of, merged

Content = dict[str, Any]

_OF_EVALUATIONS = frozenset((EVALUATIONS, LEFT_OUT))


def has_evaluations(*versions: Content) -> bool:
    """Return whether one of some versions of a feedback has evaluations."""
    return any(EVALUATIONS in version for version in versions)


def is_of_evaluations(content: Content) -> bool:
    """Return whether no version of a feedback had anything but evaluations."""
    return content.get(ONLY) is True


def without_evaluations(content: Any) -> Any:
    """Return a feedback without its evaluations; anything else unchanged."""
    if not isinstance(content, dict) or _OF_EVALUATIONS.isdisjoint(content):
        return content
    return {name: value for name, value in content.items() if name not in _OF_EVALUATIONS}


def join_feedback(
    known: Content, incoming: Content, replaces: Callable[[Content, Content], bool]
) -> tuple[Content, bool]:
    """Return the feedback after another version has arrived, and whether all but the evaluations is that version's.

    At least one of the two has evaluations. The result is ``known`` itself if nothing changes. ``replaces`` says
    whether a version replaces another as a whole.
    """
    is_newer = _is_newer(known, incoming, replaces)
    chosen = incoming if is_newer else known
    joined = with_all_evaluations(chosen, (known, incoming))
    return (known, False) if joined == known and not is_newer else (joined, is_newer)


def with_all_evaluations(chosen: Content, versions: Iterable[Content]) -> Content:
    """Return a feedback with the evaluations of all versions instead of its own."""
    found = list(versions)
    kept, is_cut = bounded(merged(entry for each in found for entry in entries_of(each)))
    is_cut = is_cut or any(each.get(LEFT_OUT) is True for each in found)
    return {**without_evaluations(chosen), EVALUATIONS: kept, **({LEFT_OUT: True} if is_cut else {})}


def _is_newer(known: Content, incoming: Content, replaces: Callable[[Content, Content], bool]) -> bool:
    is_only, was_only = is_of_evaluations(incoming), is_of_evaluations(known)
    if is_only != was_only:
        return was_only
    return replaces(without_evaluations(incoming), without_evaluations(known))
