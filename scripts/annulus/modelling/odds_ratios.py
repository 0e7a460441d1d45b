"""Odds ratios of logistic models as papers print them: Wald and profile intervals, and inflation.

Made once for the models of the study, never in the refits of folds and resamples, which do not print.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from annulus.clinical.encoding import encode, typical
from annulus.cohort.dictionary import Column, terms_of
from annulus.modelling.clinical import known_rows, varying
from annulus.modelling.firth import FirthFit, fit_or_firth
from annulus.modelling.likelihood import profile_odds_ratios, variance_inflation
from annulus.modelling.logistic import NotEstimable

ODDS_RATIO_COLUMNS = [
    "model", "analysis", "term", "n", "events", "odds_ratio", "lower", "upper", "p", "ci_method",
    "gvif", "note",
]  # fmt: skip


def univariable_rows(table: pd.DataFrame, outcome: np.ndarray, column: Column) -> pd.DataFrame:
    """Odds ratios of one variable alone, in the patients who have its value."""
    terms, y = known_rows(encode(table, [column]), np.asarray(outcome, dtype=float))
    try:
        if terms.empty or len(np.unique(y)) < 2:
            raise NotEstimable("it does not vary among the training patients")
        return _rows(terms, y).assign(analysis="univariable")
    except NotEstimable as error:
        rows = pd.DataFrame({"term": terms_of(column), "n": len(y), "events": int(y.sum())})
        return rows.assign(analysis="univariable", note=f"not estimable: {error}")


def multivariable_rows(terms: pd.DataFrame, outcome: np.ndarray, note: str = "") -> pd.DataFrame:
    """Odds ratios of all ``terms`` together, missing ones filled by what is typical of training.

    ``gvif`` is the generalised variance inflation of each term's variable: a category's terms, or a term
    by itself. ``note`` is put before what the fit has to say. Raises NotEstimable as ``fit_or_firth``.
    """
    used = terms[varying(terms)]
    imputed = int(used.isna().any(axis=1).sum())
    rows = _rows(used.fillna(typical(used)), np.asarray(outcome, dtype=float))
    notes = [note, f"{imputed} patients imputed" if imputed else ""]
    return rows.assign(
        analysis="multivariable",
        note=["; ".join(part for part in (*notes, own) if part) for own in rows["note"]],
    )


def _rows(terms: pd.DataFrame, y: np.ndarray) -> pd.DataFrame:
    fit = fit_or_firth(terms, y)
    if isinstance(fit, FirthFit):
        return fit.odds_ratios().assign(note=f"Firth: {fit.reason}")
    inflation = variance_inflation(fit, _variables(terms))
    gvif = {term: row.gvif for row in inflation.itertuples() for term in _variables(terms)[str(row.variable)]}
    both = [fit.odds_ratios(), profile_odds_ratios(terms, y)]
    rows = pd.concat(both, ignore_index=True)
    return rows.assign(gvif=rows["term"].map(gvif) if terms.shape[1] > 1 else np.nan, note="")


def _variables(terms: pd.DataFrame) -> Mapping[str, list[str]]:
    """Return the terms of each variable; a category's are called ``variable[level]``."""
    variables: dict[str, list[str]] = {}
    for term in terms:
        variables.setdefault(str(term).partition("[")[0], []).append(str(term))
    return variables
