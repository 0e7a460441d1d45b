"""Tables and small files, always written whole."""

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

# Columns whose values are names even where they look like numbers.
TEXT_COLUMNS = (
    "patient_id", "image_id", "rater", "lesion", "label", "series_uid", "outer_set", "row", "patient_a",
    "image_a", "patient_b", "image_b", "left_out_together",
    "observed_class", "predicted_class", "class",
)  # fmt: skip

# Counts stay whole numbers where some are missing: one patient must not change how others' are written.
COUNT_COLUMNS = (
    "voxels", "components", "holes", "touches_border", "image_mask_same_grid", "dimension",
)  # fmt: skip


def write_whole(path: str | Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` with a temporary name beside ``path``, then rename it to ``path``.

    A job that is killed leaves the old file or none, never half of one.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{os.getpid()}-{target.name}")
    try:
        write(partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` as UTF-8."""
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_sha256(path: str | Path, of: str | Path) -> None:
    """Write the SHA-256 of a file as ``sha256sum`` does, so that ``sha256sum --check`` reads it."""
    write_text(path, f"{hashlib.sha256(Path(of).read_bytes()).hexdigest()}  {Path(of).name}\n")


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write ``content`` as indented JSON; numbers that are not finite are refused."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON object."""
    content: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return content


def write_csv(
    path: str | Path,
    rows: pd.DataFrame | Iterable[Mapping[str, Any]],
    columns: Iterable[str] | None = None,
) -> None:
    """Write a UTF-8 CSV with a header; an empty cell is a missing value.

    ``columns`` come first and are present even when ``rows`` is empty; others follow as they are.
    """
    table = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    if columns is not None:
        first = list(columns)
        table = table.reindex(columns=first + [c for c in table.columns if c not in first])
    counts = [c for c in COUNT_COLUMNS if c in table]
    table = table.assign(**{c: pd.to_numeric(table[c], errors="coerce").astype("Int64") for c in counts})
    write_whole(path, lambda partial: table.to_csv(partial, index=False, lineterminator="\n"))


def as_given(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Put rows into a table whose whole numbers are written whole where others of their column are missing.

    So that 1 stays the 1 that a study names among an outcome's values, not 1.0.
    """
    return pd.DataFrame(list(rows), dtype=object)


def read_csv(path: str | Path) -> pd.DataFrame:
    """Read a CSV whose only missing value is the empty cell; identifiers stay text."""
    table: pd.DataFrame = pd.read_csv(
        path, dtype=dict.fromkeys(TEXT_COLUMNS, str), keep_default_na=False, na_values=[""]
    )
    return table


def read_text_csv(path: str | Path) -> pd.DataFrame:
    """Read a CSV with every cell as it is written; empty cells are missing."""
    table: pd.DataFrame = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
    return table


def read_by_name(names: Sequence[str], paths: Sequence[str | Path]) -> dict[str, pd.DataFrame]:
    """Read one CSV file per name."""
    return {name: read_csv(path) for name, path in zip(names, paths, strict=True)}


def concat_csv(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Read several CSV files of the same columns below one another, keeping empty ones' columns."""
    return joined([read_csv(path) for path in paths])


def joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put tables of the same columns below one another; where all are empty, the first."""
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else tables[0]


def write_parquet(path: str | Path, table: pd.DataFrame) -> None:
    """Write a Parquet file without an index."""
    write_whole(path, lambda partial: table.to_parquet(partial, index=False))


def write_arrays(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name (.npz); the same arrays give the same bytes."""

    def write(partial: Path) -> None:
        # numpy.savez stamps the time into the archive.
        with zipfile.ZipFile(partial, "w") as archive:
            for name in sorted(arrays):
                held = io.BytesIO()
                np.save(held, arrays[name], allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{name}.npy"), held.getvalue())

    write_whole(path, write)


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Read what ``write_arrays`` wrote."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
