"""Patients shared out over chunks, and files named after images, from ids alone.

Used while Snakemake reads the workflow, so it needs the standard library alone.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping

from annulus.cohort.listing import Row


def image_stem(row: Mapping[str, str], *more: str) -> str:
    """Name files after an image (and what of it), safely for any id; different ids never meet."""
    parts = (row["patient_id"], row["timepoint"], row["image_id"], *more)
    readable = re.sub(r"[^A-Za-z0-9_.-]", "-", "_".join(parts)).lstrip(".")
    return f"{readable}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:8]}"


def chunk_of(patient_id: str, chunks: int) -> str:
    """Name the chunk of a patient from the id alone, so that no other patient can move it."""
    number = int(hashlib.sha256(patient_id.encode()).hexdigest(), 16) % chunks
    return f"{number:04d}"


def chunked(rows: Iterable[Row], chunks: int) -> dict[str, list[Row]]:
    """Share manifest rows over chunks by patient; rows of a chunk are sorted, order never matters."""
    shares: dict[str, list[Row]] = {}
    for row in rows:
        shares.setdefault(chunk_of(row["patient_id"], chunks), []).append(row)
    return {name: sorted(shares[name], key=_row_key) for name in sorted(shares)}


def _row_key(row: Row) -> tuple[str, ...]:
    keys = ("patient_id", "timepoint", "image_id", "mask_role", "rater", "lesion", "label", "mask_path")
    return tuple(row.get(key, "") for key in keys)
