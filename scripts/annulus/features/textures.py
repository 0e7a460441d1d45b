"""Texture and first-order features of one region of one filtered image, discretised once for all classes.

The classes are pyradiomics' own, with its repeated work taken out. What stands in for it yields the same
bits. Where that is not asked for, skewness and kurtosis differ by a rounding error, and the maximal
correlation coefficient by a few parts in 1e9, since it is found as a symmetric eigenproblem.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import SimpleITK as sitk
from radiomics import getFeatureClasses
from radiomics.base import RadiomicsFeaturesBase
from radiomics.firstorder import RadiomicsFirstOrder
from radiomics.glcm import RadiomicsGLCM
from radiomics.gldm import RadiomicsGLDM
from radiomics.glrlm import RadiomicsGLRLM
from radiomics.glszm import RadiomicsGLSZM
from radiomics.ngtdm import RadiomicsNGTDM

from annulus.features.lean import add_up, lean, mean_of_numbers, with_globals
from annulus.features.neighbours import NeighbourMatrices

logger = logging.getLogger(__name__)

# Where the texture classes find what was discretised for all of them.
LEVELS = "grey_levels"


@dataclass(frozen=True)
class GreyLevels:
    """A region's grey levels: ``matrix`` holds them inside it and 0 outside, ``present`` lists them."""

    matrix: np.ndarray
    present: np.ndarray
    counts: np.ndarray
    _counted: list[NeighbourMatrices] = field(default_factory=list, repr=False)

    @classmethod
    def of(cls, values: np.ndarray, inside: np.ndarray, setting: Mapping[str, Any]) -> "GreyLevels":
        """Discretise ``values`` inside a region exactly as pyradiomics' ``binImage`` does."""
        wanted = values[inside]
        matrix = np.zeros(values.shape, dtype=int)
        matrix[inside] = np.digitize(wanted, _bin_edges(wanted, setting))
        counts = np.bincount(matrix[inside])
        present = np.flatnonzero(counts)
        return cls(matrix, present, counts[present])

    def matrices(self, setting: Mapping[str, Any]) -> NeighbourMatrices:
        """Return what counts this region's neighbours, once for all classes."""
        if not self._counted:
            force_2d, axis = setting.get("force2D", False), setting.get("force2Ddimension", 0)
            self._counted.append(NeighbourMatrices(self.matrix, force_2d, axis))
        return self._counted[0]


def _bin_edges(wanted: np.ndarray, setting: Mapping[str, Any]) -> np.ndarray:
    # Scalars keep the image's own type, on which pyradiomics' rounding depends.
    low, high = wanted.min(), wanted.max()
    if setting.get("binCount") is not None:
        edges = np.histogram(wanted, setting["binCount"])[1]
        edges[-1] += 1
        return edges
    width = setting.get("binWidth", 25)
    edges = np.arange(low - low % width, high + 2 * width, width)
    if len(edges) == 1:
        return np.array([edges[0] - 0.5, edges[0] + 0.5])
    return edges


class FeatureError(Exception):
    """A class of features that a region does not have; the message says why."""


def texture_features(
    values: np.ndarray,
    mask: sitk.Image,
    spacing: Sequence[float],
    wanted: Mapping[str, Sequence[str]],
    setting: Mapping[str, Any],
    quick: bool,
) -> Iterator[tuple[str, dict[str, float] | FeatureError]]:
    """Yield every class of ``wanted`` with its features' values, or with why there are none.

    ``values`` is the filtered image cut to the region, ``mask`` the region (1 inside, 0 outside),
    ``spacing`` (x, y, z) in mm. ``setting`` is pyradiomics'. ``quick`` lets rounding differ; see above.
    """
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(spacing)
    levels = GreyLevels.of(values, sitk.GetArrayViewFromImage(mask) > 0, setting)
    classes = QUICK_CLASSES if quick else EXACT_CLASSES
    for name, features in wanted.items():
        try:
            yield name, computed(classes[name], features, image, mask, {**setting, LEVELS: levels})
        except FeatureError as error:
            yield name, error


def computed(
    feature_class: type,
    features: Sequence[str],
    image: sitk.Image,
    mask: sitk.Image,
    setting: Mapping[str, Any],
) -> dict[str, float]:
    """Run one of pyradiomics' feature classes. Raises FeatureError, saying why, when it cannot be."""
    try:
        extractor = feature_class(image, mask, **{**setting, "label": 1})
        for feature in features:
            extractor.enableFeatureByName(feature)
        found = extractor.execute()
    except (RuntimeError, ValueError, IndexError, AssertionError) as error:
        # What pyradiomics raises for a region too small or too thin for a matrix.
        raise FeatureError(str(error)) from error
    return {feature: float(value) for feature, value in found.items()}


# Found by reflection, which for every region and filter anew takes as long as some features do.
_NAMES: dict[type, dict[str, bool]] = {}


class _Discretised(RadiomicsFeaturesBase):
    """Takes grey levels from the settings, where ``texture_features`` has put them for every class."""

    @classmethod
    def getFeatureNames(cls) -> dict[str, bool]:  # noqa: N802
        if cls not in _NAMES:
            _NAMES[cls] = super().getFeatureNames()
        return _NAMES[cls]

    def _applyBinning(self, matrix: np.ndarray) -> np.ndarray:  # noqa: N802
        levels: GreyLevels = self.settings[LEVELS]
        self.coefficients["grayLevels"] = levels.present
        self.coefficients["Ng"] = int(levels.present[-1])
        return levels.matrix

    def _calculateMatrix(self, voxelCoordinates: None = None) -> np.ndarray:  # noqa: N802
        """Run pyradiomics' own method with the functions that count together in place of those in C."""
        theirs: Any = super()._calculateMatrix
        matrices = self.settings[LEVELS].matrices(self.settings)
        return with_globals(theirs.__func__, cMatrices=matrices)(self, voxelCoordinates)


PERCENTILES = (10, 25, 50, 75, 90)


@lean
class FirstOrder(_Discretised, RadiomicsFirstOrder):
    """First-order statistics that sort the grey values once instead of once per percentile."""

    def _initCalculation(self, voxelCoordinates: None = None) -> None:  # noqa: N802
        self.targetVoxelArray = self.imageArray[self.maskArray].astype("float").reshape((1, -1))
        self.in_order = np.sort(self.targetVoxelArray, axis=1)
        self.percentiles = dict(
            zip(PERCENTILES, np.percentile(self.in_order, PERCENTILES, axis=1), strict=True)
        )
        counts = self.settings[LEVELS].counts.reshape((1, -1)).astype("float")
        self.coefficients["p_i"] = counts / np.sum(counts, 1, keepdims=True)
        self.deviations = self.targetVoxelArray - np.mean(self.targetVoxelArray, 1, keepdims=True)
        self.squares = np.power(self.deviations, 2)
        self.variance = np.mean(self.squares, 1)

    def getMinimumFeatureValue(self) -> np.ndarray:  # noqa: N802
        return self.in_order[:, 0]

    def getMaximumFeatureValue(self) -> np.ndarray:  # noqa: N802
        return self.in_order[:, -1]

    def getRangeFeatureValue(self) -> np.ndarray:  # noqa: N802
        return self.in_order[:, -1] - self.in_order[:, 0]

    def get10PercentileFeatureValue(self) -> np.ndarray:  # noqa: N802
        return self.percentiles[10]

    def get90PercentileFeatureValue(self) -> np.ndarray:  # noqa: N802
        return self.percentiles[90]

    def getMedianFeatureValue(self) -> np.ndarray:  # noqa: N802
        return self.percentiles[50]

    def getInterquartileRangeFeatureValue(self) -> np.ndarray:  # noqa: N802
        return self.percentiles[75] - self.percentiles[25]

    def getSkewnessFeatureValue(self) -> np.ndarray:  # noqa: N802
        return self._standardised_moment(3)

    def getKurtosisFeatureValue(self) -> np.ndarray:  # noqa: N802
        return self._standardised_moment(4)

    def _standardised_moment(self, order: int) -> np.ndarray:
        if self.variance[0] == 0:
            return np.zeros(1)
        return np.mean(self._power(order), 1) / self.variance ** (order / 2)

    def _power(self, order: int) -> np.ndarray:
        return np.power(self.deviations, order)


class QuickFirstOrder(FirstOrder):
    """First-order statistics whose third and fourth powers are products, a rounding error apart."""

    def _power(self, order: int) -> np.ndarray:
        return self.squares * (self.squares if order == 4 else self.deviations)


@lean
class GLCM(_Discretised, RadiomicsGLCM):
    """Co-occurrence features that sum diagonals, and raise powers, once per diagonal."""

    def _calculateCoefficients(self) -> None:  # noqa: N802
        if self.P_glcm.shape[3] == 1:
            # Over a single angle numpy adds in another order than over several.
            super()._calculateCoefficients()
            self.sums = None
            return
        present = self.coefficients["grayLevels"]
        levels, highest = present.astype("float"), self.coefficients["Ng"]
        eps = np.spacing(1)
        i, j = np.meshgrid(levels, levels, indexing="ij", sparse=True)
        matrix = self.P_glcm
        self.sums = present[:, None] + present[None, :]
        self.diagonals, place = np.unique(self.sums, return_inverse=True)
        self.place = place.reshape(self.sums.shape)
        self.coefficients |= {
            "eps": eps,
            "i": i,
            "j": j,
            "kValuesSum": np.arange(2, highest * 2 + 1, dtype="float"),
            "kValuesDiff": np.arange(0, highest, dtype="float"),
            "px": matrix.sum(2, keepdims=True),
            "py": matrix.sum(1, keepdims=True),
            "ux": np.sum(i[None, :, :, None] * matrix, (1, 2), keepdims=True),
            "uy": np.sum(j[None, :, :, None] * matrix, (1, 2), keepdims=True),
            "pxAddy": self._over_diagonals(self.sums, 2, highest * 2 + 1),
            "pxSuby": self._over_diagonals(np.abs(present[:, None] - present[None, :]), 0, highest),
            "HXY": -1 * np.sum(matrix * np.log2(matrix + eps), (1, 2)),
        }

    def _over_diagonals(self, diagonal: np.ndarray, first: int, end: int) -> np.ndarray:
        """Sum every angle's matrix over cells of the same ``diagonal``, from ``first`` to before ``end``."""
        angles = [
            np.bincount(diagonal.ravel(), self.P_glcm[0, :, :, angle].ravel(), end)[first:end]
            for angle in range(self.P_glcm.shape[3])
        ]
        return np.ascontiguousarray(np.stack(angles, axis=1)[None])

    def _cluster(self, power: int) -> np.ndarray:
        ux, uy = self.coefficients["ux"][0, 0, 0], self.coefficients["uy"][0, 0, 0]
        raised = (self.diagonals.astype("float")[:, None] - ux - uy) ** power
        return mean_of_numbers(add_up(self.P_glcm * raised[self.place][None], (1, 2)), 1)

    def getClusterProminenceFeatureValue(self) -> np.ndarray:  # noqa: N802
        return super().getClusterProminenceFeatureValue() if self.sums is None else self._cluster(4)

    def getClusterShadeFeatureValue(self) -> np.ndarray:  # noqa: N802
        return super().getClusterShadeFeatureValue() if self.sums is None else self._cluster(3)

    def getClusterTendencyFeatureValue(self) -> np.ndarray:  # noqa: N802
        return super().getClusterTendencyFeatureValue() if self.sums is None else self._cluster(2)


class SymmetricGLCM(GLCM):
    """Co-occurrence features with the maximal correlation coefficient as a singular value."""

    def getMCCFeatureValue(self) -> float | np.ndarray:  # noqa: N802
        """Return the second largest singular value of P scaled by its margins, averaged over angles.

        Q of pyradiomics' definition is similar to S S^T with S = D_x^-1/2 P D_y^-1/2.
        """
        if self.P_glcm.shape[1] < 2:
            return 1.0
        matrices = np.moveaxis(self.P_glcm[0], -1, 0)
        rows, columns = (np.sqrt(matrices.sum(axis)) for axis in (2, 1))
        divisor = rows[:, :, None] * columns[:, None, :]
        scaled = np.divide(matrices, divisor, out=np.zeros_like(matrices), where=divisor > 0)
        if self.symmetricalGLCM:
            values = np.sort(np.abs(np.linalg.eigvalsh(scaled)), axis=1)
        else:
            values = np.sort(np.linalg.svd(scaled, compute_uv=False), axis=1)
        return np.array([np.mean(values[:, -2])])


@lean
class GLRLM(_Discretised, RadiomicsGLRLM):
    """Run length features."""


@lean
class GLSZM(_Discretised, RadiomicsGLSZM):
    """Size zone features."""


@lean
class GLDM(_Discretised, RadiomicsGLDM):
    """Dependence features."""


@lean
class NGTDM(_Discretised, RadiomicsNGTDM):
    """Grey tone difference features."""


EXACT_CLASSES: Mapping[str, type] = {
    "firstorder": FirstOrder, "glcm": GLCM, "glrlm": GLRLM, "glszm": GLSZM, "gldm": GLDM, "ngtdm": NGTDM,
}  # fmt: skip
QUICK_CLASSES: Mapping[str, type] = {
    **EXACT_CLASSES, "firstorder": QuickFirstOrder, "glcm": SymmetricGLCM,
}  # fmt: skip
SHAPE_CLASSES: Mapping[str, type] = {name: getFeatureClasses()[name] for name in ("shape", "shape2D")}
