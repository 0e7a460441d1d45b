"""One way to write plain content, so that the same content always has the same hash.

Used while Snakemake reads the workflow, so it needs nothing beyond the standard library.
"""

import hashlib
import json
from typing import Any


def canonical(content: Any) -> str:
    """Write plain content (mappings, lists, words, numbers) as JSON: keys in order, 5.0 as 5, no blanks.

    Raises ValueError where a number is not finite, TypeError where something is no plain content.
    """
    return json.dumps(
        _plain(content), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def sha256_of(content: Any) -> str:
    """Return the SHA-256 of plain content, as :func:`canonical` writes it."""
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def _plain(content: Any) -> Any:
    if isinstance(content, dict):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    return int(content) if isinstance(content, float) and content.is_integer() else content
