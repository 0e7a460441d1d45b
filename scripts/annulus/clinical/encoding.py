"""Clinical variables as numeric terms, by the data dictionary and never by the data."""

from collections.abc import Iterable, Mapping

import pandas as pd

from annulus.cohort.dictionary import Column, terms_of


def encode(table: pd.DataFrame, columns: Iterable[Column]) -> pd.DataFrame:
    """Return the terms of ``columns`` as numbers; a missing value is missing in all of its terms.

    Categories become indicators against their first level in the dictionary, ordinals their scores. A
    value that the dictionary does not have counts as missing.
    """
    parts: dict[str, pd.Series] = {}
    for column in columns:
        parts |= _encode_one(table[column.name], column)
    return pd.DataFrame(parts, index=table.index, dtype=float)


def typical(terms: pd.DataFrame) -> pd.Series:
    """Return what stands in for a missing value: the median, or the most frequent level of a category."""
    fill = terms.median()
    levels = [str(name) for name in terms if "[" in str(name)]
    for variable in dict.fromkeys(name.partition("[")[0] for name in levels):
        group = [name for name in levels if name.startswith(f"{variable}[")]
        share = terms[group].mean()
        most = share.idxmax() if share.max() > 1.0 - share.sum() else None
        fill[group] = [float(name == most) for name in group]
    return fill


def _encode_one(values: pd.Series, column: Column) -> Mapping[str, pd.Series]:
    names = terms_of(column)
    if column.type == "category":
        text = values.astype("string")
        known = text.isin(column.levels)
        return {
            name: (text == level).astype(float).where(known)
            for name, level in zip(names, column.levels[1:], strict=True)
        }
    if column.type == "ordinal":
        scores = values.astype("string").map(dict(column.scores or {}))
        return {names[0]: pd.to_numeric(scores)}
    return {names[0]: pd.to_numeric(values)}
