"""How other patients differ from those that a model was fitted on, before anybody looks at outcomes.

What training patients were is known from the summaries that a frozen model carries with it. Worse
performance elsewhere may be a model that does not hold or patients who are other patients; these tables
tell which to expect (Debray et al., J Clin Epidemiol 2015;68:279-289).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from annulus.evaluation.discrimination import Interval, auc_interval
from annulus.evaluation.table_one import level_difference
from annulus.modelling.plan import LESION_SIZE

CASE_MIX_COLUMNS = [
    "column", "kind", "task_models", "n_training", "n_here", "missing_share_training", "missing_share_here",
    "mean_training", "sd_training", "mean_here", "sd_here", "standardised_difference", "out_of_range_share",
    "unseen_levels", "note", "synthetic",
]  # fmt: skip
MEMBERSHIP_COLUMNS = [
    "task", "model", "predictors", "n_training", "n_here", "auc", "lower", "upper", "method", "note",
    "synthetic",
]  # fmt: skip
EXTRAPOLATING_COLUMNS = [
    "patient_id", "task", "model", "out_of_range", "columns", "distance", "distance_limit", "extrapolates",
    "note", "synthetic",
]  # fmt: skip

LINEAR_PREDICTOR = "linear_predictor"

# How an image was taken, of the table of images as it was read.
ACQUISITION = (
    "modality", "manufacturer", "field_strength_t", "spacing_x_mm", "spacing_y_mm", "spacing_z_mm",
    "acq_time_s",
)  # fmt: skip

# A patient from the training population is beyond this share of the squared distances.
WITHIN = 0.975

FOLDS = 10
MEMBERSHIP = f"logistic regression (ridge, C = 1) on z-scores, {FOLDS}-fold cross-validation; "

# A direction with less of the variance than this is none.
NO_VARIANCE = 1e-10


@dataclass(frozen=True)
class TrainingSummary:
    """One raw column in training patients, of whom ``n`` have a value and ``missing`` have none.

    Numbers have a mean, standard deviation, extremes and quantiles;
    categories have counts by level and the rest missing.
    """

    column: str
    n: int
    missing: int
    levels: Mapping[str, int] | None = None
    mean: float = np.nan
    sd: float = np.nan
    minimum: float = np.nan
    q05: float = np.nan
    q25: float = np.nan
    median: float = np.nan
    q75: float = np.nan
    q95: float = np.nan
    maximum: float = np.nan

    @classmethod
    def of(cls, column: str, content: Mapping[str, Any]) -> "TrainingSummary":
        """Read a summary of a frozen model; a number that is None is missing."""
        names = [field.name for field in fields(cls) if field.name in content]
        kept: dict[str, Any] = {name: np.nan if content[name] is None else content[name] for name in names}
        return cls(**{**kept, "column": column})

    @property
    def patients(self) -> int:
        """Training patients, with and without a value."""
        return self.n + self.missing

    def outside(self, values: pd.Series) -> pd.Series:
        """Say of every value whether it is outside the training range, or a level that nobody had there."""
        if self.levels is None:
            numbers = pd.to_numeric(values).astype(float)
            return (numbers < self.minimum) | (numbers > self.maximum)
        seen = [level for level, count in self.levels.items() if count]
        return values.notna() & ~values.astype("string").isin(seen)


@dataclass(frozen=True)
class ModelTraining:
    """What a frozen model carries of its training patients.

    ``summaries`` are of the raw columns that scoring needs; ``linear_predictor`` is the summary of its
    own scores. ``correlation`` is that of the columns ``correlated`` (numbers that vary), None where the
    model does not have it.
    """

    task: str
    model: str
    clinical: frozenset[str]
    summaries: tuple[TrainingSummary, ...]
    linear_predictor: TrainingSummary
    correlated: tuple[str, ...]
    correlation: np.ndarray | None

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "ModelTraining":
        """Read the content of a sealed ``model.json`` of a model that was fitted."""
        training, variables = content["training"], content["variables"]
        own = dict(training["summary"])
        scores = TrainingSummary.of(LINEAR_PREDICTOR, own.pop(LINEAR_PREDICTOR))
        found = training["correlation"]
        return cls(
            task=content["task"],
            model=content["name"],
            clinical=frozenset(variables),
            summaries=tuple(TrainingSummary.of(name, part) for name, part in own.items()),
            linear_predictor=scores,
            correlated=() if found is None else tuple(found["names"]),
            correlation=None if found is None else np.array(found["matrix"], dtype=float),
        )

    @property
    def columns(self) -> list[str]:
        """Raw columns that scoring needs."""
        return [summary.column for summary in self.summaries]


def fitted(contents: Iterable[Mapping[str, Any]]) -> list[ModelTraining]:
    """Read the sealed models that were fitted and have predictors; others have nothing to compare."""
    return [ModelTraining.of(content) for content in contents if "summary" in content["training"]]


def case_mix(
    models: Sequence[ModelTraining], predictors: pd.DataFrame, scores: pd.DataFrame, synthetic: bool
) -> pd.DataFrame:
    """Hold every predictor and every model's linear predictor against training.

    ``predictors`` are the new patients' raw columns; ``scores`` has columns task, model,
    linear_predictor. The standardised difference of numbers is (mean here - mean in training) over the
    root of the mean of both variances (Austin, Stat Med 2009;28:3083-3107), of categories the multi-level
    one without a sign (Yang & Dalton, SAS Global Forum 2012, 335). ``out_of_range_share`` is of known
    values outside the training extremes: about 2 in n + 1 of patients from the training population are.
    Models of one task share a row; so do those of several
    tasks whose training patients are the same.
    """
    users: dict[str, tuple[str, TrainingSummary, list[str]]] = {}
    for model in models:
        for summary in model.summaries:
            kind = _kind(summary.column, model)
            row = users.setdefault(repr(summary), (kind, summary, []))
            row[2].append(f"{model.task}/{model.model}")
    rows = [
        _compared(kind, named, summary, predictors.get(summary.column), "")
        for kind, summary, named in users.values()
    ]
    for model in models:
        own = scores[(scores["task"] == model.task) & (scores["model"] == model.model)][LINEAR_PREDICTOR]
        named = [f"{model.task}/{model.model}"]
        rows.append(
            _compared(
                LINEAR_PREDICTOR, named, model.linear_predictor, own, _spread(model.linear_predictor, own)
            )
        )
    return pd.DataFrame(rows).reindex(columns=CASE_MIX_COLUMNS).assign(synthetic=int(synthetic))


def acquisition_mix(training: pd.DataFrame, images: pd.DataFrame, synthetic: bool) -> pd.DataFrame:
    """Hold how images were taken against how training images were, in rows of ``case_mix``.

    Both are tables of images as they were read (an image once, whatever its masks), so that n counts
    images. Without training images at hand there are no rows.
    """
    once = [table.drop_duplicates("image_id") for table in (training, images)]
    rows = [
        _compared("acquisition", [], _summary(once[0][name]), once[1].get(name), "counts images")
        for name in ACQUISITION
        if name in once[0] and once[0][name].notna().any()
    ]
    return pd.DataFrame(rows).reindex(columns=CASE_MIX_COLUMNS).assign(synthetic=int(synthetic))


def centre_mix(
    training: pd.DataFrame, predictors: pd.DataFrame, centre: str, synthetic: bool
) -> pd.DataFrame:
    """Name the centres (or scanners) that no training patient came from, in a row of ``case_mix``.

    Both tables hold predictors by patient; without the column ``centre`` in both there is no row.
    """
    rows = []
    if centre in training and centre in predictors:
        own = _summary(training[centre].astype("string"))
        rows.append(_compared("acquisition", [], own, predictors[centre], ""))
    return pd.DataFrame(rows).reindex(columns=CASE_MIX_COLUMNS).assign(synthetic=int(synthetic))


def membership(
    models: Sequence[ModelTraining],
    training: pd.DataFrame | None,
    predictors: pd.DataFrame,
    seed: int,
    synthetic: bool,
) -> pd.DataFrame:
    """Tell new patients from training patients by each model's own predictors, out of fold.

    A membership model (Debray et al. 2015): logistic regression in 10 folds, stratified and shuffled with
    ``seed``; medians and z-scores are those of the rest, a category is an indicator per level. An AUC
    near 0.5 means that the new patients are like those in training, so that performance here is of
    reproducibility; near 1, of transportability. ``training`` is the study's table of predictors in
    training, None where it is not at hand.
    """
    rows = [
        {
            "task": model.task, "model": model.model, "predictors": len(model.summaries),
            "n_training": model.linear_predictor.patients, "n_here": len(predictors),
            **_told_apart(model, training, predictors, seed),
        }
        for model in models
    ]  # fmt: skip
    return pd.DataFrame(rows).reindex(columns=MEMBERSHIP_COLUMNS).assign(synthetic=int(synthetic))


def extrapolating(models: Sequence[ModelTraining], predictors: pd.DataFrame, synthetic: bool) -> pd.DataFrame:
    """Say for every new patient and model whether its prediction extrapolates.

    ``out_of_range`` counts the predictors, named in ``columns``, outside their training range (a level
    that no training patient had is). ``distance`` is Mahalanobis' of the numbers that the patient has, by
    the training means, standard deviations and correlation; ``distance_limit`` is the root of the 97.5 %
    quantile of chi-squared with as many degrees of freedom as the correlation has rank. A patient
    ``extrapolates`` beyond either. Of patients from the training population, about one in 40 is beyond
    the limit, were predictors normal.
    """
    parts = [_extrapolating(model, predictors) for model in models]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return table.reindex(columns=EXTRAPOLATING_COLUMNS).assign(synthetic=int(synthetic))


def _kind(column: str, model: ModelTraining) -> str:
    if column == LESION_SIZE:
        return "size"
    return "clinical" if column in model.clinical else "feature"


def _compared(
    kind: str, users: list[str], summary: TrainingSummary, values: pd.Series | None, remark: str
) -> dict[str, object]:
    row: dict[str, object] = {
        "column": summary.column,
        "kind": kind,
        "task_models": "; ".join(users),
        "n_training": summary.patients,
        "missing_share_training": summary.missing / summary.patients if summary.patients else np.nan,
        "mean_training": summary.mean,
        "sd_training": summary.sd,
    }
    if values is None:
        return {**row, "missing_share_here": 1.0, "note": "this cohort has no such column"}
    known = values.dropna()
    differs = _levels(summary.levels, known) if summary.levels is not None else _numbers(summary, known)
    reason = str(differs.pop("note"))
    return {
        **row,
        "n_here": len(values),
        "missing_share_here": float(values.isna().mean()) if len(values) else np.nan,
        **differs,
        "out_of_range_share": float(summary.outside(known).mean()) if len(known) else np.nan,
        "note": "; ".join(part for part in (reason, remark) if part),
    }


def _numbers(summary: TrainingSummary, known: pd.Series) -> dict[str, object]:
    numbers = known.to_numpy(dtype=float)
    mean = float(numbers.mean()) if len(numbers) else np.nan
    sd = float(numbers.std(ddof=1)) if len(numbers) > 1 else np.nan
    spread = float(np.sqrt((summary.sd**2 + sd**2) / 2.0))
    row: dict[str, object] = {"mean_here": mean, "sd_here": sd, "note": ""}
    if np.isnan(spread):
        return {**row, "note": "no difference: fewer than two values in training or here"}
    if spread == 0.0:
        return {**row, "note": "no standardised difference: it varies neither in training nor here"}
    return {**row, "standardised_difference": (mean - summary.mean) / spread}


def _levels(levels: Mapping[str, int], known: pd.Series) -> dict[str, object]:
    here = known.astype("string").value_counts()
    names = [*levels, *sorted(str(name) for name in here.index if name not in levels)]
    counts = np.array([[levels.get(name, 0), here.get(name, 0)] for name in names]).reshape(-1, 2)
    unseen = [name for name, (there, count) in zip(names, counts, strict=True) if count and not there]
    difference = level_difference(counts[:, 0], counts[:, 1])
    return {
        "standardised_difference": difference,
        "unseen_levels": "; ".join(unseen),
        "note": "no standardised difference: no level in common, or nothing varies"
        if np.isnan(difference)
        else "",
    }


def _summary(values: pd.Series) -> TrainingSummary:
    known, name, missing = values.dropna(), str(values.name), int(values.isna().sum())
    if pd.api.types.is_numeric_dtype(known):
        return TrainingSummary(
            name, len(known), missing, mean=float(known.mean()), sd=float(known.std()),
            minimum=float(known.min()), maximum=float(known.max()),
        )  # fmt: skip
    counts = known.astype("string").value_counts().sort_index()
    levels = {str(level): int(count) for level, count in counts.items()}
    return TrainingSummary(name, len(known), missing, levels=levels)


def _spread(training: TrainingSummary, here: pd.Series) -> str:
    """Say what the spread of the linear predictor lets expect of discrimination."""
    sd = float(here.std()) if len(here) > 1 else np.nan
    if not (sd >= 0.0 and training.sd > 0.0):
        return ""
    ratio = sd / training.sd
    easier = "more alike than in training, harder" if ratio < 1.0 else "less alike than in training, easier"
    return (
        f"the standard deviation is {ratio:.2f} times that in training: patients are {easier} to tell apart"
    )


def _told_apart(
    model: ModelTraining, training: pd.DataFrame | None, predictors: pd.DataFrame, seed: int
) -> dict[str, object]:
    reason = _why_not(model, training, predictors)
    if reason or training is None:
        return {"method": "none", "note": reason}
    here = np.repeat([False, True], [len(training), len(predictors)])
    both = pd.concat([training[model.columns], predictors[model.columns]], ignore_index=True)
    found = _membership_auc(_encoded(model, both), here, seed)
    return {
        "n_training": len(training),
        "auc": found.estimate,
        "lower": found.lower,
        "upper": found.upper,
        "method": MEMBERSHIP + found.method,
        "note": found.note,
    }


def _why_not(model: ModelTraining, training: pd.DataFrame | None, predictors: pd.DataFrame) -> str:
    """Say why new patients cannot be told from training patients."""
    if training is None:
        return "the training patients' predictors are not at hand, only their summaries"
    if not model.summaries:
        return "the model has no predictor"
    absent = [name for name in model.columns if name not in predictors]
    if absent:
        return f"this cohort has no {', '.join(absent)}"
    if min(len(training), len(predictors)) < FOLDS:
        return f"fewer than {FOLDS} patients in training or here"
    return ""


def _encoded(model: ModelTraining, table: pd.DataFrame) -> np.ndarray:
    """Numbers as they are, and an indicator per level of a category (none for a missing one)."""
    parts = [
        table[[s.column]].apply(pd.to_numeric).astype(float)
        if s.levels is None
        else pd.get_dummies(table[s.column].astype("string"), prefix=s.column, dtype=float)
        for s in model.summaries
    ]
    values: np.ndarray = pd.concat(parts, axis=1).to_numpy(dtype=float)
    return values


def _membership_auc(values: np.ndarray, here: np.ndarray, seed: int) -> Interval:
    """AUC out of fold, each patient compared with those of the same fold alone.

    Scores of several folds come from several regressions; comparing across them puts the AUC of patients
    who do not differ below 0.5. The interval has DeLong's placements within folds (LeDell et al.,
    Electron J Stat 2015;9:1583-1607).
    """
    areas, of_here, of_training = [], [], []
    for rest, fold in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(values, here):
        regression = make_pipeline(
            SimpleImputer(strategy="median", keep_empty_features=True),
            StandardScaler(),
            LogisticRegression(C=1.0, max_iter=1000),
        )
        score = regression.fit(values[rest], here[rest]).decision_function(values[fold])
        high, low = score[here[fold]], score[~here[fold]]
        ranks = stats.rankdata(np.r_[high, low])
        of_here.append((ranks[: len(high)] - stats.rankdata(high)) / len(low))
        of_training.append(1.0 - (ranks[len(high) :] - stats.rankdata(low)) / len(high))
        areas.append(of_here[-1].mean())
    area = float(np.mean(areas))
    if area in (0.0, 1.0):
        return auc_interval(here, here if area == 1.0 else ~here)
    variance = sum(
        np.var(np.concatenate(part), ddof=1) / sum(map(len, part)) for part in (of_here, of_training)
    )
    reach = float(stats.norm.ppf(0.975) * np.sqrt(variance))
    return Interval(area, max(0.0, area - reach), min(1.0, area + reach), "DeLong within folds")


def _extrapolating(model: ModelTraining, predictors: pd.DataFrame) -> pd.DataFrame:
    present = [summary for summary in model.summaries if summary.column in predictors]
    outside = np.column_stack(
        [np.zeros((len(predictors), 0)), *(s.outside(predictors[s.column]).to_numpy() for s in present)]
    ).astype(bool)
    names = np.array([summary.column for summary in present])
    distance, limit, note = _distances(model, present, predictors)
    return pd.DataFrame(
        {
            "patient_id": predictors["patient_id"].to_numpy(),
            "task": model.task,
            "model": model.model,
            "out_of_range": outside.sum(axis=1),
            "columns": ["; ".join(names[row]) for row in outside],
            "distance": distance,
            "distance_limit": limit,
            "extrapolates": (outside.any(axis=1) | (distance > limit)).astype(int),
            "note": note,
        }
    )


def _distances(
    model: ModelTraining, present: Sequence[TrainingSummary], predictors: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return distance, its limit and a note of every patient."""
    n = len(predictors)
    distance, limit, notes = np.full(n, np.nan), np.full(n, np.nan), np.full(n, "", dtype=object)
    if model.correlation is None:
        notes[:] = "no distance: the model carries no correlation of so many predictors"
        return distance, limit, notes
    used = {s.column: s for s in present if s.column in model.correlated}
    places = [model.correlated.index(name) for name in used]
    mean, sd = (np.array([getattr(s, name) for s in used.values()]) for name in ("mean", "sd"))
    z = (predictors[list(used)].apply(pd.to_numeric).to_numpy(dtype=float) - mean) / sd
    for rows, known in _patterns(z):
        chosen = [place for place, there in zip(places, known, strict=True) if there]
        said = "no distance: none of the numbers is known"
        if chosen:
            matrix = model.correlation[np.ix_(chosen, chosen)]
            distance[rows], rank = mahalanobis(z[np.ix_(rows, known)], matrix)
            limit[rows] = np.sqrt(stats.chi2.ppf(WITHIN, rank))
            said = _of_distance(len(model.correlated), len(chosen), rank)
        notes[rows] = said
    return distance, limit, notes


def mahalanobis(z: np.ndarray, correlation: np.ndarray) -> tuple[np.ndarray, int]:
    """Mahalanobis' distance of z-scores (patient x predictor) by their correlation, and its rank.

    A singular correlation is inverted on the directions that vary (Moore-Penrose), so that a departure
    from what always holds in training is not seen. Mahalanobis, Proc Natl Inst Sci India 1936;2:49-55.
    """
    values, vectors = np.linalg.eigh(correlation)
    varies = values > NO_VARIANCE * values.max()
    along = z @ vectors[:, varies]
    return np.sqrt((along**2 / values[varies]).sum(axis=1)), int(varies.sum())


def _patterns(z: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows that lack the same predictors, and which predictors they have."""
    patterns, group = np.unique(~np.isnan(z), axis=0, return_inverse=True)
    for i, known in enumerate(patterns):
        yield np.flatnonzero(group.ravel() == i), known


def _of_distance(numbers: int, known: int, rank: int) -> str:
    lacking = f"distance by the {known} of {numbers} numbers that are known" if known < numbers else ""
    singular = (
        f"the correlation is singular: its pseudo-inverse, of rank {rank} of {known}" if rank < known else ""
    )
    return "; ".join(part for part in (lacking, singular) if part)
