"""Fuzzes one target guided by coverage: `python -m tests.fuzzing decode [libFuzzer's options] [corpus folder]`.

Needs the extra `[fuzz]` (atheris, Linux only). What is found is written to crash-<hash> in the
current folder; `python -m tests.fuzzing TARGET FILE` runs one input again.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["request_logger", "scorers"]):
    from request_logger.payloads import decoders
    from tests.fuzzing import targets

    # They are entry points, loaded at the first use: now, so that they are instrumented.
    decoders()

CORPUS = Path(__file__).parent / "corpus"


def main(arguments: list[str]) -> int:
    """Fuzz the target that the first argument names."""
    target = arguments[1] if len(arguments) > 1 else ""
    if target not in targets.TARGETS:
        print(f"expected a target of {', '.join(targets.TARGETS)}, found {target!r}", file=sys.stderr)
        return 2
    options = arguments[2:]
    if all(option.startswith("-") for option in options):
        options.append(str(CORPUS / target))
    atheris.Setup([arguments[0], *options], lambda data: targets.run(target, data))
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
