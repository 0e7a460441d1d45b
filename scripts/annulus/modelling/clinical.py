"""Logistic models of clinical variables: selected by backward elimination, or pre-specified."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from annulus.clinical.encoding import encode, typical
from annulus.cohort.dictionary import Column
from annulus.modelling.firth import FirthFit, firth_ratio_statistic, fit_or_firth
from annulus.modelling.frozen import Linear
from annulus.modelling.likelihood import likelihood_ratio_tests
from annulus.modelling.logistic import LogisticFit, NotEstimable, Separated

# A range this small is rounding, not variation.
ROUNDING = 1e-12

# What became of a variable.
NOT_ESTIMABLE, UNIVARIABLE, BACKWARD = "not estimable", "univariable", "backward"

Fit = LogisticFit | FirthFit


@dataclass(frozen=True)
class ClinicalModel:
    """A clinical model, or the ``reason`` why there is none; ``kept`` are its variables.

    ``selection`` has one row per candidate: ``column``, ``step_removed`` (empty when kept) and
    ``statistic``, the p-value at which it went, or of univariable analysis.
    """

    fit: Fit | None
    linear: Linear | None
    reason: str
    kept: tuple[str, ...]
    selection: pd.DataFrame


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
    rows: dict[str, dict[str, object]] = {}
    entered = {}
    for name, column in candidates.items():
        terms = encode(table, [column])
        p = _univariable_p(terms, y)
        rows[name] = {"column": name, "step_removed": "", "statistic": p}
        if p is None:
            rows[name]["step_removed"] = NOT_ESTIMABLE
        elif p >= entry_p:
            rows[name]["step_removed"] = UNIVARIABLE
        else:
            filled = terms.fillna(typical(terms))
            entered[name] = filled[varying(filled)]
    try:
        removed = eliminate(entered, y, stay_p)
    except NotEstimable as error:
        return _no_model(f"not estimable: {error}", rows)
    for name, statistic in removed.items():
        rows[name] |= {"step_removed": BACKWARD, "statistic": statistic}
    kept = tuple(name for name in entered if name not in removed)
    if not kept:
        stage = "backward elimination" if entered else "univariable analysis"
        return _no_model(f"no clinical variable survived {stage}", rows)
    return _fit_kept(table, y, candidates, kept, rows)


def fit_prespecified(
    table: pd.DataFrame, outcome: np.ndarray, candidates: Mapping[str, Column]
) -> ClinicalModel:
    """Fit the model of all candidates, none selected; Firth's where the outcome is separated."""
    rows = {name: {"column": name, "step_removed": "", "statistic": np.nan} for name in candidates}
    return _fit_kept(table, np.asarray(outcome, dtype=float), candidates, tuple(candidates), rows)


def fit_terms(terms: pd.DataFrame, outcome: np.ndarray) -> tuple[Fit | None, Linear | None, str]:
    """Fit a logistic regression on terms that may be missing, filled by what is typical of training.

    A term that does not vary (a level that no training patient has) is left out: it says nothing here.
    Firth's regression where the terms separate the outcome. Returns the fit, what scoring needs of it,
    and, where neither can be had, the reason.
    """
    used = terms[varying(terms)]
    try:
        if used.empty:
            raise NotEstimable("none of its terms varies")
        fit = fit_or_firth(used.fillna(typical(used)), outcome)
    except NotEstimable as error:
        return None, None, f"not estimable: {error}"
    return fit, linear_of(fit, terms), ""


def firth_remark(fit: Fit | None) -> str:
    """Say that a fit is Firth's, and why; empty for others."""
    return f"Firth's regression: {fit.reason}" if isinstance(fit, FirthFit) else ""


def linear_of(fit: Fit, terms: pd.DataFrame) -> Linear:
    """Keep of a fit what scoring needs; missing ``terms`` take what is typical of these patients.

    A level that stands in for its category's reference is kept with a coefficient of 0, so that patients
    who have it are not taken for patients of a level that training did not have.
    """
    names = (*fit.terms, *stand_ins(terms))
    fill = typical(terms[list(names)])
    return Linear(
        intercept=fit.intercept,
        terms=names,
        coefficients=(*map(float, fit.coefficients), *[0.0] * (len(names) - len(fit.terms))),
        fill=tuple(map(float, fill)),
        mean=(0.0,) * len(names),
        sd=(1.0,) * len(names),
    )


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
        tests = variable_tests(left, outcome)
        gain = 2.0 * tests["df"] - tests["statistic"]
        worst = tests.loc[(tests["p"] if stay_p is not None else gain).idxmax()]
        stays = worst["p"] < stay_p if stay_p is not None else gain.max() <= 0.0
        if stays:
            return removed
        removed[str(worst["variable"])] = float(worst["p"])
        del left[str(worst["variable"])]
    return removed


def variable_tests(variables: Mapping[str, pd.DataFrame], outcome: np.ndarray) -> pd.DataFrame:
    """Test each variable in the model of all by likelihood ratio, Firth's where separated.

    ``variable``, ``df``, ``statistic`` and ``p``.
    """
    terms = pd.concat(variables.values(), axis=1)
    members = {name: list(part.columns) for name, part in variables.items()}
    try:
        return likelihood_ratio_tests(terms, outcome, members)
    except Separated:
        rows = [(name, len(own), firth_ratio_statistic(terms, outcome, own)) for name, own in members.items()]
    tests = pd.DataFrame(rows, columns=["variable", "df", "statistic"])
    return tests.assign(p=stats.chi2.sf(tests["statistic"], tests["df"]))


def varying(terms: pd.DataFrame) -> list[str]:
    """Return the terms that differ between patients by more than rounding, but for :func:`stand_ins`."""
    left_out = stand_ins(terms)
    return [name for name in _differing(terms) if name not in left_out]


def stand_ins(terms: pd.DataFrame) -> list[str]:
    """Return the first level present of each category whose reference level no patient has.

    Its terms add up to 1 in everybody, so one of them takes the place of the reference.
    """
    levels: dict[str, list[str]] = {}
    for name in _differing(terms):
        if "[" in name:
            levels.setdefault(name.partition("[")[0], []).append(name)
    return [own[0] for own in levels.values() if (terms[own].dropna().sum(axis=1) == 1.0).all()]


def _differing(terms: pd.DataFrame) -> list[str]:
    spread = terms.max() - terms.min()
    return [str(name) for name in terms if spread[name] > ROUNDING]


def known_rows(terms: pd.DataFrame, outcome: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    """Return terms and outcome of the patients who have the value, with the terms that vary among them."""
    known = terms.notna().all(axis=1).to_numpy()
    terms = terms.loc[known]
    return terms[varying(terms)], outcome[known]


def _univariable_p(terms: pd.DataFrame, outcome: np.ndarray) -> float | None:
    terms, y = known_rows(terms, outcome)
    if terms.empty or len(np.unique(y)) < 2:
        return None
    try:
        return float(variable_tests({"all": terms}, y)["p"].iloc[0])
    except NotEstimable:
        return None


def _fit_kept(
    table: pd.DataFrame,
    y: np.ndarray,
    candidates: Mapping[str, Column],
    kept: tuple[str, ...],
    rows: Mapping[str, dict[str, object]],
) -> ClinicalModel:
    fit, linear, reason = fit_terms(encode(table, [candidates[name] for name in kept]), y)
    if fit is None:
        return _no_model(reason, rows)
    return ClinicalModel(fit, linear, reason, kept, _selection(rows))


def _no_model(reason: str, rows: Mapping[str, dict[str, object]]) -> ClinicalModel:
    inestimable = [name for name, row in rows.items() if row["step_removed"] == NOT_ESTIMABLE]
    if inestimable:
        reason += f" ({', '.join(inestimable)} not estimable)"
    return ClinicalModel(None, None, reason, (), _selection(rows))


def _selection(rows: Mapping[str, dict[str, object]]) -> pd.DataFrame:
    return pd.DataFrame(list(rows.values()), columns=["column", "step_removed", "statistic"])
