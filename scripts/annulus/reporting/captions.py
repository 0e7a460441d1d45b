"""What stands below every figure of a report."""

from annulus.evaluation.smoothing import LEAST_FOR_LOESS
from annulus.figures.style import cohort_title

CAPTIONS = {
    "flowchart": "Flow of patients through the study.",
    "roi_overlay": (
        "Regions of interest over the images of the first three training patients (by id) whose "
        "regions could all be built."
    ),
    "lasso_path": (
        "Coefficients of each signature along the LASSO path; the dashed line is the penalty that was "
        "chosen, numbers along the top count selected features."
    ),
    "lasso_cv": (
        "Cross-validated deviance of each signature with one standard error. Dashed: its minimum; "
        "dotted: the largest penalty within one standard error."
    ),
    "coefficients": (
        "Non-zero coefficients of each frozen signature, per standard deviation of the feature; orange "
        "raises the risk, blue lowers it."
    ),
    "correlation_heatmap": (
        "Spearman correlation, in training patients, of the features that the signatures kept; similar "
        "features stand side by side."
    ),
    "signature_waterfall": (
        "Training patients by rising out-of-fold score of the main model that was fitted; bars that point up "
        "from the frozen cut-off are called positive."
    ),
    "forest_odds_ratios": (
        "Multivariable odds ratios in training patients with 95 % profile-likelihood intervals (Firth's "
        "where the outcome is separated), per unit of each term; an arrow goes on beyond the axis."
    ),
    "habitat_fractions": (
        "Share of each lesion that every habitat takes, by cohort and, in training alone, by outcome; boxes "
        "hold the middle half of the patients."
    ),
    "habitat_map": (
        "Habitats of the first training patients (by id) whose lesion was divided, in the slice with most of "
        "the lesion."
    ),
    "cluster_validity": (
        "Fit of each number of habitats to the voxels of training patients; the number of highest "
        "Calinski-Harabasz index was chosen (orange)."
    ),
    "feature_stability": (
        "Intraclass correlations by class of feature (boxes) and their lower 95 % bounds (dots), in training "
        "patients; dashed: the smallest lower bound of a stable feature."
    ),
    "roc": "ROC curves with AUC and 95 % interval; dots mark the frozen training cut-off.",
    "calibration": (
        "Calibration of frozen probabilities. Dashed: logistic recalibration; solid: loess, drawn "
        f"with at least {LEAST_FOR_LOESS} patients of either outcome. Bands are 95 % intervals."
    ),
    "decision_curve": (
        "Net benefit over the study's stated thresholds, with 95 % bootstrap bands. Grey: thresholds above "
        "every predicted risk, where the model treats nobody and a net benefit of 0 says nothing of it."
    ),
    "forest_subgroups": (
        "AUC with its 95 % interval in subgroups, out of fold in training. Squares grow with the number of "
        "patients; dashed: the whole cohort. One p-value for interaction per variable; none per subgroup."
    ),
    "nomogram": (
        "Nomogram. Add the points of every ruler and read the risk below the total. Rulers are rounded "
        "outwards from the training patients' range; nothing beyond that range is known."
    ),
    "confusion": "Patients by observed and predicted class; shares are of the observed class.",
}


def caption_of(name: str) -> str:
    for figure, caption in CAPTIONS.items():
        if name == figure:
            return caption
        if name.startswith(f"{figure}_"):
            return f"{cohort_title(name.removeprefix(f'{figure}_'))}. {caption}"
    raise AssertionError(f"the figure {name} has no caption")
