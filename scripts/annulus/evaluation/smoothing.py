"""When a flexible calibration curve can be drawn, apart from how it is fitted."""

import numpy as np

# Our choice: a flexible curve through fewer patients of either outcome shows noise.
LEAST_FOR_LOESS = 50


def why_no_loess(outcome: np.ndarray, probability: np.ndarray) -> str:
    """Say why these patients get no flexible calibration curve; empty where they do."""
    y = np.asarray(outcome, dtype=bool)
    fewer = int(min(y.sum(), (~y).sum()))
    if fewer < LEAST_FOR_LOESS:
        return f"no smooth curve: {fewer} patients of the rarer outcome where {LEAST_FOR_LOESS} are needed"
    values = len(np.unique(probability))
    if values <= 10:
        return f"no smooth curve: the model gives only {values} different probabilities"
    return ""
