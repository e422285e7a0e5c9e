"""What the pairs of a deployment have shown so far of their form, for the setting ``auto``. Pure code.

The evidence is a random sample of the deployment's pairs that is the same everywhere: those whose ids have the
smallest hashes. It says how often each form occurs, so that a wrong label among thousands decides nothing, and what two
processes have seen is joined in any order, any number of times.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from scorers.auto import Decision, decided
from scorers.forms import READINGS, Form

PAIRS = 256
"""The size of the sample: a form of 3 % of the pairs is missed in 2 % of samples, one of 0.1 % counts in 0.2 %."""
SLIPS = 0.01
"""Up to this share, pairs of another form or unscorable pairs are slips of single labels. A form that belongs to the
deployment, or a convention of a whole class that is read wrongly, makes more."""
LEAST_PAIRS = 20
"""With fewer pairs, each is decided alone, unless a rescore has read the whole deployment: a slip would decide much."""

_HASH_BYTES = 6  # Whole numbers that every JSON parser keeps exact.
_FORMS = tuple(Form)
_BIT = {form: 1 << position for position, form in enumerate(_FORMS)}
_ALONE = {form: Decision(READINGS[form].alone) for form in _FORMS}


@lru_cache(maxsize=64)
def _forms_of(bits: int) -> tuple[Form, ...]:
    return tuple(form for form, bit in _BIT.items() if bits & bit)


Origin = tuple[str, str, str, str]
"""Namespace, deployment, predictor and model."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A sample of pairs: the hash of each one's id, and its forms as bits, several if its feedback was corrected.

    ``epoch`` is the number of rescores that have read the whole deployment: each replaces the sample by what the
    documents show. Evidence is a join-semilattice: `join` is commutative, associative and idempotent.
    """

    sample: Mapping[int, int] = field(default_factory=dict)
    epoch: int = 0
    shown: frozenset[Form] = field(init=False, compare=False)
    """The forms of more pairs than slips have."""
    last: int = field(init=False, compare=False)
    """The greatest hash of a full sample, else one above all hashes."""

    def __post_init__(self) -> None:
        """Derive the rest. Raises ValueError for a sample of more than PAIRS."""
        if len(self.sample) > PAIRS:
            raise ValueError(f"expected at most {PAIRS} pairs, found {len(self.sample)}")
        counts: dict[Form, int] = {}
        # Almost all pairs have one of a few forms.
        for bits, count in Counter(self.sample.values()).items():
            for form in _forms_of(bits):
                counts[form] = counts.get(form, 0) + count
        least = SLIPS * len(self.sample)
        object.__setattr__(self, "shown", frozenset(form for form, count in counts.items() if count > least))
        full = len(self.sample) == PAIRS
        object.__setattr__(self, "last", max(self.sample) if full else 1 << (8 * _HASH_BYTES))

    @property
    def decides(self) -> bool:
        """Whether it decides how the deployment's pairs are read; else each is decided alone."""
        return bool(self.sample) and (self.epoch > 0 or len(self.sample) >= LEAST_PAIRS)


NOTHING = Evidence()


def observed(evidence: Evidence, id: str, form: Form) -> Evidence:
    """Return the evidence with the pair of an id; the same object if the pair adds nothing."""
    key, bit = key_of(id), _BIT[form]
    held = evidence.sample.get(key, 0)
    if held & bit or key > evidence.last:
        return evidence
    return Evidence(_smallest({**evidence.sample, key: held | bit}), evidence.epoch)


def may_add(evidence: Evidence, id: str) -> bool:
    """Return whether the pair of an id may add anything, whatever its form is."""
    return key_of(id) <= evidence.last


def join(one: Evidence, other: Evidence) -> Evidence:
    """Return what both have seen: ``one`` itself if ``other`` adds nothing. A later epoch replaces the other."""
    if one.epoch != other.epoch:
        return one if one.epoch > other.epoch else other
    union = dict(one.sample)
    for key, bits in other.sample.items():
        union[key] = union.get(key, 0) | bits
    smallest = _smallest(union)
    return one if smallest == one.sample else Evidence(smallest, one.epoch)


def decide(evidence: Evidence, form: Form) -> Decision:
    """Return the decision on pairs of a form: by the deployment's evidence, while there is little by the form alone."""
    return decided(form, evidence.shown) if evidence.decides else _ALONE[form]


def key_of(id: str) -> int:
    """Return the hash of a prediction's id: the same in every process and release."""
    digest = hashlib.blake2b(id.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES).digest()
    return int.from_bytes(digest, "big")


def as_json(evidence: Evidence) -> dict[str, Any]:
    """Return the evidence as it is stored: the hashes of the sample by form."""
    listed = {form: [key for key, bits in evidence.sample.items() if bits & bit] for form, bit in _BIT.items()}
    return {"epoch": evidence.epoch, "pairs": {str(form): sorted(keys) for form, keys in listed.items() if keys}}


def from_json(stored: Any) -> Evidence:
    """Return stored evidence, without what can't be read: a later release may have written other forms."""
    found = stored if isinstance(stored, dict) else {}
    epoch, pairs = found.get("epoch"), found.get("pairs")
    sample: dict[int, int] = {}
    for form, bit in _BIT.items():
        keys = pairs.get(str(form)) if isinstance(pairs, dict) else None
        for key in keys if isinstance(keys, list) else ():
            if type(key) is int and 0 <= key < 1 << (8 * _HASH_BYTES):
                sample[key] = sample.get(key, 0) | bit
    return Evidence(_smallest(sample), epoch if type(epoch) is int and epoch > 0 else 0)


def _smallest(sample: dict[int, int]) -> dict[int, int]:
    if len(sample) <= PAIRS:
        return sample
    if len(sample) == PAIRS + 1:
        # One more pair was observed, which takes a fifth of the time of a sort.
        rest = dict(sample)
        del rest[max(rest)]
        return rest
    return {key: sample[key] for key in sorted(sample)[:PAIRS]}
