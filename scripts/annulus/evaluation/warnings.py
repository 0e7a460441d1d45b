"""What a reader must be told about a number, each as one plain sentence or nothing.

Every function guards against one known mistake and returns its sentence only where it applies. None of
them changes a number; callers print the sentence beside it and leave out what it says is left out.
"""

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from annulus.evaluation.smoothing import LEAST_FOR_LOESS
from annulus.evaluation.discrimination import Interval
from annulus.evaluation.sample_size import DevelopmentSize, ExpectedWidths
from annulus.evaluation.words import FOLLOWS_VOLUME

TRAINING = "train"

# Collins et al., Stat Med 2016;35:214-226: fewer leave calibration and discrimination uncertain.
EVENTS_TO_VALIDATE = 100

# Peduzzi et al., J Clin Epidemiol 1996;49:1373-1379.
EVENTS_PER_PARAMETER = 10.0

# pmvalsampsize's target for the 95 % interval of the C statistic.
WIDTH_OF_AUC = 0.1

# Our choice: a range of thresholds that covers this much was not chosen for a decision.
WIDEST_RANGE = 0.9

# Our choice: as many splits show how far one of them can be a lucky one.
SPLITS = 100


def few_events(cohort: str, events: int, non_events: int) -> str | None:
    """Fewer than 100 patients of the rarer outcome judge no model."""
    fewer = min(events, non_events)
    if fewer >= EVENTS_TO_VALIDATE:
        return None
    return (
        f"{cohort}: only {_patients(fewer)} of the rarer outcome; fewer than {EVENTS_TO_VALIDATE} leave "
        "performance and calibration uncertain (read the intervals, not the estimates)."
    )


def calibration_curve_left_out(cohort: str, events: int, non_events: int) -> str | None:
    """Under 50 patients of the rarer outcome, a smooth calibration curve is left out."""
    fewer = min(events, non_events)
    if fewer >= LEAST_FOR_LOESS:
        return None
    return (
        f"{cohort}: no smooth calibration curve, since only {_patients(fewer)} had the rarer outcome (fewer "
        f"than {LEAST_FOR_LOESS}); calibration-in-the-large and the slope are given instead."
    )


def one_outcome_only(cohort: str, events: int, non_events: int) -> str | None:
    """A cohort of one outcome has no AUC and no calibration."""
    if events and non_events:
        return None
    present = "events" if events else "patients without the event"
    return f"{cohort}: it has only {present}, so neither discrimination nor calibration can be judged."


def complete_separation(model: str, cohort: str, auc: float) -> str | None:
    """An AUC of 0 or 1 has a DeLong interval without width."""
    if auc not in (0.0, 1.0):
        return None
    return (
        f"{model}, {cohort}: an AUC of {auc:.0f} separates these patients completely; DeLong's interval "
        "would have no width, so another bound is given, and new patients will be separated less well."
    )


def thresholds_beyond_largest_risk(
    model: str, cohort: str, thresholds: np.ndarray, probability: np.ndarray
) -> str | None:
    """Above the largest predicted risk a model treats nobody, which its decision curve does not show."""
    largest = float(np.max(probability))
    beyond = np.asarray(thresholds)[np.asarray(thresholds) > largest]
    if not len(beyond):
        return None
    return (
        f"{model}, {cohort}: no predicted risk is above {largest:.2f}, so from a threshold of "
        f"{float(beyond.min()):.2f} the model treats nobody and its net benefit of 0 says nothing (grey)."
    )


def threshold_range_too_wide(decision: str, low: float, high: float) -> str | None:
    """Thresholds from about 0 to about 1 were not chosen for a decision (Capogrosso & Vickers 2019)."""
    if high - low < WIDEST_RANGE:
        return None
    return (
        f"Decision curve for {decision}: thresholds from {low:.2f} to {high:.2f} cover nearly every risk; "
        "give the range at which the decision could really go either way."
    )


def training_is_apparent(what: str, cohort: str) -> str | None:
    """A curve or number from the patients that a model was fitted on flatters it."""
    if cohort != TRAINING:
        return None
    return (
        f"{what}: apparent, from the patients that the model was fitted on; judge the model by "
        "the optimism-corrected numbers and by other cohorts."
    )


def no_held_out_cohort(cohorts: Collection[str]) -> str | None:
    """Calibration and decision curves of training patients alone say nothing of new ones."""
    if any(cohort != TRAINING for cohort in cohorts):
        return None
    return (
        "No cohort other than the training patients: of discrimination, calibration and net benefit in new "
        "patients only out-of-fold predictions tell, each by models that never saw the patient."
    )


def same_patients_chose_the_cut_off(cohort: str, chosen_on: str) -> str | None:
    """A cut-off chosen on the patients it is judged on looks better than it is (Leeflang et al. 2008)."""
    if cohort != chosen_on:
        return None
    return (
        f"{cohort}: the cut-off was chosen on these patients, so sensitivity, specificity, accuracy and "
        "predictive values are optimistic."
    )


def nested_models_in_training(first: str, second: str, cohort: str, tested: bool) -> str | None:
    """DeLong's test does not hold between nested models in their training data (Demler et al. 2012)."""
    if cohort != TRAINING:
        return None
    return (
        f"{first} against {second}: no DeLong test in the training patients, where models that share terms "
        f"break it; {'the likelihood-ratio test is given' if tested else 'compare them in other cohorts'}."
    )


def training_p_is_apparent(term: str, of_signature: bool, cross_fitted: bool) -> str | None:
    """A signature's p-value in the patients that chose its features is far too small.

    Cross-fitting mends most of it (Höfling & Tibshirani, Ann Appl Stat 2008;2:643-664).
    """
    if not of_signature:
        return None
    if cross_fitted:
        return (
            f"{term}: its p-value comes from cross-fitted scores of the patients that the signature was "
            "fitted on; on noise such p-values are below 0.05 more often than one time in twenty."
        )
    return (
        f"{term}: its p-value comes from the patients that the signature was fitted on, so it is apparent "
        "and too small; use the cross-fitted signature or a permutation test."
    )


def few_events_per_parameter(
    events: int, non_events: int, parameters: int, needed: DevelopmentSize | None = None
) -> str | None:
    """Too few patients for the number of candidate parameters, by Riley's criteria or ten events each."""
    patients, per_parameter = events + non_events, min(events, non_events) / parameters
    if needed is not None and patients < needed.patients:
        return (
            f"{patients} patients to develop a model of {parameters} candidate parameters "
            f"({per_parameter:.2g} of the rarer outcome per parameter), where Riley's criteria "
            f"ask for {needed.patients}; expect optimism and strong shrinkage."
        )
    if needed is not None or per_parameter >= EVENTS_PER_PARAMETER:
        return None
    return (
        f"{per_parameter:.2g} patients of the rarer outcome per candidate parameter ({parameters} of them); "
        f"fewer than {EVENTS_PER_PARAMETER:.0f} make estimates unstable."
    )


def imprecise_validation(cohort: str, widths: ExpectedWidths) -> str | None:
    """A cohort too small to place the AUC within 0.1."""
    if widths.auc <= WIDTH_OF_AUC:
        return None
    return (
        f"{cohort}: {widths.n} patients with {widths.events:g} events can be expected to give 95 % intervals "
        f"{widths.auc:.2f} wide for the AUC, {widths.calibration_slope:.2f} for the calibration slope and "
        f"{widths.observed_expected:.2f} for O:E; the cohort is too small for a precise answer."
    )


def nri_blocked(model: str, cohort: str, slope: Interval) -> str | None:
    """Net reclassification of a miscalibrated model rewards its miscalibration, and is not given."""
    if np.isnan(slope.lower) or np.isnan(slope.upper):
        return (
            f"{model}, {cohort}: no net reclassification, since its calibration slope could not be estimated."
        )
    if slope.lower <= 1.0 <= slope.upper:
        return None
    return (
        f"{model}, {cohort}: no net reclassification, since the model is miscalibrated (slope "
        f"{slope.estimate:.2f}, interval {slope.lower:.2f} to {slope.upper:.2f} without 1), which alone can "
        "make a useless marker seem to reclassify well."
    )


def nri_can_mislead(events: float, non_events: float) -> str | None:
    """A positive net reclassification proves nothing, even in new patients (Pepe et al. 2015)."""
    if events + non_events <= 0.0:
        return None
    return (
        f"Net reclassification is {events:+.3f} in events and {non_events:+.3f} in non-events: it can be "
        "positive for a useless marker even in new patients, so it is given without a p-value; judge the "
        "models by AUC, calibration and net benefit."
    )


def nri_has_many_categories(cut_offs: Sequence[float]) -> str | None:
    """With three or more risk categories, moves of different meaning count alike (Kerr et al. 2014)."""
    if len(cut_offs) < 2:
        return None
    return (
        f"Net reclassification over {len(cut_offs) + 1} risk categories counts every move alike, whatever it "
        "would change in care; use one cut-off, or net benefit."
    )


def hosmer_lemeshow_says_little(p: float) -> str | None:
    """The Hosmer-Lemeshow test neither proves calibration nor measures it (Van Calster et al. 2019)."""
    if np.isnan(p):
        return None
    shown = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    if p >= 0.05:
        return (
            f"Hosmer-Lemeshow {shown} does not show that the model is calibrated: the test has little "
            "power in small cohorts and depends on its groups; see the calibration curve and slope."
        )
    return (
        f"Hosmer-Lemeshow {shown} does not say how or how far the model is miscalibrated; see "
        "the calibration curve, slope and intercept."
    )


def subgroups_were_examined(subgroups: int, factors: int) -> str | None:
    """Among many subgroups one will stand out by chance."""
    if subgroups < 2:
        return None
    return (
        f"{subgroups} subgroups of {factors} {'factor' if factors == 1 else 'factors'} were examined: "
        "compare them by the interaction p-values only, of which one in twenty is below 0.05 by chance."
    )


def undeclared_comparisons(tested: Iterable[str], declared: Collection[str]) -> str | None:
    """A comparison that was not declared in advance is exploratory, and outside Holm's adjustment."""
    extra = [name for name in tested if name not in declared]
    if not extra:
        return None
    return f"Not declared in advance, so exploratory and without an adjusted p-value: {', '.join(extra)}."


def signature_follows_volume(model: str, spearman: float) -> str | None:
    """A signature that ranks patients by volume says little beyond it (Welch et al. 2019)."""
    if not abs(spearman) >= FOLLOWS_VOLUME:
        return None
    return (
        f"{model}: Spearman's correlation with the volume is {spearman:.2f}, so it mostly ranks patients "
        "by volume; compare it with the volume-only model."
    )


def single_split(repeats: int) -> str | None:
    """One split can be a lucky one."""
    if repeats >= SPLITS:
        return None
    return (
        f"The tables rest on one split of the patients; {repeats} random splits of the training patients "
        f"stand beside it, where {SPLITS} would show how much depends on it."
    )


def harmonised_by_own_patients(transductive: bool) -> str | None:
    """Harmonising a new centre by its own patients uses them before they are predicted."""
    if not transductive:
        return None
    return (
        "Features of centres that training did not have are harmonised by their own patients (without their "
        "outcomes): a patient's prediction there depends on who else was sent, and a single patient has none."
    )


def _patients(count: int) -> str:
    return f"{count} patient" if count == 1 else f"{count} patients"
