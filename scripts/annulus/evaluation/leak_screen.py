"""Leak screen: what the mask's outline alone, and the image's frame alone, know of the endpoint.

Were the outlines drawn by readers who knew the diagnosis, or did one scanner see the sicker patients, a
model can be good without having learnt anything about tissue. A random forest, which needs no straight
line, is given either kind of facts; what it reaches says how far a model may lean on them.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import logit
from sklearn.ensemble import RandomForestClassifier

from annulus.evaluation.discrimination import auc_interval, compare_aucs
from annulus.evaluation.predictions import known
from annulus.evaluation.words import SCREENS
from annulus.modelling.folds import centre_folds, log_odds, stratified_folds

LEAK_COLUMNS = [
    "screen", "cohort", "n", "events", "auc", "lower", "upper", "model", "model_auc", "difference",
    "difference_lower", "difference_upper", "p", "rivals", "note",
]  # fmt: skip
DUPLICATE_COLUMNS = [
    "patient_a", "timepoint_a", "image_a", "cohort_a", "outcome_a", "patient_b", "timepoint_b", "image_b",
    "cohort_b", "outcome_b", "kind", "distance", "across_cohorts", "across_labels",
]  # fmt: skip

TREES, LEAST_LEAF = 300, 5


def screen_facts(
    frames: pd.DataFrame, images: pd.DataFrame, participants: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """Return the facts of either screen, one row per patient (index).

    ``frames`` is ``qc/frames.csv``; several images of one kind are averaged. The device, the
    manufacturer and the field strength count as frame.
    """
    facts = {}
    for screen in SCREENS:
        columns = [column for column in frames if column.startswith(f"{screen}_")]
        by_image = frames.groupby(["patient_id", "image"])[columns].mean(numeric_only=True).unstack("image")
        by_image.columns = [f"{image}_{column}" for column, image in by_image.columns]
        facts[screen] = by_image.dropna(axis="columns", how="all")
    scanner = images.groupby("patient_id")[["manufacturer", "field_strength_t"]].first()
    if "device" in participants:
        scanner = scanner.join(participants.set_index("patient_id")["device"])
    known = scanner.dropna(axis="columns", how="all").astype(str)
    if len(known.columns):
        facts["frame"] = facts["frame"].join(pd.get_dummies(known, dtype=float))
    return facts


def leak_screen(
    facts: Mapping[str, pd.DataFrame],
    predictions: pd.DataFrame,
    models: Sequence[str],
    together: pd.Series,
    outer_folds: int,
    seed: int,
    synthetic: bool,
) -> pd.DataFrame:
    """Hold both screens against the first of ``models`` that there is, by paired DeLong tests.

    ``predictions`` is ``tasks/<task>/predictions.csv``. Forests are fitted on training patients alone; in
    training both sides are out of fold, over the same centres where these are held out (``together``, by
    patient, else missing). A screen rivals the model where its AUC is above 0.5 with its whole
    interval, and the model's is not above the screen's with the whole interval of their difference.
    """
    there = set(predictions["model"])
    model = next((name for name in models if name in there), "")
    judged = known(predictions[predictions["model"] == model])
    rows = [
        row
        for screen, table in facts.items()
        for row in _screened(screen, table, judged, together, outer_folds, seed)
    ]
    return pd.DataFrame(rows).reindex(columns=LEAK_COLUMNS).assign(model=model, synthetic=int(synthetic))


def duplicates_across(pairs: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Say of every pair of duplicate images (``qc/duplicates.csv``) which cohorts and outcomes it joins.

    Made when models are frozen, because it shows the outcomes of all cohorts. A patient who is in no cohort
    has none.
    """
    known = predictions.drop_duplicates("patient_id").set_index("patient_id")
    table = pairs.copy()
    for end in ("a", "b"):
        table[f"cohort_{end}"] = table[f"patient_{end}"].map(known["cohort"])
        table[f"outcome_{end}"] = table[f"patient_{end}"].map(known["y"])
    both = table["cohort_a"].notna() & table["cohort_b"].notna()
    table["across_cohorts"] = (both & (table["cohort_a"] != table["cohort_b"])).astype(int)
    outcomes = table["outcome_a"].notna() & table["outcome_b"].notna()
    table["across_labels"] = (outcomes & (table["outcome_a"] != table["outcome_b"])).astype(int)
    return table.reindex(columns=DUPLICATE_COLUMNS)


def _screened(
    screen: str,
    facts: pd.DataFrame,
    predictions: pd.DataFrame,
    together: pd.Series,
    outer_folds: int,
    seed: int,
) -> Iterator[dict[str, object]]:
    train = predictions[predictions["cohort"] == "train"].set_index("patient_id")
    if train.empty or facts.empty:
        return
    features = facts.reindex(train.index)
    y = train["y"].to_numpy(dtype=int)
    held_out = np.full(len(y), np.nan)
    centre = together.reindex(train.index)
    by_centre = centre.notna().all()
    folds = centre_folds(centre.to_numpy()) if by_centre else stratified_folds(y, outer_folds, seed)
    for inside, outside in folds:
        risk = _forest(features.iloc[inside], y[inside], seed)(features.iloc[outside])
        # As the model's: counted from the prevalence of the patients that the forest was grown on.
        held_out[outside] = logit(np.clip(risk, 0.001, 0.999)) - log_odds(y[inside])
    yield _row(screen, "train", y, held_out, train["probability_out_of_fold"].to_numpy())
    score = _forest(features, y, seed)
    for cohort, part in predictions[predictions["cohort"] != "train"].groupby("cohort", sort=False):
        outcome = part["y"].to_numpy(dtype=int)
        found = score(facts.reindex(part["patient_id"]))
        yield _row(screen, str(cohort), outcome, found, part["probability"].to_numpy())


def _forest(features: pd.DataFrame, y: np.ndarray, seed: int):  # type: ignore[no-untyped-def]
    # The same patients in the same order give the same forest; one thread, as Snakemake runs the jobs.
    forest = RandomForestClassifier(TREES, min_samples_leaf=LEAST_LEAF, random_state=seed, n_jobs=1)
    forest.fit(features.to_numpy(dtype=float), y)

    def score(others: pd.DataFrame) -> np.ndarray:
        return forest.predict_proba(others.to_numpy(dtype=float))[:, 1]

    return score


def _row(
    screen: str, cohort: str, y: np.ndarray, score: np.ndarray, model_score: np.ndarray
) -> dict[str, object]:
    row: dict[str, object] = {"screen": screen, "cohort": cohort, "n": len(y), "events": int(y.sum())}
    if len(np.unique(y)) < 2:
        return row | {"note": "only one outcome"}
    own, other = auc_interval(y, score), auc_interval(y, model_score)
    against = compare_aucs(y, model_score, score)
    rivals = own.lower > 0.5 and not against.lower > 0
    return row | {
        "auc": own.estimate,
        "lower": own.lower,
        "upper": own.upper,
        "model_auc": other.estimate,
        "difference": against.difference,
        "difference_lower": against.lower,
        "difference_upper": against.upper,
        "p": against.p,
        "rivals": int(rivals),
        "note": own.note,
    }
