"""Texture and first-order features of one region of one filtered image, discretised once for all classes.

The classes are pyradiomics' own, with its repeated work taken out; what stands in for it yields the same
bits. Where those are not asked for, the quick classes take shorter ways to the same definitions
(``formulas``) and differ by rounding: a part in 1e10, of the maximal correlation coefficient in 1e8.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
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

from annulus.features.formulas import cooccurrence_features, maximal_correlation, size_features
from annulus.features.lean import LEAN, add_up, lean, mean_of_numbers, with_globals
from annulus.features.neighbours import NeighbourMatrices

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GreyLevels:
    """A region's grey levels: ``matrix`` holds them inside it and 0 outside, ``present`` lists them."""

    matrix: np.ndarray
    present: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, inside: np.ndarray, setting: Mapping[str, Any]) -> "GreyLevels":
        """Discretise ``values`` inside a region exactly as pyradiomics' ``binImage`` does."""
        wanted = values[inside]
        matrix = np.zeros(values.shape, dtype=int)
        matrix[inside] = np.digitize(wanted, _bin_edges(wanted, setting))
        counts = np.bincount(matrix[inside])
        present = np.flatnonzero(counts)
        return cls(matrix, present, counts[present])


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


# What is raised for a region too small or too thin for a matrix, or with more grey levels than memory.
FAILURES = (RuntimeError, ValueError, IndexError, ArithmeticError, AssertionError, MemoryError)


class FeatureError(Exception):
    """A class of features that a region does not have; the message says why."""


@dataclass(frozen=True)
class Crop:
    """A filtered image cut to a region, the region, the spacing (x, y, z) in mm and pyradiomics' settings."""

    values: np.ndarray
    inside: np.ndarray
    spacing: Sequence[float]
    setting: Mapping[str, Any]

    @cached_property
    def levels(self) -> GreyLevels:
        """Grey levels, the same for all classes."""
        return GreyLevels.of(self.values, self.inside, self.setting)

    @cached_property
    def matrices(self) -> NeighbourMatrices:
        """What counts neighbours, once for all classes."""
        force_2d, axis = self.setting.get("force2D", False), self.setting.get("force2Ddimension", 0)
        return NeighbourMatrices(self.levels.matrix, force_2d, axis)

    def GetSpacing(self) -> Sequence[float]:  # noqa: N802
        """Return the spacing: all that feature classes ask of an image beside its grey values."""
        return self.spacing


def texture_features(
    crop: Crop, wanted: Mapping[str, Sequence[str]], quick: bool
) -> Iterator[tuple[str, dict[str, float] | FeatureError]]:
    """Yield every class of ``wanted`` with its features' values, or with why there are none.

    ``quick`` lets rounding differ; see above.
    """
    classes = QUICK_CLASSES if quick else EXACT_CLASSES
    for name, features in wanted.items():
        try:
            yield name, _computed(partial(classes[name], crop), features)
        except FeatureError as error:
            yield name, error


def shape_features(
    name: str, mask: sitk.Image, features: Sequence[str], setting: Mapping[str, Any]
) -> dict[str, float]:
    """Return the features of a shape class of a mask (1 inside, 0 outside).

    Raises FeatureError, saying why, when it has none.
    """
    return _computed(lambda: SHAPE_CLASSES[name](mask, mask, **{**setting, "label": 1}), features)


def _computed(set_up: Callable[[], Any], features: Sequence[str]) -> dict[str, float]:
    """Run one of pyradiomics' feature classes; a feature that fails is not a number, as it is there."""
    try:
        extractor = set_up()
        extractor._initCalculation()
    except FAILURES as error:
        raise FeatureError(str(error)) from error
    if hasattr(extractor, "all_features"):
        found = extractor.all_features(features)
        return {feature: found[feature] for feature in features}
    return {feature: _value(extractor, feature) for feature in features}


def _value(extractor: Any, feature: str) -> float:
    try:
        found = getattr(extractor, f"get{feature}FeatureValue")()
    except FAILURES as error:
        logger.warning("%s: %s", feature, error)
        return np.nan
    return found.item() if isinstance(found, np.ndarray) else float(found)


class _Discretised(RadiomicsFeaturesBase):
    """Sets a feature class up from a crop that all classes share."""

    def __init__(self, crop: Crop) -> None:
        setting = crop.setting
        self.logger = logging.getLogger("radiomics")
        self.crop, self.settings = crop, setting
        self.inputImage, self.pixelSpacing = crop, crop.spacing
        self.maskArray = crop.inside
        self.label, self.voxelBased = 1, False
        self.symmetricalGLCM = setting.get("symmetricalGLCM", True)
        self.weightingNorm = setting.get("weightingNorm")
        self.gldm_a = setting.get("gldm_a", 0)
        self.voxelArrayShift = setting.get("voxelArrayShift", 0)
        self.imageArray = crop.levels.matrix
        self.coefficients: dict[str, Any] = {
            "grayLevels": crop.levels.present,
            "Ng": int(crop.levels.present[-1]),
        }

    def _calculateMatrix(self, voxelCoordinates: None = None) -> np.ndarray:  # noqa: N802
        """Run pyradiomics' own method with the functions that count together in place of those in C."""
        theirs: Any = super()._calculateMatrix
        counting = with_globals(theirs.__func__, cMatrices=self.crop.matrices, numpy=LEAN)
        return counting(self, voxelCoordinates)


PERCENTILES = (10, 25, 75, 90)


@lean
class FirstOrder(_Discretised, RadiomicsFirstOrder):
    """First-order statistics that sort the grey values once instead of once per percentile."""

    def _initCalculation(self, voxelCoordinates: None = None) -> None:  # noqa: N802
        self.targetVoxelArray = self.crop.values[self.maskArray].astype("float").reshape((1, -1))
        self.in_order = np.sort(self.targetVoxelArray, axis=1)
        self.percentiles = dict(
            zip(PERCENTILES, np.percentile(self.in_order, PERCENTILES, axis=1), strict=True)
        )
        counts = self.crop.levels.counts.reshape((1, -1)).astype("float")
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
        # A percentile of 50 rounds otherwise than the mean of the two values in the middle.
        count = self.in_order.shape[1]
        return np.mean(self.in_order[:, (count - 1) // 2 : count // 2 + 1], axis=1)

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


class QuickGLCM(GLCM):
    """Co-occurrence features by shorter ways to the same definitions."""

    def _calculateCoefficients(self) -> None:  # noqa: N802
        """Need none: everything is taken from the matrix at once."""

    def all_features(self, wanted: Sequence[str]) -> dict[str, float]:
        """Return every feature; the maximal correlation coefficient, which takes longest, if wanted."""
        matrix, present = self.P_glcm[0], self.coefficients["grayLevels"]
        highest = self.coefficients["Ng"]
        sums = self._over_diagonals(present[:, None] + present[None, :], 2, highest * 2 + 1)[0]
        differences = self._over_diagonals(np.abs(present[:, None] - present[None, :]), 0, highest)[0]
        found = cooccurrence_features(matrix, present, sums, differences)
        if "MCC" in wanted:
            found["MCC"] = maximal_correlation(matrix, self.symmetricalGLCM)
        return found


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


class QuickGLRLM(GLRLM):
    """Run length features, all at once."""

    def all_features(self, wanted: Sequence[str]) -> dict[str, float]:
        """Return every feature."""
        given = self.coefficients
        return _by_name(self.P_glrlm[0], given["ivector"], given["jvector"], RUNS)


class QuickGLSZM(GLSZM):
    """Size zone features, all at once."""

    def all_features(self, wanted: Sequence[str]) -> dict[str, float]:
        """Return every feature."""
        given = self.coefficients
        return _by_name(self.P_glszm[0, :, :, None], given["ivector"], given["jvector"], ZONES)


class QuickGLDM(GLDM):
    """Dependence features, all at once."""

    def all_features(self, wanted: Sequence[str]) -> dict[str, float]:
        """Return every feature."""
        given = self.coefficients
        return _by_name(self.P_gldm[0, :, :, None], given["ivector"], given["jvector"], DEPENDENCES)


def _by_name(
    matrix: np.ndarray, levels: np.ndarray, sizes: np.ndarray, names: Mapping[str, str]
) -> dict[str, float]:
    found = size_features(matrix, levels, sizes)
    return {name: found[key] for name, key in names.items()}


def _names(size: str, short: str, long: str, grey: str, thing: str) -> dict[str, str]:
    """Return pyradiomics' names of a class's features with those of ``size_features``."""
    emphases = {
        f"{short}{thing}Emphasis": "short",
        f"{long}{thing}Emphasis": "long",
        f"LowGrayLevel{grey}Emphasis": "low",
        f"HighGrayLevel{grey}Emphasis": "high",
        f"{short}{thing}LowGrayLevelEmphasis": "short low",
        f"{short}{thing}HighGrayLevelEmphasis": "short high",
        f"{long}{thing}LowGrayLevelEmphasis": "long low",
        f"{long}{thing}HighGrayLevelEmphasis": "long high",
    }
    return emphases | {
        "GrayLevelNonUniformity": "level nonuniformity",
        "GrayLevelNonUniformityNormalized": "level nonuniformity normalised",
        f"{size}NonUniformity": "size nonuniformity",
        f"{size}NonUniformityNormalized": "size nonuniformity normalised",
        "GrayLevelVariance": "level variance",
    }


RUNS = _names("RunLength", "Short", "Long", "Run", "Run") | {
    "RunPercentage": "percentage", "RunVariance": "size variance", "RunEntropy": "entropy",
}  # fmt: skip
ZONES = _names("SizeZone", "Small", "Large", "Zone", "Area") | {
    "ZonePercentage": "percentage", "ZoneVariance": "size variance", "ZoneEntropy": "entropy",
}  # fmt: skip
DEPENDENCES = _names("Dependence", "Small", "Large", "", "Dependence") | {
    "DependenceVariance": "size variance", "DependenceEntropy": "entropy",
}  # fmt: skip

EXACT_CLASSES: Mapping[str, type] = {
    "firstorder": FirstOrder, "glcm": GLCM, "glrlm": GLRLM, "glszm": GLSZM, "gldm": GLDM, "ngtdm": NGTDM,
}  # fmt: skip
QUICK_CLASSES: Mapping[str, type] = {
    **EXACT_CLASSES, "firstorder": QuickFirstOrder, "glcm": QuickGLCM, "glrlm": QuickGLRLM,
    "glszm": QuickGLSZM, "gldm": QuickGLDM,
}  # fmt: skip
SHAPE_CLASSES: Mapping[str, type] = {name: getFeatureClasses()[name] for name in ("shape", "shape2D")}
