"""The clinical model: univariable, then multivariable logistic regression."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from annulus.clinical.encoding import encode, terms_of, typical
from annulus.cohort.dictionary import Column
from annulus.modelling.frozen import Linear
from annulus.modelling.logistic import LogisticFit, NotEstimable, fit_logistic, likelihood_ratio_p

# A range this small is rounding, not variation.
ROUNDING = 1e-12

ODDS_RATIO_COLUMNS = [
    "model", "analysis", "term", "n", "events", "odds_ratio", "lower", "upper", "p", "ci_method",
    "note",
]  # fmt: skip


@dataclass(frozen=True)
class ClinicalModel:
    """A clinical model, or the reason why there is none.

    ``selection`` has one row per candidate; ``odds_ratios`` those of both analyses.
    """

    linear: Linear | None
    reason: str
    kept: tuple[str, ...]
    selection: pd.DataFrame
    odds_ratios: pd.DataFrame


def fit_clinical(
    table: pd.DataFrame, outcome: np.ndarray, candidates: Mapping[str, Column], entry_p: float
) -> ClinicalModel:
    """Fit the clinical model on training patients.

    A candidate whose univariable p (Wald, or likelihood ratio where it has several terms) is below
    ``entry_p`` enters the multivariable model. Univariable analysis leaves out patients without the
    value; the multivariable model fills in what is typical of training patients.
    """
    selection: list[dict[str, Any]] = []
    odds = []
    for name, column in candidates.items():
        p, rows, note = _univariable(table, outcome, column)
        odds.append(rows.assign(analysis="univariable", note=note))
        removed = "not estimable" if p is None else ("" if p < entry_p else "univariable")
        selection.append({"column": name, "step_removed": removed, "statistic": p})
    chosen = tuple(row["column"] for row in selection if not row["step_removed"])
    fit, linear, reason = None, None, "no clinical variable survived univariable analysis"
    if chosen:
        fit, linear, reason = fit_terms(encode(table, [candidates[c] for c in chosen]), outcome)
    inestimable = [row["column"] for row in selection if row["step_removed"] == "not estimable"]
    if inestimable and not chosen:
        reason += f" ({', '.join(inestimable)} not estimable)"
    if fit is not None:
        imputed = int(encode(table, [candidates[c] for c in chosen]).isna().any(axis=1).sum())
        note = "after univariable selection, so intervals are too narrow"
        note += f"; {imputed} patients imputed" if imputed else ""
        odds.append(fit.odds_ratios().assign(analysis="multivariable", note=note))
    return ClinicalModel(
        linear=linear,
        reason=reason,
        kept=chosen if linear else (),
        selection=pd.DataFrame(selection, columns=["column", "step_removed", "statistic"]),
        odds_ratios=pd.concat(odds, ignore_index=True) if odds else pd.DataFrame(),
    )


def fit_terms(terms: pd.DataFrame, outcome: np.ndarray) -> tuple[LogisticFit | None, Linear | None, str]:
    """Fit a logistic regression on terms that may be missing, filled by what is typical.

    A term that does not vary (a level that no training patient has) is left out: it says nothing here.
    Returns the fit, what scoring needs of it, and, where neither can be had, the reason.
    """
    terms = terms[varying(terms)]
    fill = typical(terms)
    try:
        if terms.empty:
            raise NotEstimable("none of its terms varies")
        fit = fit_logistic(terms.fillna(fill), outcome)
    except NotEstimable as error:
        return None, None, f"not estimable: {error}"
    count = len(fit.terms)
    linear = Linear(
        intercept=fit.intercept,
        terms=fit.terms,
        coefficients=tuple(map(float, fit.coefficients)),
        fill=tuple(map(float, fill)),
        mean=(0.0,) * count,
        sd=(1.0,) * count,
    )
    return fit, linear, ""


def varying(terms: pd.DataFrame) -> list[str]:
    """Return the terms that differ between patients by more than rounding."""
    spread = terms.max() - terms.min()
    return [name for name in terms if spread[name] > ROUNDING]


def _univariable(
    table: pd.DataFrame, outcome: np.ndarray, column: Column
) -> tuple[float | None, pd.DataFrame, str]:
    terms = encode(table, [column])
    known = terms.notna().all(axis=1).to_numpy()
    y = outcome[known]
    terms = terms.loc[known]
    terms = terms[varying(terms)]
    try:
        if terms.empty or len(np.unique(y)) < 2:
            raise NotEstimable("it does not vary among the training patients")
        fit = fit_logistic(terms, y)
    except NotEstimable as error:
        rows = pd.DataFrame({"term": terms_of(column), "n": len(y), "events": int(y.sum())})
        return None, rows, f"not estimable: {error}"
    p = float(fit.p_values[0]) if len(fit.terms) == 1 else likelihood_ratio_p(fit, y)
    return p, fit.odds_ratios(), ""
