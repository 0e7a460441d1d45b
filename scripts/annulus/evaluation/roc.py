"""Points of the ROC curve; a module of its own because few jobs need what it imports."""

import numpy as np
import pandas as pd
from sklearn.metrics import roc_curve


def roc_points(outcome: np.ndarray, score: np.ndarray) -> pd.DataFrame:
    """Points of the ROC curve, with the threshold at or above which a patient is positive."""
    false_positive_rate, sensitivity, thresholds = roc_curve(outcome, score, drop_intermediate=False)
    return pd.DataFrame(
        {
            "threshold": np.where(np.isinf(thresholds), np.nan, thresholds),
            "false_positive_rate": false_positive_rate,
            "sensitivity": sensitivity,
        }
    )
