"""`python -m misir.imports.read FILE FORMAT FROM`: a file's entries as JSON lines, in a confined process.

FORMAT `?` detects it. The first line says the format; then an entry a line from number FROM on, with
nothing for those before it; the last line says how many there are, or why the file cannot be read.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from misir.imports.entries import UnreadableError
from misir.imports.formats import detect_format
from misir.imports.readers import READERS
from misir.plumbing.confined import confine

MEMORY_MIB = 512
CPU_S = 600


def main(path: Path, wanted: str, start: int) -> None:
    confine(memory_mib=MEMORY_MIB, cpu_s=CPU_S)
    known = detect_format(path) if wanted == "?" else wanted
    if known is None:
        _say({"error": "This is no format Misir can import: the list of them is in the documentation."})
        return
    _say({"format": known})
    number = 0
    try:
        entries = READERS[known](path)
        number = sum(1 for _ in islice(entries, start))
        for entry in entries:
            number += 1
            _say({name: value for name, value in asdict(entry).items() if value is not None})
    except UnreadableError as problem:
        _say({"error": str(problem)})
    except MemoryError:
        _say({"error": "An entry of the file is too large to be read."})
    else:
        _say({"end": number})


def _say(value: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(value) + b"\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), sys.argv[2], int(sys.argv[3]))
