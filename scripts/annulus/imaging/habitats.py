"""Tumour habitats: clusters of voxels that look alike on several images, frozen on training patients.

Every channel (an enhancement map, the ADC) is brought onto one grid over the lesion; the voxels of the
training patients are z-scored and clustered; and any patient's voxels are then assigned by the frozen
constants alone, so that the habitats of two patients, or two centres, are the same ones.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import sklearn
import SimpleITK as sitk
from sklearn.cluster import KMeans
from sklearn.metrics import calinski_harabasz_score, silhouette_score
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from annulus.errors import StudyError
from annulus.imaging.registration import HALF, bounding_box, resampled_like

Method = Literal["kmeans", "gmm"]

# Of the clustering: starts from different voxels, and steps of each.
STARTS, STEPS = 10, 300

# The silhouette compares every voxel with every other, so it is taken on this many.
SILHOUETTE_VOXELS = 3000

# Room about the lesion, so that its edge is never the edge of the grid.
GRID_MARGIN_VOXELS = 1


@dataclass(frozen=True)
class Voxels:
    """The voxels of one lesion on the common grid.

    ``mask_on_grid`` (uint8, 0 or 1) carries the grid; ``vectors`` has one row per voxel of the mask
    in array order (slice, row, column) and one column per channel, float32; ``usable`` says of which
    rows every channel is finite.
    """

    channels: tuple[str, ...]
    mask_on_grid: sitk.Image
    vectors: np.ndarray
    usable: np.ndarray


@dataclass(frozen=True)
class Validity:
    """How well a number of clusters fits the training voxels.

    ``calinski_harabasz`` (higher is better) is None where a cluster has no voxel, and such a number
    is never chosen. ``inertia`` is the k-means sum of squares, ``bic`` that of the mixture (lower is
    better for both); the method that was not used has None.
    """

    k: int
    calinski_harabasz: float | None
    silhouette: float | None
    inertia: float | None
    bic: float | None
    converged: int


@dataclass(frozen=True)
class Habitats:
    """Habitats 1..k as frozen on training patients, numbered by rising mean of the first channel.

    ``mean`` and ``sd`` (divisor n) are those of the training voxels by channel; ``centres`` are
    cluster or component means of z-scores, one row per habitat. ``weights`` and ``covariances``
    are those of a Gaussian mixture, empty for k-means. ``validity`` has a row per number of clusters
    tried.
    """

    method: Method
    channels: tuple[str, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    centres: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    covariances: tuple[tuple[tuple[float, ...], ...], ...]
    validity: tuple[Validity, ...]
    patients: int
    voxels: int
    seed: int
    versions: tuple[tuple[str, str], ...]

    @property
    def k(self) -> int:
        """Number of habitats."""
        return len(self.centres)

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers and names; what is read back gives the same bytes."""
        return {
            "method": self.method,
            "k": self.k,
            "channels": [
                {"channel": name, "mean": mean, "sd": sd}
                for name, mean, sd in zip(self.channels, self.mean, self.sd, strict=True)
            ],
            "centres": [list(centre) for centre in self.centres],
            "weights": list(self.weights),
            "covariances": [[list(row) for row in one] for one in self.covariances],
            "validity": [asdict(row) for row in self.validity],
            "training": {"patients": self.patients, "voxels": self.voxels, "seed": self.seed},
            "versions": dict(self.versions),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Habitats":
        """Read what :meth:`to_json` wrote."""
        return cls(
            method=content["method"],
            channels=tuple(channel["channel"] for channel in content["channels"]),
            mean=tuple(channel["mean"] for channel in content["channels"]),
            sd=tuple(channel["sd"] for channel in content["channels"]),
            centres=tuple(tuple(centre) for centre in content["centres"]),
            weights=tuple(content["weights"]),
            covariances=tuple(tuple(tuple(row) for row in one) for one in content["covariances"]),
            validity=tuple(Validity(**row) for row in content["validity"]),
            patients=content["training"]["patients"],
            voxels=content["training"]["voxels"],
            seed=content["training"]["seed"],
            versions=tuple(content["versions"].items()),
        )


def common_grid(mask: sitk.Image, spacing: tuple[float, ...] | None, margin_voxels: int) -> sitk.Image:
    """Lay a grid over the bounding box of a mask, along the mask's own axes, centred on the box.

    ``spacing`` is along x, y (and z) in mm; without it the mask's own voxels are the grid.
    ``margin_voxels`` of the new grid are added on every side. Returns an empty uint8 image. Raises
    StudyError when the mask is empty or the spacing is not one positive length per axis.
    """
    low, high = bounding_box(mask)
    if not high.any():
        raise StudyError("The mask has no voxel that is set, so there is no lesion to lay a grid over.")
    own = mask.GetSpacing()
    step = own if spacing is None else tuple(map(float, spacing))
    if len(step) != len(own) or min(step) <= 0:
        raise StudyError(
            f"The spacing of the common grid must be {len(own)} positive lengths in mm, not {spacing}."
        )
    if step == own:
        # Centring would move the voxels by a rounding error.
        origin = mask.TransformIndexToPhysicalPoint([int(first) - margin_voxels for first in low])
        return _empty(high - low + 2 * margin_voxels, origin, step, mask)
    length = (high - low) * own
    size = np.ceil(np.round(length / step, 6)).astype(int) + 2 * margin_voxels
    # The first voxel's centre lies this many of the mask's voxels from the box's centre.
    first = (low + high - 1) / 2 - (size - 1) / 2 * step / np.asarray(own)
    origin = mask.TransformContinuousIndexToPhysicalPoint(first.tolist())
    return _empty(size, origin, step, mask)


def voxel_vectors(
    channels: Mapping[str, sitk.Image],
    mask: sitk.Image,
    spacing: tuple[float, ...] | None,
    transforms: Mapping[str, sitk.Transform],
) -> Voxels:
    """Bring every channel onto one grid over the lesion and read its voxels.

    ``spacing`` (mm, along x, y and z) is that of the grid, None for the mask's own. ``transforms``
    by channel map the mask's points to the channel's (see the registration); a channel without one
    is taken to lie where the scanner put it. Channels are interpolated linearly, which cannot
    overshoot at an edge as B-splines do; the mask linearly too, and a voxel with at least half of it
    is inside. Tissue beyond a channel's field of view has no value. A lesion smaller than the grid's
    voxels can come out with none. Raises StudyError on an empty mask, a channel of other dimensions
    than the mask and a transform of no channel.
    """
    unknown = sorted(set(transforms) - set(channels))
    if unknown:
        raise StudyError(
            f"There is a transform for {', '.join(unknown)}, which is no channel; the channels are "
            f"{', '.join(channels)}."
        )
    grid = common_grid(mask, spacing, GRID_MARGIN_VOXELS)
    share = resampled_like(sitk.Cast(mask != 0, sitk.sitkFloat32), grid)
    # Beyond the image that the mask was drawn on there is no lesion.
    inside = np.nan_to_num(sitk.GetArrayFromImage(share)) >= HALF
    columns = [
        sitk.GetArrayFromImage(resampled_like(image, grid, transforms.get(name)))[inside]
        for name, image in channels.items()
    ]
    vectors = np.stack(columns, axis=1)
    on_grid = sitk.GetImageFromArray(inside.astype(np.uint8))
    on_grid.CopyInformation(grid)
    return Voxels(tuple(channels), on_grid, vectors, np.isfinite(vectors).all(axis=1))


def sample_voxels(vectors: np.ndarray, count: int, seed: int, patient_id: str) -> np.ndarray:
    """Draw at most ``count`` usable voxels of one patient, without replacement, in their own order.

    ``vectors`` has a row per voxel; rows that are not finite are left out. The draw depends on the
    seed and the patient's id, never on other patients.
    """
    usable = vectors[np.isfinite(vectors).all(axis=1)]
    if len(usable) <= count:
        return usable
    digest = hashlib.sha256(f"{seed}:{patient_id}".encode()).digest()
    drawn = np.random.default_rng(list(digest)).choice(len(usable), size=count, replace=False)
    return usable[np.sort(drawn)]


def fit_habitats(
    samples: Mapping[str, np.ndarray],
    channels: tuple[str, ...],
    clusters: tuple[int, int],
    method: Method,
    seed: int,
    maximum_voxels: int,
) -> Habitats:
    """Cluster the voxels of the training patients and freeze what assigning any voxel needs.

    ``samples`` has an array (voxels, channels) per patient; rows that are not finite are left out.
    ``clusters`` is the lowest and highest number tried, the same twice for a fixed number; the one
    with the highest Calinski-Harabasz index (Calinski & Harabasz, Commun Stat 1974;3:1-27) is kept,
    the lower of two that tie. The silhouette (Rousseeuw, J Comput Appl Math 1987;20:53-65), on a
    sample, is reported beside it. Of more than ``maximum_voxels`` voxels as many are drawn from every
    patient as fit. Voxels are z-scored over all that are used, so patients count by their voxels:
    draw them with :func:`sample_voxels` for balance. The order of the patients does not matter. One
    thread. Raises StudyError when there are too few voxels, when a channel does not vary, and when
    no number of clusters could be fitted.
    """
    low, high = clusters
    if not 2 <= low <= high:
        raise StudyError(f"Habitats: the number of clusters must run from 2 up, not from {low} to {high}.")
    drawn = _drawn(samples, channels, seed, maximum_voxels)
    voxels = np.concatenate([np.empty((0, len(channels))), *drawn.values()])
    mean, sd = _scaling(voxels, channels, high)
    scores = (voxels - mean) / sd
    with threadpool_limits(limits=1):
        fits = [_fit(scores, k, method, seed) for k in range(low, high + 1)]
    usable = [fit for fit in fits if fit.validity.calinski_harabasz is not None]
    if not usable:
        raise StudyError(
            f"Habitats: no number of clusters from {low} to {high} gave every cluster a voxel. Lower the "
            "number, or give more training voxels."
        )
    best = max(usable, key=lambda fit: (fit.validity.calinski_harabasz, -fit.validity.k))
    order = np.argsort(best.centres[:, 0], kind="stable")
    return Habitats(
        method=method,
        channels=tuple(channels),
        mean=tuple(mean.tolist()),
        sd=tuple(sd.tolist()),
        centres=_nested(best.centres[order]),
        weights=tuple(best.weights[order].tolist()) if method == "gmm" else (),
        covariances=_nested(best.covariances[order]) if method == "gmm" else (),
        validity=tuple(fit.validity for fit in fits),
        patients=len(drawn),
        voxels=len(voxels),
        seed=seed,
        versions=(("numpy", np.__version__), ("scikit-learn", sklearn.__version__)),
    )


def assign(habitats: Habitats, vectors: np.ndarray) -> np.ndarray:
    """Assign every voxel to a habitat, 1..k, by the frozen constants alone; 0 where not usable.

    ``vectors`` has a row per voxel and a column per channel, in the units of training. K-means: the
    nearest centre of z-scores; mixture: the component most likely to have made the voxel. A tie
    goes to the lower number. Raises StudyError when the number of channels differs.
    """
    if vectors.ndim != 2 or vectors.shape[1] != len(habitats.channels):
        raise StudyError(
            f"The habitats were found on {len(habitats.channels)} channels ({', '.join(habitats.channels)}); "
            f"the voxels have {vectors.shape[-1]}."
        )
    usable = np.isfinite(vectors).all(axis=1)
    scores = (vectors[usable].astype(float) - habitats.mean) / habitats.sd
    fit = _log_likelihoods if habitats.method == "gmm" else _closeness
    labels = np.zeros(len(vectors), dtype=np.uint8)
    labels[usable] = fit(habitats, scores).argmax(axis=1) + 1
    return labels


def habitat_features(labels: np.ndarray, k: int) -> dict[str, float]:
    """Volume fraction of every habitat 1..k, and whether it is there at all (0 or 1).

    Fractions are of the usable voxels (label not 0) and add up to 1; a lesion without any has no
    value (NaN). The voxels of the common grid all have one volume.
    """
    counts = np.bincount(labels[labels > 0].ravel(), minlength=k + 1)[1:]
    total = int(counts.sum())
    features: dict[str, float] = {}
    for number, count in enumerate(counts.tolist(), start=1):
        features[f"h{number}_fraction"] = count / total if total else float("nan")
        features[f"h{number}_present"] = float(count > 0) if total else float("nan")
    return features


def label_image(labels: np.ndarray, voxels: Voxels) -> sitk.Image:
    """Put the labels of a lesion's voxels back on the common grid (uint8; 0 is no habitat)."""
    inside = sitk.GetArrayFromImage(voxels.mask_on_grid).astype(bool)
    if labels.shape != (int(inside.sum()),):
        raise ValueError(f"{labels.shape} labels were given for {int(inside.sum())} voxels")
    values = np.zeros(inside.shape, dtype=np.uint8)
    values[inside] = labels
    image = sitk.GetImageFromArray(values)
    image.CopyInformation(voxels.mask_on_grid)
    return image


def label_map_like(
    label_map: sitk.Image, image: sitk.Image, transform: sitk.Transform | None = None
) -> sitk.Image:
    """Bring a label map from the common grid onto an image's own grid, by nearest voxel.

    ``transform`` is the one by which the image was a channel (from the mask's points to the
    image's); its inverse is taken here. Raises StudyError when it has none.
    """
    back = None
    if transform is not None:
        try:
            back = transform.GetInverse()
        except RuntimeError:
            raise StudyError(
                "The image's registration cannot be inverted, so habitats cannot be drawn on it. Register it "
                "again, or rigidly."
            ) from None
    return resampled_like(label_map, image, back, "nearest")


@dataclass(frozen=True)
class _Fit:
    validity: Validity
    centres: np.ndarray
    weights: np.ndarray
    covariances: np.ndarray


def _empty(
    size: np.ndarray, origin: tuple[float, ...], spacing: tuple[float, ...], mask: sitk.Image
) -> sitk.Image:
    grid = sitk.Image([int(length) for length in size], sitk.sitkUInt8)
    grid.SetOrigin(origin)
    grid.SetSpacing(spacing)
    grid.SetDirection(mask.GetDirection())
    return grid


def _drawn(
    samples: Mapping[str, np.ndarray], channels: tuple[str, ...], seed: int, maximum_voxels: int
) -> dict[str, np.ndarray]:
    for patient, vectors in samples.items():
        if vectors.ndim != 2 or vectors.shape[1] != len(channels):
            raise StudyError(
                f"Habitats: the voxels of patient {patient} have the shape {vectors.shape}, not one column "
                f"for each of the channels {', '.join(channels)}."
            )
    usable = {patient: v[np.isfinite(v).all(axis=1)] for patient, v in sorted(samples.items())}
    if maximum_voxels < len(samples):
        raise StudyError(
            f"Habitats: {maximum_voxels} voxels cannot be drawn evenly from {len(samples)} training "
            "patients. Raise the maximum."
        )
    share = _even_share([len(vectors) for vectors in usable.values()], maximum_voxels)
    drawn = {patient: sample_voxels(v, share, seed, patient) for patient, v in usable.items()}
    return {patient: vectors for patient, vectors in drawn.items() if len(vectors)}


def _even_share(counts: list[int], maximum: int) -> int:
    """Most voxels per patient such that all patients together have no more than ``maximum``."""
    if sum(counts) <= maximum:
        return max(counts, default=0)
    left, share = maximum, 0
    for taken, count in enumerate(sorted(counts)):
        share = left // (len(counts) - taken)
        if count > share:
            break
        left -= count
    return share


def _scaling(voxels: np.ndarray, channels: tuple[str, ...], most: int) -> tuple[np.ndarray, np.ndarray]:
    distinct = len(np.unique(voxels, axis=0)) if len(voxels) else 0
    if distinct <= most:
        raise StudyError(
            f"Habitats: the training patients have {distinct} different usable voxels, too few for {most} "
            "clusters. Is a channel without values in most lesions?"
        )
    mean, sd = voxels.mean(axis=0), voxels.std(axis=0)
    flat = [
        name for name, spread, level in zip(channels, sd, mean, strict=True) if spread <= 1e-12 * abs(level)
    ]
    if flat:
        raise StudyError(
            f"Habitats: {', '.join(flat)} has the same value in every training voxel. Leave the channel out "
            "or mend the images."
        )
    return mean, sd


def _fit(scores: np.ndarray, k: int, method: Method, seed: int) -> _Fit:
    if method == "kmeans":
        model = KMeans(k, n_init=STARTS, max_iter=STEPS, random_state=seed, algorithm="lloyd").fit(scores)
        labels, centres = model.labels_, model.cluster_centers_
        weights, covariances = np.empty(0), np.empty(0)
        inertia, bic, converged = float(model.inertia_), None, int(model.n_iter_ < STEPS)
    else:
        model = _mixture(scores, k, seed)
        labels, centres = model.predict(scores), model.means_
        weights, covariances = model.weights_, model.covariances_
        inertia, bic, converged = None, float(model.bic(scores)), int(model.converged_)
    full = len(np.unique(labels)) == k
    validity = Validity(
        k=k,
        calinski_harabasz=float(calinski_harabasz_score(scores, labels)) if full else None,
        silhouette=_silhouette(scores, labels, seed),
        inertia=inertia,
        bic=bic,
        converged=converged,
    )
    return _Fit(validity, centres, weights, covariances)


def _mixture(scores: np.ndarray, k: int, seed: int) -> GaussianMixture:
    model = GaussianMixture(k, covariance_type="full", n_init=STARTS, max_iter=STEPS, random_state=seed)
    try:
        return model.fit(scores)
    except ValueError as error:
        raise StudyError(
            f"Habitats: a mixture of {k} Gaussians cannot be fitted ({error}). Use kmeans, fewer clusters, "
            "or channels that do not repeat each other."
        ) from None


def _silhouette(scores: np.ndarray, labels: np.ndarray, seed: int) -> float | None:
    count = min(SILHOUETTE_VOXELS, len(scores))
    drawn = np.random.default_rng(seed).choice(len(scores), size=count, replace=False)
    found = len(np.unique(labels[drawn]))
    return float(silhouette_score(scores[drawn], labels[drawn])) if 1 < found < count else None


def _closeness(habitats: Habitats, scores: np.ndarray) -> np.ndarray:
    """Negative squared distance of every voxel to every centre."""
    squares = [((scores - np.asarray(centre)) ** 2).sum(axis=1) for centre in habitats.centres]
    return -np.stack(squares, axis=1)


def _log_likelihoods(habitats: Habitats, scores: np.ndarray) -> np.ndarray:
    """Log of weight times Gaussian density, short of the constant that all habitats share."""
    parts = []
    for weight, centre, covariance in zip(
        habitats.weights, habitats.centres, habitats.covariances, strict=True
    ):
        root = np.linalg.cholesky(np.asarray(covariance))
        distances = np.linalg.solve(root, (scores - np.asarray(centre)).T)
        log_volume = np.log(np.diag(root)).sum()
        parts.append(np.log(weight) - log_volume - 0.5 * (distances**2).sum(axis=0))
    return np.stack(parts, axis=1)


def _nested(values: np.ndarray) -> tuple[Any, ...]:
    return tuple(_nested(part) if part.ndim else float(part) for part in values)
