"""How far signatures follow the lesion's size.

Welch et al., Radiother Oncol 2019;130:2-9: a signature may be the tumour's volume in disguise.
"""

import numpy as np
import pandas as pd
from scipy import stats

from annulus.modelling.likelihood import likelihood_ratio_tests
from annulus.modelling.logistic import NotEstimable
from annulus.modelling.plan import LESION_SIZE, rad_score
from annulus.tables import joined

VOLUME_COLUMNS = ["model", "column", "spearman", "p", "n", "p_given_size"]


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
    parts = [pd.DataFrame(columns=VOLUME_COLUMNS)]
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
    return joined(parts)[VOLUME_COLUMNS]


def _p_given_size(score: pd.Series, size: pd.Series, outcome: pd.Series) -> float:
    terms = pd.DataFrame({"score": score, LESION_SIZE: size}).dropna()
    try:
        tests = likelihood_ratio_tests(terms, outcome.loc[terms.index].to_numpy(), {"score": ["score"]})
    except NotEstimable:
        return float("nan")
    return float(tests["p"].iloc[0])
