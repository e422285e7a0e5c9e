"""The scorer for text: an answer, a transcript or a translation, compared with a reference."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rapidfuzz.distance.Levenshtein import distance as edit_distance

from scorers.base import Count, Fields, Metric, Need, Row, Sum, UnscorableError, mean_of, ratio, shown, unwrap
from scorers.options import check_count, check_flag
from scorers.reasons import Reason, of_side

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
# Texts of fewer words are answers whose spelling may be all that counts: a name, a code, a number.
_SENTENCE_WORDS = 5
# Marks that end a part of a sentence, and that enclose it. All others may belong to the word: -5, .5, C++, C#, 50%.
_ENDS = ".,;:!?"
_QUOTES = "\"'`()"


def _error_rate(name: str, errors: str, length: str) -> Metric:
    # An empty truth adds its errors, too. A document has either both fields or neither.
    needs: dict[str, Need] = {"errors": Sum(errors), "length": Sum(length), "n": Count(errors)}
    return Metric(name, needs, lambda v: ratio(v["errors"], v["length"]), False, (0.0, float("inf")))


@dataclass(frozen=True, slots=True)
class Text:
    """Scores two texts: exact match, words in common, and edit distances.

    The truth is a text, or a list of correct texts (of which the best match counts, for each field separately); the
    prediction is a text.

    Options: ``normalize``, whether case, punctuation, articles and white space make no difference for ``correct``
    (true), or every character does (false); by default every character of a text of fewer than five words does, and of
    a longer one its words. ``max_characters``, the length above which edit distances are omitted; their time grows with
    its square.
    """

    name: ClassVar[str] = "text"
    metrics: ClassVar[tuple[Metric, ...]] = (
        mean_of("accuracy", "correct"),
        mean_of("exact_match", "exact_match"),
        mean_of("normalized_match", "normalized_match"),
        mean_of("token_f1", "token_f1"),
        mean_of("edit_similarity", "edit_similarity"),
        mean_of("edit_distance", "edit_distance", higher_is_better=False, bounds=(0.0, float("inf"))),
        _error_rate("word_error_rate", "word_errors", "truth_words"),
        _error_rate("character_error_rate", "edit_distance", "truth_characters"),
    )

    max_characters: int = 4_000
    normalize: bool | None = None

    def __post_init__(self) -> None:
        """Check the options. Raises ValueError that names the wrong one."""
        check_count("max_characters", self.max_characters, optional=False)
        check_flag("normalize", self.normalize)

    def score(self, truth: Row, prediction: Row) -> Fields:
        """Return the fields of a pair.

        ``normalized_match`` is 1 for texts that are equal in lower case, without punctuation, articles (a, an, the) and
        extra space; ``token_f1`` is the harmonic mean of the precision and recall of the normalized words (both as
        defined by the SQuAD evaluation, Rajpurkar et al. 2016, but a text of which nothing is left equals only itself).
        ``correct`` is one of these, see the option ``normalize``. ``edit_distance`` is in characters,
        ``edit_similarity`` is 1 - distance / length of the longer text, ``word_errors`` is the edit distance in words.
        Raises UnscorableError for anything but text.
        """
        predicted = _text(unwrap(prediction.value), "prediction")
        actual = unwrap(truth.value)
        references = [_text(each, "truth") for each in (actual if isinstance(actual, (list, tuple)) else [actual])]
        if not references:
            raise UnscorableError("the truth is an empty list", reason=Reason.TRUTH_EMPTY)
        plain = normalize(predicted)
        exact = int(predicted in references)
        pairs = [(normalize(reference), plain) for reference in references]
        # "A" and "the!" have no word left: they have nothing in common with another such text, or with an empty one.
        match = int(exact or any(reference == said != "" for reference, said in pairs))
        fields: Fields = {"correct": exact, "exact_match": exact, "normalized_match": match}
        if self.normalize:
            fields["correct"] = match
        elif self.normalize is None and not exact:
            fields["correct"] = int(any(_are_same_sentence(reference, predicted) for reference in references))
        fields["token_f1"] = 1.0 if exact else max(_token_f1(reference, said) for reference, said in pairs)
        if max(len(predicted), *map(len, references)) <= self.max_characters:
            fields |= min((_edits(each, predicted) for each in references), key=lambda found: -found["edit_similarity"])
        return fields


def normalize(text: str) -> str:
    """Return a text in lower case, without punctuation and the articles a, an, the, with single spaces (as SQuAD)."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def _are_same_sentence(truth: str, prediction: str) -> bool:
    """Return whether two texts of at least _SENTENCE_WORDS have the same words but for case, articles and the marks."""
    actual, predicted = truth.split(), prediction.split()
    if min(len(actual), len(predicted)) < _SENTENCE_WORDS:
        return False
    return _sentence(actual) == _sentence(predicted)


def _sentence(words: Sequence[str]) -> list[str]:
    return [word for word in map(_plain_word, words) if word not in ("a", "an", "the")]


def _plain_word(word: str) -> str:
    plain = word.lower().rstrip(_ENDS)
    # With digits, quotes and parentheses may be units or a sign: 5', (5).
    if not any(map(str.isdigit, plain)):
        plain = plain.strip(_QUOTES).rstrip(_ENDS)
    return plain or word


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise UnscorableError(f"the {what} is {shown(value)}, not a text", reason=of_side(what, "NOT_TEXT"))
    return value


def _token_f1(truth: str, prediction: str) -> float:
    actual, predicted = truth.split(), prediction.split()
    if not actual or not predicted:
        return 0.0
    shared = (Counter(actual) & Counter(predicted)).total()
    return 2.0 * shared / (len(actual) + len(predicted))


def _edits(truth: str, prediction: str) -> Fields:
    distance = 0 if truth == prediction else edit_distance(truth, prediction)
    words = truth.split()
    return {
        "edit_distance": distance,
        "edit_similarity": 1.0 - distance / max(len(truth), len(prediction), 1),
        "truth_characters": len(truth),
        "word_errors": edit_distance(words, prediction.split()) if distance else 0,
        "truth_words": len(words),
    }
