"""The cut-off, chosen once on training patients and frozen."""

import numpy as np

YOUDEN = "Youden index on out-of-fold training probabilities"


def youden(outcome: np.ndarray, probability: np.ndarray) -> float:
    """Return the observed probability whose cut (at or above) has the largest sensitivity + specificity.

    Of several, the largest; Youden, Cancer 1950;3:32-35. Raises ValueError unless both outcomes are present
    and every patient has a probability.
    """
    y = np.asarray(outcome, dtype=bool)
    if y.all() or not y.any() or np.isnan(np.append(probability, outcome).astype(float)).any():
        raise ValueError("a cut-off needs patients with and without the event, and a probability of each")
    candidates = np.unique(probability)[::-1]
    sensitivity = np.array([(probability[y] >= t).mean() for t in candidates])
    specificity = np.array([(probability[~y] < t).mean() for t in candidates])
    return float(candidates[np.argmax(np.round(sensitivity + specificity, 12))])
