"""Baselines that every signature stands beside: volume alone, and size with clinical variables.

Welch et al., Radiother Oncol 2019;130:2-9: a signature may be the tumour's volume in disguise.
"""

import numpy as np
import pandas as pd
from scipy import stats

from annulus.cohort.dictionary import Column
from annulus.modelling.frozen import rad_score
from annulus.modelling.likelihood import likelihood_ratio_tests
from annulus.modelling.logistic import NotEstimable

VOLUME_COLUMNS = ["model", "column", "spearman", "p", "n", "p_given_size"]

# The lesion's size as predictors have it; its odds ratio is per doubling of the volume.
LESION_SIZE = "log2_lesion_volume"

SIZE = Column(
    LESION_SIZE,
    "number",
    "Binary logarithm of the lesion's volume (area in a single-slice image), of its mask",
)


def lesion_size(rois: pd.DataFrame, measure: str) -> pd.Series:
    """Return the size of each patient's lesion, by patient, from ``rois/rois.csv``.

    Of the lesion's own region (tumour, or node where the patient has no tumour outlined), the ``measure`` (a
    column: ``volume_mm3``, or ``voxels`` where pixel sizes are not known), averaged over images before any
    therapy, where there are any. No patient's size depends on others.
    """
    lesions = rois[rois["kind"].isin(["tumour", "node"]) & (rois["voxels"] > 0)]
    for column, preferred in (("kind", "tumour"), ("timepoint", "baseline")):
        wanted = lesions[column] == preferred
        has_some = wanted.groupby(lesions["patient_id"]).transform("any").astype(bool)
        lesions = lesions[wanted | ~has_some]
    sizes: pd.Series = np.log2(lesions.groupby("patient_id")[measure].mean()).rename(LESION_SIZE)
    return sizes


def volume_correlations(features: pd.DataFrame, size: pd.Series) -> pd.DataFrame:
    """Spearman correlation of every column of ``features`` (or of a Rad-score) with the lesion's size.

    ``column``, ``spearman``, ``p`` (t approximation) and ``n``, the patients who have both; NaN where
    either does not vary.
    """
    rows = []
    sizes = size.loc[features.index].to_numpy(dtype=float)
    for name, values in features.items():
        x = values.to_numpy(dtype=float)
        both = np.isfinite(x) & np.isfinite(sizes)
        rho, p = np.nan, np.nan
        if both.sum() > 2 and np.ptp(x[both]) > 0 and np.ptp(sizes[both]) > 0:
            rho, p = stats.spearmanr(x[both], sizes[both])
        rows.append((name, float(rho), float(p), int(both.sum())))
    return pd.DataFrame(rows, columns=["column", "spearman", "p", "n"])


def volume_table(
    selection: pd.DataFrame,
    predictors: pd.DataFrame,
    outcome: pd.Series,
    scores: dict[str, pd.Series],
) -> pd.DataFrame:
    """How far signatures and their features follow the lesion's size, in training patients.

    ``selection`` is ``tasks/<task>/selection.csv``; ``scores`` are cross-fitted Rad-scores by region (by
    patient, as ``predictors`` and ``outcome``). One row per Rad-score and selected feature: ``model,
    column, spearman, p, n, p_given_size``; the last is a Rad-score's likelihood-ratio p beside the size.
    """
    parts = []
    for roi, score in scores.items():
        name = f"signature_{roi}"
        kept = selection[(selection["model"] == name) & selection["step_removed"].isna()]["column"]
        columns = [column for column in kept if column in predictors]
        own = pd.concat([score.rename(rad_score(roi)), predictors[columns]], axis=1)
        table = volume_correlations(own, predictors[LESION_SIZE])
        table["p_given_size"] = [
            _p_given_size(score, predictors[LESION_SIZE], outcome),
            *[np.nan] * len(columns),
        ]
        parts.append(table.assign(model=name))
    return pd.concat(parts, ignore_index=True)[VOLUME_COLUMNS]


def _p_given_size(score: pd.Series, size: pd.Series, outcome: pd.Series) -> float:
    terms = pd.DataFrame({"score": score, LESION_SIZE: size}).dropna()
    try:
        tests = likelihood_ratio_tests(terms, outcome.loc[terms.index].to_numpy(), {"score": ["score"]})
    except NotEstimable:
        return float("nan")
    return float(tests["p"].iloc[0])
