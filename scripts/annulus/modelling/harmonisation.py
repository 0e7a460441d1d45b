"""ComBat: remove what a centre (or device) adds to features, learnt from training patients only.

Johnson, Li & Rabinovic, Biostatistics 2007;8:118-127, parametric; on the patients that it was fitted on the
numbers are those of R's ``sva::ComBat``. Fitting and applying are apart, so that patients who are held
out take no part. The outcome cannot be given: protecting it would carry it into the features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from annulus.errors import StudyError

# Where sva stops its iterations; their numbers depend on it.
CONVERGED = 1e-4

# What may happen to a patient of a centre that training did not have, or had too few patients of.
UNSEEN = ("refuse", "leave", "reference")

# A variance needs two patients.
LEAST_PATIENTS = 2

# A spread below this share of the values themselves is rounding.
ROUNDING = 1e-10


@dataclass(frozen=True)
class CombatModel:
    """What ComBat learnt: the common scale of every feature and every centre's departure from it.

    ``grand_mean``, ``slopes`` (covariate x feature) and ``spread`` make a feature standard; a centre's
    row of ``shift`` and ``scale`` (centre x feature) is then taken off. ``adjusted`` marks the features
    that are harmonised: the others do not vary within some centre.
    """

    centres: tuple[str, ...]
    reference: str | None
    grand_mean: np.ndarray
    slopes: np.ndarray
    spread: np.ndarray
    shift: np.ndarray
    scale: np.ndarray
    adjusted: np.ndarray


def fit_combat(
    features: np.ndarray, centre: np.ndarray, covariates: np.ndarray, reference: str | None = None
) -> CombatModel:
    """Fit ComBat on training patients; ``features`` is patient x feature, without missing values.

    ``covariates`` is patient x covariate (may have none): what they explain is kept. With a
    ``reference`` all centres are moved to that one, whose patients stay as they are. Raises StudyError
    where covariates and centres cannot be told apart, the reference is no training centre, or a centre
    has fewer than two patients.
    """
    names, counts = np.unique(centre, return_counts=True)
    _refuse_small(names, counts, reference)
    member = (centre[:, None] == names).astype(float)
    design = member.copy()
    if reference is not None:
        design[:, names == reference] = 1.0
    whole = np.column_stack([design, covariates])
    if np.linalg.matrix_rank(whole) < whole.shape[1]:
        raise StudyError(
            "ComBat: the covariates can be told from the centres (every patient of a centre has the same "
            "value), so its effect is the covariate's. Leave out the covariate or join centres."
        )
    adjusted = _vary_everywhere(features, member > 0)
    coefficients = np.linalg.lstsq(whole, features, rcond=None)[0]
    slopes = coefficients[len(names) :]
    residual = features - whole @ coefficients
    if reference is None:
        grand_mean = counts / len(features) @ coefficients[: len(names)]
        variance = (residual**2).mean(axis=0)
    else:
        grand_mean = coefficients[: len(names)][names == reference][0]
        variance = (residual[centre == reference] ** 2).mean(axis=0)
    spread = np.sqrt(np.where(adjusted, variance, 1.0))
    standard = (features - grand_mean - covariates @ slopes) / spread
    shift, scale = np.zeros((len(names), features.shape[1])), np.ones((len(names), features.shape[1]))
    # One centre alone, like the reference, has nothing to depart from.
    for k in np.flatnonzero((names != reference) & (len(names) > 1)):
        own = standard[centre == names[k]][:, adjusted]
        shift[k, adjusted], scale[k, adjusted] = _shrunken(own)
    return CombatModel(tuple(map(str, names)), reference, grand_mean, slopes, spread, shift, scale, adjusted)


def apply_combat(
    model: CombatModel, features: np.ndarray, centre: np.ndarray, covariates: np.ndarray, unseen: str
) -> np.ndarray:
    """Harmonise patients by what training taught; ``unseen`` is the policy for centres it did not have.

    ``refuse`` raises StudyError; ``leave`` returns their features as they are; ``reference`` estimates the
    new centre's departure from its own patients here (features only, all of them at once), shrunken in
    the same way: what a patient gets then depends on who else is in the table. It needs two patients.
    """
    strangers = sorted(set(centre) - set(model.centres))
    if strangers and unseen == "refuse":
        raise StudyError(
            f"ComBat: training had no (or one) patient of centre {', '.join(map(str, strangers))}. Join it "
            f"with another centre, or choose what happens to unseen centres: {', '.join(UNSEEN[1:])}."
        )
    explained = model.grand_mean + covariates @ model.slopes
    standard = (features - explained) / model.spread
    moved = features.copy()
    for name in np.unique(centre):
        rows = centre == name
        if name in model.centres:
            k = model.centres.index(name)
            if name == model.reference or (len(model.centres) == 1):
                continue
            shift, scale = model.shift[k], model.scale[k]
        elif unseen == "leave":
            continue
        else:
            shift, scale = _stranger(model, standard[rows], str(name))
        there = (standard[rows] - shift) / np.sqrt(scale) * model.spread + explained[rows]
        moved[rows] = np.where(model.adjusted, there, features[rows])
    return moved


@dataclass(frozen=True)
class Harmonise:
    """A fitted ComBat, frozen for the features that a signature needs; numbers are by feature.

    ``slopes`` has a row per covariate, ``shift`` and ``scale`` one per centre.
    """

    kind: ClassVar[str] = "harmonise"

    features: tuple[str, ...]
    centre: str
    covariates: tuple[str, ...]
    unseen: str
    centres: tuple[str, ...]
    reference: str | None
    grand_mean: tuple[float, ...]
    slopes: tuple[tuple[float, ...], ...]
    spread: tuple[float, ...]
    shift: tuple[tuple[float, ...], ...]
    scale: tuple[tuple[float, ...], ...]
    adjusted: tuple[bool, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the raw table that it needs beside the features."""
        return (self.centre, *self.covariates)

    def apply(self, features: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
        """Return its features of ``features`` harmonised; centre and covariates are in ``table``."""
        names = list(self.features)
        model = CombatModel(
            self.centres,
            self.reference,
            np.array(self.grand_mean),
            np.array(self.slopes).reshape(len(self.covariates), len(names)),
            np.array(self.spread),
            np.array(self.shift),
            np.array(self.scale),
            np.array(self.adjusted, dtype=bool),
        )
        centre, covariates = _centre_and_covariates(table, self.centre, self.covariates)
        moved = apply_combat(model, features[names].to_numpy(dtype=float), centre, covariates, self.unseen)
        return pd.DataFrame(moved, features.index, names)


class Combat(TransformerMixin, BaseEstimator):
    """ComBat as a transformer of a table that holds the features, the centre and the covariates.

    ``centre`` and ``covariates`` name columns of the table; they are taken off, so that no model uses
    them. Covariates are numbers, and the index names patients. A centre with fewer than two training
    patients counts as unseen. ``unseen`` is ``refuse``, ``leave`` or ``reference`` (see
    :func:`apply_combat`).
    """

    def __init__(
        self,
        centre: str = "centre",
        covariates: Sequence[str] = (),
        reference: str | None = None,
        unseen: str = "refuse",
    ) -> None:
        self.centre = centre
        self.covariates = covariates
        self.reference = reference
        self.unseen = unseen

    def fit(self, X: pd.DataFrame, y: object = None) -> "Combat":
        """Learn every training centre's departure; ``y`` is never looked at."""
        if self.unseen not in UNSEEN:
            raise StudyError(f"ComBat: unseen is one of {', '.join(UNSEEN)}, not {self.unseen}.")
        self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        self.n_features_in_ = X.shape[1]
        values, centre, covariates = self._parts(X)
        # A resample may have one patient several times, who does not vary.
        counts = X.index.to_series().groupby(centre).nunique()
        small = counts.index[counts < LEAST_PATIENTS].to_numpy()
        if len(small) and self.unseen == "refuse":
            raise StudyError(
                f"ComBat: centre {', '.join(small)} has a single training patient. Join it with another "
                f"centre, or choose what happens to unseen centres: {', '.join(UNSEEN[1:])}."
            )
        kept = ~np.isin(centre, small)
        self.model_ = fit_combat(values[kept], centre[kept], covariates[kept], self.reference)
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the features harmonised, without the centre and the covariates."""
        check_is_fitted(self)
        values, centre, covariates = self._parts(X)
        moved = apply_combat(self.model_, values, centre, covariates, self.unseen)
        return pd.DataFrame(moved, index=X.index, columns=self.get_feature_names_out())

    def freeze(self, kept: Sequence[str]) -> Harmonise:
        """Keep what harmonising the features ``kept`` needs.

        Where an unseen centre is estimated, that is every feature: the estimate borrows from all.
        """
        check_is_fitted(self)
        names = [str(name) for name in self.get_feature_names_out()]
        wanted = set(names if self.unseen == "reference" else kept)
        own = [i for i, name in enumerate(names) if name in wanted]
        model = self.model_
        return Harmonise(
            features=tuple(names[i] for i in own),
            centre=self.centre,
            covariates=tuple(self.covariates),
            unseen=self.unseen,
            centres=model.centres,
            reference=model.reference,
            grand_mean=tuple(model.grand_mean[own].tolist()),
            slopes=tuple(map(tuple, model.slopes[:, own].tolist())),
            spread=tuple(model.spread[own].tolist()),
            shift=tuple(map(tuple, model.shift[:, own].tolist())),
            scale=tuple(map(tuple, model.scale[:, own].tolist())),
            adjusted=tuple(model.adjusted[own].tolist()),
        )

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Name the features, which are all columns but the centre and the covariates."""
        check_is_fitted(self)
        apart = {self.centre, *self.covariates}
        return np.array([name for name in self.feature_names_in_ if name not in apart], dtype=object)

    def _parts(self, X: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        centre, covariates = _centre_and_covariates(X, self.centre, self.covariates)
        features = X[list(self.get_feature_names_out())].to_numpy(dtype=float)
        if not np.isfinite(features).all():
            raise StudyError("ComBat: a feature is missing. Put imputation before harmonisation.")
        return features, centre, covariates


def _centre_and_covariates(
    table: pd.DataFrame, centre: str, covariates: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    absent = [name for name in (centre, *covariates) if name not in table]
    if absent:
        raise StudyError(f"ComBat: the table has no column {', '.join(absent)}.")
    if table[[centre, *covariates]].isna().any(axis=None):
        raise StudyError(
            f"ComBat: a patient has no {centre} or no value of a covariate. Fill them in, or leave "
            "out the patient or the covariate."
        )
    try:
        values = table[list(covariates)].to_numpy(dtype=float)
    except ValueError as error:
        raise StudyError(f"ComBat: covariates must be numbers ({', '.join(covariates)}): {error}.") from None
    return table[centre].astype(str).to_numpy(dtype=object), values


def _refuse_small(names: np.ndarray, counts: np.ndarray, reference: str | None) -> None:
    if reference is not None and reference not in names:
        raise StudyError(
            f"ComBat: the reference {reference} is not among the training centres ({', '.join(names)})."
        )
    if not len(names) or counts.min() < LEAST_PATIENTS:
        raise StudyError("ComBat: every training centre needs two patients at least.")


def _vary_everywhere(features: np.ndarray, member: np.ndarray) -> np.ndarray:
    """Mark the features that vary within every centre; sva leaves the others as they are, too."""
    vary = np.ones(features.shape[1], dtype=bool)
    for own in member.T:
        part = features[own]
        vary &= np.ptp(part, axis=0) > ROUNDING * np.abs(part).max(axis=0)
    return vary


def _shrunken(standard: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Empirical Bayes shift and variance of one centre's standard features (patient x feature).

    Shifts are normal and variances inverse gamma over features, with the moments observed; alternating
    conditional means are iterated as in sva.
    """
    n = len(standard)
    mean, variance = standard.mean(axis=0), standard.var(axis=0, ddof=1)
    if len(np.unique(mean)) < 2 or len(np.unique(variance)) < 2:
        return mean, variance  # one feature, or copies of one, leave nothing to borrow from
    centre, tau = mean.mean(), mean.var(ddof=1)
    typical, spread = variance.mean(), variance.var(ddof=1)
    a, b = (2.0 * spread + typical**2) / spread, (typical * spread + typical**3) / spread
    shift, scale, change = mean, variance, 1.0
    while change > CONVERGED:
        old_shift, old_scale = shift, scale
        shift = (tau * n * mean + old_scale * centre) / (tau * n + old_scale)
        squares = ((standard - shift) ** 2).sum(axis=0)
        scale = (0.5 * squares + b) / (0.5 * n + a - 1.0)
        # Divided by the signed old value, as sva does: another rule would stop at another iteration.
        moved = (np.abs(shift - old_shift) / old_shift).max()
        change = max(float(moved), float((np.abs(scale - old_scale) / old_scale).max()))
    return shift, scale


def _stranger(model: CombatModel, standard: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    shift, scale = np.zeros(standard.shape[1]), np.ones(standard.shape[1])
    if len(standard) < LEAST_PATIENTS:
        raise StudyError(
            f"ComBat: centre {name} was not in training and has one patient here; its departure cannot be "
            "estimated. Choose `leave` for unseen centres."
        )
    own = standard[:, model.adjusted]
    flat = np.ptp(own, axis=0) == 0
    shift_own, scale_own = np.zeros(own.shape[1]), np.ones(own.shape[1])
    shift_own[~flat], scale_own[~flat] = _shrunken(own[:, ~flat])
    shift[model.adjusted], scale[model.adjusted] = shift_own, scale_own
    return shift, scale
