"""SYNTHETIC findings on MRI and ultrasound of women with and without axillary metastasis; a table alone.

The four findings of the published model are drawn independently, and the outcome from them by the published
odds ratios. Their prevalences fit the published standard errors, as 15 mirror images of them would. What they
were read from comes afterwards: the diameter, the five descriptors of the Kaiser tree, and grades
of flow that depend on the findings and so add nothing to them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from annulus.simulation.drawing import stream

# The outcome follows from the findings, so there are no classes to deal.
SHARES: Mapping[str, float] = {}

# Diameter above 20 mm, microcalcification, convergence sign, Kaiser score of 6 or more.
PREVALENCE = np.array([0.74, 0.23, 0.28, 0.53])
INTERCEPT = -4.249
# Natural logarithms of the published odds ratios 6.084, 3.618, 3.347 and 8.562.
COEFFICIENTS = np.array([1.8057, 1.2859, 1.2081, 2.1473])

LIMIT_MM = 20.0
DIAMETER_SIGMA = 0.40

# Scores 6 to 11 with and without metastasis, and 1 to 5 whatever the outcome.
HIGH_SCORES = {0: (0.08, 0.22, 0.26, 0.28, 0.08, 0.08), 1: (0.04, 0.14, 0.22, 0.28, 0.12, 0.20)}
LOW_SCORES = (0.08, 0.10, 0.20, 0.17, 0.45)

# Marked flow by size and Kaiser score alone gives 70 % of grades II-III with metastasis and 47 % without.
FLOW_SHARE = 0.055
FLOW_BY_SIZE = 0.41
FLOW_BY_KAISER = 0.35

# Descriptors that lead to each score, in the order root sign, curve, and whichever is asked third
# (Dietzel & Baltzer, Insights Imaging 2018;9:325-335).
LEAVES: Mapping[int, Mapping[str, Any]] = {
    1: {"mri_root_sign": 0, "mri_curve": "persistent", "mri_margin": "circumscribed"},
    2: {"mri_root_sign": 0, "mri_curve": "plateau", "mri_margin": "circumscribed"},
    3: {"mri_root_sign": 0, "mri_curve": "persistent", "mri_margin": "not_circumscribed"},
    4: {"mri_root_sign": 0, "mri_curve": "washout", "mri_internal_enh": "homogeneous"},
    5: {"mri_root_sign": 0, "mri_curve": "plateau", "mri_margin": "not_circumscribed"},
    6: {"mri_root_sign": 1, "mri_curve": "persistent"},
    7: {"mri_root_sign": 1, "mri_curve": "plateau", "mri_oedema": 0},
    8: {"mri_root_sign": 0, "mri_curve": "washout", "mri_internal_enh": "heterogeneous"},
    9: {"mri_root_sign": 1, "mri_curve": "washout", "mri_oedema": 0},
    10: {"mri_root_sign": 1, "mri_curve": "plateau", "mri_oedema": 1},
    11: {"mri_root_sign": 1, "mri_curve": "washout", "mri_oedema": 1},
}


def simulate_patients(
    patients: Mapping[str, str], shares: Mapping[str, float], null: bool, seed: int
) -> pd.DataFrame:
    """Draw SYNTHETIC participants (id: cohort); ``shares`` is empty, as the outcome follows from findings.

    Columns are those of the data dictionary, and the truth, which no rule of the analysis may read:
    ``latent_risk`` (the log-odds of the published model), ``outcome_alnm`` and ``bayes_alnm``, the
    log-odds of an observer who knows the Kaiser score itself besides. The score within 6 to 11
    depends on the outcome. With ``null`` the outcome is drawn with its average risk from nothing.
    """
    return pd.DataFrame([_draw_patient(patient, cohort, null, seed) for patient, cohort in patients.items()])


def mean_risk() -> float:
    """Return the share of patients with metastasis in the population that is drawn from."""
    findings = (np.arange(16)[:, None] >> np.arange(3, -1, -1)) & 1
    weights = np.prod(np.where(findings, PREVALENCE, 1 - PREVALENCE), axis=1)
    return float(weights @ (1.0 / (1.0 + np.exp(-(INTERCEPT + findings @ COEFFICIENTS)))))


def _draw_patient(patient: str, cohort: str, null: bool, seed: int) -> dict[str, Any]:
    rng = stream(seed, patient, "patient")
    findings = (rng.uniform(size=4) < PREVALENCE).astype(int)
    large, calcified, convergent, high = (int(finding) for finding in findings)
    risk = float(INTERCEPT + COEFFICIENTS @ findings)
    outcome = int(rng.uniform() < (mean_risk() if null else 1.0 / (1.0 + np.exp(-risk))))
    score = _kaiser_score(rng, high, 0 if null else outcome)
    evidence = float(np.log(HIGH_SCORES[1][score - 6] / HIGH_SCORES[0][score - 6])) if high else 0.0
    positive = outcome * min(int(rng.geometric(0.4)), 20)
    age = int(np.clip(round(rng.normal(53.0, 10.0)), 26, 85))
    flow = rng.uniform() < FLOW_SHARE + FLOW_BY_SIZE * large + FLOW_BY_KAISER * high
    oestrogen = rng.uniform() < 0.75
    receptors = [oestrogen, rng.uniform() < (0.85 if oestrogen else 0.05)]
    percent = np.where(receptors, 1 + 99 * rng.beta(4.0, 1.3, size=2), 0.0)
    return {
        "patient_id": patient,
        "center": "center_1",
        "cohort": cohort,
        "exam_date": str((pd.Timestamp("2022-01-01") + pd.Timedelta(days=int(rng.integers(1270)))).date()),
        "sex": "F",
        "age_years": age,
        "menopausal_status": "post" if age > 51 else ("peri" if age > 46 else "pre"),
        "bmi": round(float(np.clip(rng.normal(24.2, 3.2), 16.0, 42.0)), 1),
        "laterality": str(rng.choice(["L", "R"])),
        "tumor_location": str(
            rng.choice(["UOQ", "UIQ", "LOQ", "LIQ", "central"], p=[0.48, 0.19, 0.14, 0.11, 0.08])
        ),
        "tumor_diameter_mm": _diameter_mm(rng, large),
        "histology": str(rng.choice(["IDC", "ILC", "DCIS", "other"], p=[0.82, 0.08, 0.05, 0.05])),
        "er_pct": round(float(percent[0])),
        "pr_pct": round(float(percent[1])),
        "n_nodes_positive": positive,
        "n_nodes_examined": positive + int(rng.integers(1, 12)),
        "us_microcalcification": calcified,
        "us_convergence_sign": convergent,
        "us_adler_grade": int(rng.choice([2, 3], p=[0.6, 0.4]) if flow else rng.choice([0, 1], p=[0.3, 0.7])),
        "mri_lesion_type": str(rng.choice(["mass", "nme"], p=[0.85, 0.15])),
        **_descriptors(rng, score),
        "latent_risk": risk,
        "outcome_alnm": outcome,
        "bayes_alnm": 0.0 if null else risk + evidence,
    }


def _kaiser_score(rng: np.random.Generator, high: int, outcome: int) -> int:
    shares = HIGH_SCORES[outcome] if high else LOW_SCORES
    return int(rng.choice(len(shares), p=shares)) + (6 if high else 1)


def _descriptors(rng: np.random.Generator, score: int) -> dict[str, Any]:
    """Draw what the tree does not ask on its way to the score, and fix what it does."""
    drawn = {
        "mri_root_sign": 0,
        "mri_curve": "",
        "mri_margin": str(rng.choice(["circumscribed", "not_circumscribed"], p=[0.2, 0.8])),
        "mri_internal_enh": str(rng.choice(["homogeneous", "heterogeneous"], p=[0.3, 0.7])),
        "mri_oedema": int(rng.uniform() < 0.25),
    }
    return {**drawn, **LEAVES[score]}


def _diameter_mm(rng: np.random.Generator, large: int) -> float:
    """Draw from a lognormal distribution that is cut at 20 mm, to a tenth of a millimetre on its side."""
    below = 1.0 - float(PREVALENCE[0])
    share = rng.uniform(below, 1.0) if large else rng.uniform(0.0, below)
    diameter = LIMIT_MM * np.exp(DIAMETER_SIGMA * (norm.ppf(share) - norm.ppf(below)))
    tenths = 10.0 * float(np.clip(diameter, 5.0, 90.0))
    return float(max(np.ceil(tenths), 10 * LIMIT_MM + 1) if large else np.floor(tenths)) / 10.0
