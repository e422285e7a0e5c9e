"""What finds text to redact: a regular expression, or presidio's recognizers of an entity such as an e-mail address.

Presidio is an extra. Only its recognizers by pattern and checksum are used, which need no language model. They run here
rather than in its engine: within a time, and without the download of domain names that its check of e-mail addresses
would start.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import regex

PREFIX = "presidio:"
EXTRA = 'pip install "seldon-request-logger-scoring[presidio]"'
_PHONE_NUMBER = "PHONE_NUMBER"
# The search for phone numbers has no limit of time, and takes some 30 ms for a window of digits.
_WINDOW = 1000
# Longer than any phone number with an extension, so that each is whole in a window.
_OVERLAP = 60

Replace = Callable[[str], str]
Spans = Iterable[tuple[int, int]]


class FinderError(ValueError):
    """There is no such finder; the text says what to write or to install."""


class Finder(Protocol):
    """Finds parts of a text. Two of the same rule are equal."""

    def replaced(self, text: str, by: Replace, seconds: float) -> str:
        """Return the text with all parts replaced. Raises TimeoutError if that takes longer."""
        ...


@dataclass(frozen=True, slots=True)
class Expression:
    """What a regular expression matches."""

    pattern: regex.Pattern[str]

    def replaced(self, text: str, by: Replace, seconds: float) -> str:
        """Return the text with all matches replaced. Raises TimeoutError if that takes longer."""
        return self.pattern.sub(lambda match: by(match[0]), text, timeout=seconds)


@dataclass(frozen=True, slots=True)
class Entity:
    """What any of presidio's recognizers by pattern finds of an entity, whatever the text around it says."""

    name: str

    def __post_init__(self) -> None:
        """Check the name. Raises FinderError."""
        known = _recognizers()
        if self.name not in known:
            raise FinderError(f"expected one of {', '.join(sorted(known))}, which need no language model")

    def replaced(self, text: str, by: Replace, seconds: float) -> str:
        """Return the text with all occurrences replaced. Raises TimeoutError if that takes longer."""
        until = time.monotonic() + seconds
        spans = [span for recognizer in _recognizers()[self.name] for span in _spans(recognizer, text, until)]
        pieces: list[str] = []
        position = 0
        for start, end in _united(spans):
            pieces += (text[position:start], by(text[start:end]))
            position = end
        return "".join((*pieces, text[position:]))


@lru_cache(maxsize=1)
def _recognizers() -> Mapping[str, tuple[Any, ...]]:
    """Return the recognizers of each entity. Raises FinderError without presidio."""
    # It logs a line for each recognizer.
    logging.getLogger("presidio-analyzer").setLevel(logging.WARNING)
    try:
        # Imported late: it takes seconds, and 100 MB.
        import tldextract  # noqa: PLC0415
        from presidio_analyzer import PatternRecognizer, predefined_recognizers  # noqa: PLC0415
    except ImportError:
        raise FinderError(f"expected the package presidio-analyzer to be installed: {EXTRA}") from None

    domains = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)

    class EmailRecognizer(predefined_recognizers.EmailRecognizer):
        """Checks domains by the list in the package: the original downloads one."""

        def validate_result(self, pattern_text: str) -> bool:
            return bool(domains(pattern_text).fqdn)

    classes: dict[str, Any] = {name: getattr(predefined_recognizers, name) for name in predefined_recognizers.__all__}
    classes["EmailRecognizer"] = EmailRecognizer
    kinds: list[Any] = [each for each in classes.values() if isinstance(each, type)]
    made = [kind() for kind in kinds if issubclass(kind, PatternRecognizer)]
    made.append(predefined_recognizers.PhoneRecognizer())
    found: dict[str, tuple[Any, ...]] = {}
    for recognizer in made:
        (entity,) = recognizer.supported_entities
        found[entity] = (*found.get(entity, ()), recognizer)
    return found


def _spans(recognizer: Any, text: str, until: float) -> Iterator[tuple[int, int]]:
    if recognizer.supported_entities == [_PHONE_NUMBER]:
        yield from _phone_numbers(recognizer, text, until)
        return
    for pattern in recognizer.patterns:
        expression = regex.compile(pattern.regex, recognizer.global_regex_flags)
        for match in expression.finditer(text, timeout=_left(until)):
            if match[0] and _is_valid(recognizer, match[0]):
                yield match.span()


def _is_valid(recognizer: Any, text: str) -> bool:
    """Return whether the recognizer's checksum and exclusions accept a text; a defect in them doesn't keep it."""
    try:
        return recognizer.validate_result(text) is not False and not recognizer.invalidate_result(text)
    except Exception:
        return True


def _phone_numbers(recognizer: Any, text: str, until: float) -> Iterator[tuple[int, int]]:
    for start in range(0, len(text), _WINDOW - _OVERLAP):
        _left(until)
        window = text[start : start + _WINDOW]
        if any(map(str.isdigit, window)):
            for found in recognizer.analyze(window, [_PHONE_NUMBER]):
                yield start + found.start, start + found.end


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _united(spans: Spans) -> list[tuple[int, int]]:
    """Return spans in order, those that overlap as one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start < found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found
