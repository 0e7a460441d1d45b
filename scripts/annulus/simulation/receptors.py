"""SYNTHETIC receptor results of a tumour, as pathology reports them."""

import numpy as np

# Share of tumours that immunohistochemistry finds equivocal.
EQUIVOCAL = {True: 0.25, False: 0.22}


def her2_results(rng: np.random.Generator, positive: bool) -> dict[str, str]:
    """Return ``her2_ihc`` and ``her2_ish``, which is done where immunohistochemistry is equivocal."""
    if rng.uniform() < EQUIVOCAL[positive]:
        return {"her2_ihc": "2+", "her2_ish": "positive" if positive else "negative"}
    negative = str(rng.choice(["0", "1+"], p=[0.45, 0.55]))
    return {"her2_ihc": "3+" if positive else negative, "her2_ish": "not_done"}


def hormone_receptors(rng: np.random.Generator, positive: bool) -> dict[str, float]:
    """Return ``er_pct`` and ``pr_pct``; a positive tumour has the first, and mostly both."""
    if not positive:
        return {"er_pct": 0.0, "pr_pct": 0.0}
    progesterone = float(np.round(rng.uniform(5, 95))) if rng.uniform() < 0.85 else 0.0
    return {"er_pct": float(np.round(rng.uniform(10, 100))), "pr_pct": progesterone}
