"""Log-odds of probabilities; a module of its own because many jobs need nothing else of models."""

import numpy as np

# Probabilities of 0 and 1 have no log-odds; this is the least step away that double precision tells from 1.
CERTAIN = float(np.finfo(float).eps)


def logit(probability: np.ndarray) -> np.ndarray:
    """Log-odds, with probabilities of exactly 0 or 1 moved inwards by the same least step."""
    p = np.clip(probability, CERTAIN, 1.0 - CERTAIN)
    odds: np.ndarray = np.log(p) - np.log1p(-p)
    return odds
