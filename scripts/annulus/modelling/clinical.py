"""The clinical model: univariable, then multivariable logistic regression."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from annulus.clinical.encoding import encode, terms_of, typical
from annulus.cohort.dictionary import Column
from annulus.modelling.firth import FirthFit, firth_ratio_statistic, fit_or_firth
from annulus.modelling.frozen import Linear
from annulus.modelling.likelihood import likelihood_ratio_tests
from annulus.modelling.logistic import LogisticFit, NotEstimable, Separated, fit_logistic, likelihood_ratio_p

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


def linear_of(fit: LogisticFit | FirthFit, fill: pd.Series) -> Linear:
    """Keep of a fit what scoring needs; ``fill`` is what stands in for a missing term."""
    count = len(fit.terms)
    return Linear(
        intercept=fit.intercept,
        terms=fit.terms,
        coefficients=tuple(map(float, fit.coefficients)),
        fill=tuple(map(float, fill[list(fit.terms)])),
        mean=(0.0,) * count,
        sd=(1.0,) * count,
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
    return fit, linear_of(fit, fill), ""


def fit_terms_or_firth(
    terms: pd.DataFrame, outcome: np.ndarray
) -> tuple[LogisticFit | FirthFit | None, Linear | None, str]:
    """Fit as :func:`fit_terms`, but by Firth's regression where the terms separate the outcome."""
    terms = terms[varying(terms)]
    fill = typical(terms)
    try:
        if terms.empty:
            raise NotEstimable("none of its terms varies")
        fit = fit_or_firth(terms.fillna(fill), outcome)
    except NotEstimable as error:
        return None, None, f"not estimable: {error}"
    return fit, linear_of(fit, fill), ""


def fit_backward(
    table: pd.DataFrame,
    outcome: np.ndarray,
    candidates: Mapping[str, Column],
    entry_p: float,
    stay_p: float | None,
) -> ClinicalModel:
    """Fit the clinical model by univariable analysis, then backward elimination.

    A variable enters when its univariable likelihood-ratio p (in patients who have the value) is below
    ``entry_p``, and stays in the multivariable model as :func:`eliminate` decides. Where an outcome is
    separated, estimates and tests are Firth's. When no variable survives there is no model, and
    ``reason`` says so.
    """
    y = np.asarray(outcome, dtype=float)
    rows, entered = {}, {}
    odds = []
    for name, column in candidates.items():
        terms = encode(table, [column])
        known = terms.notna().all(axis=1).to_numpy()
        p, found, note = _univariable_or_firth(terms.loc[known], y[known], column)
        odds.append(found.assign(analysis="univariable", note=note))
        rows[name] = {"column": name, "step_removed": "", "statistic": p}
        if p is None:
            rows[name]["step_removed"] = "not estimable"
        elif p >= entry_p:
            rows[name]["step_removed"] = "univariable"
        else:
            filled = terms.fillna(typical(terms))
            entered[name] = filled[varying(filled)]
    try:
        removed = eliminate(entered, y, stay_p)
    except NotEstimable as error:
        return _no_model(f"not estimable: {error}", rows, odds)
    for name, statistic in removed.items():
        rows[name] |= {"step_removed": "backward", "statistic": statistic}
    kept = tuple(name for name in entered if name not in removed)
    if not kept:
        stage = "backward elimination" if entered else "univariable analysis"
        return _no_model(f"no clinical variable survived {stage}", rows, odds)
    return _multivariable(
        table, y, candidates, kept, rows, odds, "after selection, so intervals are too narrow"
    )


def fit_prespecified(
    table: pd.DataFrame, outcome: np.ndarray, candidates: Mapping[str, Column]
) -> ClinicalModel:
    """Fit the clinical model of all candidates, none selected; Firth's where the outcome is separated."""
    rows = {name: {"column": name, "step_removed": "", "statistic": np.nan} for name in candidates}
    y = np.asarray(outcome, dtype=float)
    return _multivariable(table, y, candidates, tuple(candidates), rows, [], "pre-specified, no selection")


def eliminate(
    variables: Mapping[str, pd.DataFrame], outcome: np.ndarray, stay_p: float | None
) -> dict[str, float]:
    """Eliminate variables (name to its terms) backward; return those removed with the p at which they went.

    At each step the variable of largest likelihood-ratio p goes, until all are below ``stay_p``. With
    ``stay_p`` None it is Akaike's criterion instead, as R's ``step(direction = "backward")``: the variable
    whose loss lowers it most goes, until none does. A category goes or stays with all its terms. Where
    the outcome is separated, ratios are of Firth's penalised likelihoods.
    """
    left = dict(variables)
    removed: dict[str, float] = {}
    while left:
        tests = _tests_of(left, outcome)
        gain = 2.0 * tests["df"] - tests["statistic"]
        worst = tests.loc[(tests["p"] if stay_p is not None else gain).idxmax()]
        stays = worst["p"] < stay_p if stay_p is not None else gain.max() <= 0.0
        if stays:
            return removed
        removed[str(worst["variable"])] = float(worst["p"])
        del left[str(worst["variable"])]
    return removed


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


def _multivariable(
    table: pd.DataFrame,
    y: np.ndarray,
    candidates: Mapping[str, Column],
    kept: tuple[str, ...],
    rows: Mapping[str, dict[str, Any]],
    odds: list[pd.DataFrame],
    note: str,
) -> ClinicalModel:
    terms = encode(table, [candidates[name] for name in kept])
    fit, linear, reason = fit_terms_or_firth(terms, y)
    if fit is None:
        return _no_model(reason, rows, odds)
    imputed = int(terms.isna().any(axis=1).sum())
    note += f"; {imputed} patients imputed" if imputed else ""
    note += f"; Firth: {fit.reason}" if isinstance(fit, FirthFit) else ""
    odds = [*odds, fit.odds_ratios().assign(analysis="multivariable", note=note)]
    return ClinicalModel(linear, reason, kept, _selection(rows), pd.concat(odds, ignore_index=True))


def _no_model(reason: str, rows: Mapping[str, dict[str, Any]], odds: list[pd.DataFrame]) -> ClinicalModel:
    inestimable = [name for name, row in rows.items() if row["step_removed"] == "not estimable"]
    if inestimable:
        reason += f" ({', '.join(inestimable)} not estimable)"
    table = pd.concat(odds, ignore_index=True) if odds else pd.DataFrame()
    return ClinicalModel(None, reason, (), _selection(rows), table)


def _selection(rows: Mapping[str, dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(list(rows.values()), columns=["column", "step_removed", "statistic"])


def _univariable_or_firth(
    terms: pd.DataFrame, y: np.ndarray, column: Column
) -> tuple[float | None, pd.DataFrame, str]:
    terms = terms[varying(terms)]
    try:
        if terms.empty or len(np.unique(y)) < 2:
            raise NotEstimable("it does not vary among the training patients")
        fit = fit_or_firth(terms, y)
        p = float(_tests_of({column.name: terms}, y)["p"].iloc[0])
    except NotEstimable as error:
        found = pd.DataFrame({"term": terms_of(column), "n": len(y), "events": int(y.sum())})
        return None, found, f"not estimable: {error}"
    return p, fit.odds_ratios(), f"Firth: {fit.reason}" if isinstance(fit, FirthFit) else ""


def _tests_of(variables: Mapping[str, pd.DataFrame], y: np.ndarray) -> pd.DataFrame:
    """Test each variable in the model of all: ``variable``, ``df``, ``statistic`` and ``p``."""
    terms = pd.concat(variables.values(), axis=1)
    members = {name: list(part.columns) for name, part in variables.items()}
    try:
        return likelihood_ratio_tests(terms, y, members)
    except Separated:
        rows = [(name, len(own), firth_ratio_statistic(terms, y, own)) for name, own in members.items()]
    tests = pd.DataFrame(rows, columns=["variable", "df", "statistic"])
    return tests.assign(p=stats.chi2.sf(tests["statistic"], tests["df"]))
