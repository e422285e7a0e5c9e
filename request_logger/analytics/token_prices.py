"""Parses TOKEN_PRICES: what the tokens of each model cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase

from request_logger.settings import SettingsError

_PER = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """The prices of a million tokens of the models that match ``glob``: of prompts and of completions."""

    glob: str
    prompt: float
    completion: float

    def cost(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Return what some tokens cost."""
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / _PER


class TokenPrices:
    """The prices of TOKEN_PRICES: ``gpt-4o=2.5/10 qwen*=0.1/0.1``; the first glob that matches a model applies.

    Raises SettingsError with one line per invalid entry.
    """

    def __init__(self, setting: str) -> None:
        self._prices: list[Price] = []
        problems = []
        for position, entry in enumerate(setting.replace(",", " ").split(), start=1):
            price = _price(entry)
            if price is None:
                problems.append(
                    f"TOKEN_PRICES: entry {position}: expected model=prompt/completion, prices of a million tokens such"
                    " as gpt-4o=2.5/10"
                )
            else:
                self._prices.append(price)
        if problems:
            raise SettingsError("\n".join(problems))

    def of(self, model: str) -> Price | None:
        """Return the price of a model, None if it has none."""
        return next((price for price in self._prices if fnmatchcase(model, price.glob)), None)

    def __bool__(self) -> bool:
        """Return whether there are any prices."""
        return bool(self._prices)


def _price(entry: str) -> Price | None:
    glob, _, prices = entry.rpartition("=")
    prompt, separator, completion = prices.partition("/")
    try:
        found = Price(glob, float(prompt), float(completion))
    except ValueError:
        return None
    is_valid = (
        glob and separator and all(math.isfinite(each) and each >= 0 for each in (found.prompt, found.completion))
    )
    return found if is_valid else None
