"""Where patients come from: outcomes and models by centre (or scanner), and centres told from features.

An outcome whose share differs between centres, and features that tell the centre, together let a model
learn the centre in place of the disease.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline

from annulus.evaluation.discrimination import auc_interval
from annulus.evaluation.predictions import known

CENTRE_COLUMNS = [
    "cohort", "centre", "n", "events", "prevalence", "p_prevalence", "model", "auc", "lower", "upper",
    "note", "synthetic",
]  # fmt: skip
CENTRE_PREDICTION_COLUMNS = [
    "roi", "centre", "n", "features", "auc", "lower", "upper", "note", "synthetic",
]  # fmt: skip

TREES, LEAST_LEAF = 300, 3


def centre_table(predictions: pd.DataFrame, centre: pd.Series, synthetic: bool) -> pd.DataFrame:
    """Patients, events and every model's AUC by cohort and centre (``centre`` is by patient).

    ``p_prevalence`` tests in each cohort whether the share of events differs between its centres (Fisher's
    exact test for two centres, Pearson's chi-squared for more). Training AUCs are out of fold; where
    whole centres were held out, of models that never saw the centre.
    """
    table = known(predictions)
    table["centre"] = table["patient_id"].map(centre.astype("string")).fillna("not known")
    rows: list[dict[str, object]] = []
    for cohort, group in table.groupby("cohort", sort=False):
        p = _prevalence_p(group.drop_duplicates("patient_id"))
        for (name, model), part in group.groupby(["centre", "model"], sort=False):
            y = part["y"].to_numpy(dtype=float)
            row = {"cohort": cohort, "centre": name, "model": model, "p_prevalence": p}
            facts = {"n": len(y), "events": int(y.sum()), "prevalence": float(y.mean())}
            rows.append(row | facts | _auc(y, part["evaluated"].to_numpy()))
    found = pd.DataFrame(rows).reindex(columns=CENTRE_COLUMNS)
    order = {name: i for i, name in enumerate(dict.fromkeys(table["cohort"]))}
    found = found.sort_values(
        ["cohort", "centre"], kind="stable", key=lambda c: c.map(order) if c.name == "cohort" else c
    )
    return found.assign(synthetic=int(synthetic)).reset_index(drop=True)


def _prevalence_p(patients: pd.DataFrame) -> float:
    counts = pd.crosstab(patients["centre"], patients["y"])
    if min(counts.shape) < 2:
        return float("nan")
    if counts.shape == (2, 2):
        return float(stats.fisher_exact(counts).pvalue)
    return float(stats.chi2_contingency(counts, correction=False).pvalue)


def _auc(y: np.ndarray, score: np.ndarray) -> dict[str, object]:
    if y.min() == y.max():
        return {"note": "only one outcome"}
    found = auc_interval(y, score)
    return {"auc": found.estimate, "lower": found.lower, "upper": found.upper, "note": found.note}


def predict_centres(
    features: Mapping[str, pd.DataFrame], centre: pd.Series, folds: int, seed: int, synthetic: bool
) -> pd.DataFrame:
    """Predict each patient's centre from the features of every region, out of fold.

    ``features`` are tables by region, patients in the order of ``centre``. A random forest, with median
    imputation, in ``folds`` folds; one row per region and centre with the AUC of that centre against the
    others (DeLong). An AUC near 0.5 means that features carry nothing of the centre; near 1, that
    a model could learn the centre in place of the disease wherever outcomes differ between centres.
    """
    known = centre.notna().to_numpy()
    names = centre[known].astype(str).to_numpy()
    counts = pd.Series(names).value_counts().sort_index()
    usable = counts[counts >= folds].index
    rows: list[dict[str, object]] = []
    for roi, table in features.items():
        kept = np.isin(names, usable)
        own = table[known][kept].to_numpy(dtype=float)
        risks = _out_of_fold(own, names[kept], folds, seed) if len(usable) > 1 else None
        for name, n in counts.items():
            row = {"roi": roi, "centre": name, "n": int(n), "features": table.shape[1]}
            rows.append(row | _judged(str(name), names[kept], risks, usable, folds))
    return pd.DataFrame(rows, columns=CENTRE_PREDICTION_COLUMNS).assign(synthetic=int(synthetic))


def _judged(
    name: str, names: np.ndarray, risks: pd.DataFrame | None, usable: Sequence[str], folds: int
) -> dict[str, object]:
    if name not in usable:
        return {"note": f"fewer than {folds} training patients: not predicted"}
    if risks is None:
        return {"note": "the only centre of its size: nothing to tell apart"}
    found = auc_interval(names == name, risks[name].to_numpy())
    return {"auc": found.estimate, "lower": found.lower, "upper": found.upper, "note": found.note}


def _out_of_fold(values: np.ndarray, names: np.ndarray, folds: int, seed: int) -> pd.DataFrame:
    risks = pd.DataFrame(0.0, index=range(len(names)), columns=np.unique(names))
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=seed).split(values, names):
        forest = make_pipeline(
            SimpleImputer(strategy="median", keep_empty_features=True),
            RandomForestClassifier(TREES, min_samples_leaf=LEAST_LEAF, random_state=seed, n_jobs=1),
        )
        forest.fit(values[train], names[train])
        risks.loc[test, forest.classes_] = forest.predict_proba(values[test])
    return risks
