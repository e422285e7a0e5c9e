"""The documentation, docstrings, comments and messages use plain technical English: no phrase that must be decoded."""

from __future__ import annotations

import ast
import importlib
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from request_logger.commands.registry import COMMANDS

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "SECURITY", "CONTRIBUTING", "CHANGELOG")),
    *sorted((ROOT / "docs").glob("**/*.md")),
]
SOURCES = sorted(path for name in ("request_logger", "scorers", "bench") for path in (ROOT / name).glob("**/*.py"))
TEMPLATES = sorted((ROOT / "request_logger").glob("**/*.jinja"))

_UNIT = r"(?:prediction|event|row|batch|worker|document|deployment|class|problem|line|condition|scorer|variable|_bulk)"
# Pattern -> what to write instead. Only what is wrong in every context is listed.
PHRASES = {
    r"(?:come|comes|came|coming) again": "retries, is delivered again",
    r"mend(?:s|ed|ing|able)?": "fix",
    r"an? (?:row|line|field|module|patch|test) each": "one row per ...",
    r"all the same": "anyway; or: all equal",
    r"of ours": "name whose it is: the logger's, this project's",
    r"nobody (?:asks|says|looks)": "name what is missing",
    r"beside": "next to, in addition to, during",
    r"a sender that comes": "a sender that retries",
    r"of which nobody": "name the null object or the default",
    r"judges? each pair": "guesses the task from each pair",
    r"with other values than these": "other settings",
    r"answered 400 or 500 is understood": "bodies that the original rejected are accepted",
    r"what those need": "name the interface",
    r"first gives what": "replays",
    r"as a process wants it": "name what is tuned",
    r"to be begun": "to be created",
    r"come along": "are downloaded, are included",
    r"made are used on": "keep working",
    r"go(?:es)? on to work": "keeps working",
    r"(?:is|are) said (?:at once|in one line)": "is reported",
    r"(?:refused|refuses|refuse) in every form": "rejects even after fallback",
    r"in no form at all": "even after fallback",
    r"lonely": "single",
    r"one aggregation away": "one aggregation shows",
    r"meets? less often": "conflict less often",
    r"stands? on them": "depends on",
    r"the figures are right": "exact, and how it is verified",
    r"run them where you are": "run them on your own hardware",
    r"nothing of it must": "you don't have to",
    r"200 with nothing in it": "an empty 200",
    r"coming from the deployment": "if you are migrating from",
    r"takes and distorts": "accepts but distorts",
    r"what is counted[.,:]": "metrics of ...",
    r"what the routes share": "name it: the ingest pipeline",
    r"of several names none": "the names are ignored",
    r"somebody else's to read": "handed over to",
    r"say of themselves": "name what they contain",
    r"two documents that are one": "two copies of a document",
    r"only who has to": "a waiter",
    r"who only asks?": "read-only",
    r"no logger can mend": "name what can't be done",
    rf"(?:ms|MB|kB|GB|CPU|seconds|milliseconds|microseconds|cores) an? {_UNIT}": "per event",
    rf"(?:one|a (?:line|row|document|table|panel|column)) an? {_UNIT}": "one per event",
    rf"one (?:line|row|document|table|panel|column|index|object|value) an? {_UNIT}": "one line per event",
    r"one json object a line": "one JSON object per line",
    r"(?:is|are) warned of": "a warning names",
    r"surely": "significantly, certainly, or the criterion",
    r"as (?:it|they) came": "unchanged, as received",
    r"put together": "assembled",
    r"what bec[ao]mes? of": "the result of, the outcome of",
    r"(?:is|are) no fair": "isn't a fair",
    r"says? nothing of": "says nothing about",
    r"(?:knows?|imports?) nothing of": "knows neither ... nor, imports nothing from",
    r"nothing of (?:it|them|the)": "none of it, no part of",
    r"anew": "again",
    r"one after the other": "one by one, one at a time, in turn",
    r"at a stop": "at shutdown",
    r"in vain": "name what did not happen",
    r"whoever": "the process that, any sender that",
    r"(?:is|are) answered by (?:its|their) list": "the command lists them",
    # Some reasons that documents store have this form as well: they stay, since documents are counted by them.
    r"(?:it|they|that|which|what|who) (?:is|are|was|were) no(?! longer| more| COUNTER| dict| numbers| \{| $)": "isn't",
}
WRONG = {
    phrase: re.compile(rf"(?<!\w){phrase.replace(' ', chr(92) + 's+')}(?!\w)", re.IGNORECASE) for phrase in PHRASES
}


def texts_of(source: str) -> Iterator[tuple[int, str]]:
    """Yield each string and each block of comments of Python code, with its line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            parts = [str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values]
            yield node.lineno, "".join(parts)
    block: list[str] = []
    first = last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if block and token.start[0] != last + 1:
            yield first, "\n".join(block)
            block = []
        first, last = first if block else token.start[0], token.start[0]
        block.append(token.string.lstrip("# "))
    if block:
        yield first, "\n".join(block)


def findings(path: Path) -> list[str]:
    """Return a line for each phrase in a file that has to be rewritten."""
    text = path.read_text(encoding="utf-8")
    pieces = texts_of(text) if path.suffix == ".py" else [(1, text)]
    return [
        f"{path.relative_to(ROOT)}:{line + piece.count(chr(10), 0, match.start())}: "
        f"{' '.join(match[0].split())!r}: write {PHRASES[phrase]!r}"
        for line, piece in pieces
        for phrase, pattern in WRONG.items()
        for match in pattern.finditer(piece)
    ]


@pytest.mark.parametrize("path", [*PAGES, *SOURCES, *TEMPLATES], ids=lambda path: str(path.relative_to(ROOT)))
def test_plain_english(path: Path) -> None:
    """No listed phrase is in a page, docstring, comment, message or template."""
    assert findings(path) == []


@pytest.mark.parametrize(
    "text",
    [
        "The sender comes again.",
        "The sender comes\nagain.",
        "It is mended.",
        "What is missing is said in one line.",
        "0.3 ms an event",
        "one line a problem",
        "Nobody asks.",
        "for a file that is no state",
    ],
)
def test_phrases_are_found(text: str) -> None:
    """The patterns find what they are for, across line breaks and in any case."""
    assert any(pattern.search(text) for pattern in WRONG.values())


@pytest.mark.parametrize("text", ["recommended", "150 events a second", "unused one", "used once", "one event"])
def test_plain_words_are_left_alone(text: str) -> None:
    """A pattern matches whole words, and nothing that is plain English."""
    assert not any(pattern.search(text) for pattern in WRONG.values())


def test_texts_of_python_code() -> None:
    """Comments over several lines, docstrings, joined and formatted strings are read; code is not."""
    source = (
        '# a sender\n# comes again\nmend = f"{1} comes" " again"\n\n\ndef nobody_asks() -> None:\n    """Mended."""\n'
    )
    pieces = list(texts_of(source))
    assert (1, "a sender\ncomes again") in pieces
    assert (3, "{} comes again") in pieces
    assert (7, "Mended.") in pieces
    assert not any("nobody_asks" in piece for _, piece in pieces)


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_declare_their_arguments(name: str) -> None:
    """The docstrings of `add_arguments` and `run` name what these do, and no "it"."""
    module = importlib.import_module(f"request_logger.commands.{COMMANDS[name][0]}")
    assert module.add_arguments.__doc__.startswith("Declare the command's arguments")
    assert not re.match(r"\w+ (?:it|them)\b", module.run.__doc__)
