"""Rows of the report's odds ratios: a term with both of its intervals."""

from typing import Any

import pandas as pd

from annulus.figures.style import model_title, term_title
from annulus.reporting.numbers import number, p_value, with_interval

KEY = ["model", "analysis", "term"]
WALD = "wald"


def odds_ratio_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a row per term: its Wald interval with Wald's p, and its other interval with that one's p.

    ``table`` is ``tasks/<task>/odds_ratios.csv``, which has a row per interval.
    """
    return [
        {
            "model": model_title(model),
            "analysis": analysis,
            "term": term_title(term),
            "n": int(group["n"].iloc[0]),
            "events": int(group["events"].iloc[0]),
            "wald": _interval(group[group["ci_method"] == WALD]),
            "other": _interval(group[group["ci_method"] != WALD]),
            "gvif": number(group["gvif"].iloc[0], 2),
            "note": next(iter(group["note"].dropna()), ""),
        }
        for (model, analysis, term), group in table.groupby(KEY, sort=False)
    ]


def _interval(rows: pd.DataFrame) -> dict[str, str]:
    if rows.empty:
        return {"odds_ratio": "–", "method": "", "p": "–"}
    row = rows.iloc[0]
    shown = {"estimate": row["odds_ratio"], "lower": row["lower"], "upper": row["upper"]}
    method = "" if pd.isna(row["ci_method"]) else row["ci_method"]
    return {"odds_ratio": with_interval(shown, 2), "method": method, "p": p_value(row["p"])}
