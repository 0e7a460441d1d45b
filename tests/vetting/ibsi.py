"""The reference values of IBSI-1: the digital phantom, and the CT phantom in configurations C, D and E."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from vetting.ibsi_preprocessing import SPACING_MM, Configuration, Prepared, prepare
from vetting.rows import About, Convention, DataAbsent, Row, columns_of, judged

from annulus.features.extraction import extract_image
from annulus.features.regions import RegionMask
from annulus.features.settings import Settings
from annulus.features.textures import Crop, GreyLevels, texture_features
from annulus.imaging.reading import Image, read_image

DIGITAL, CT = "IBSI-1 digital phantom", "IBSI-1 CT phantom"
FOLDER = Path(__file__).parents[3] / "shared" / "data" / "ibsi"
MODES = ("shared", "compatible")
TEXTURES = ("firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")

# IBSI gives three significant digits; its own tolerance may be less than what rounding took away.
GIVEN_DIGITS = 3

# IBSI's tags by pyradiomics' class and feature. GLCM and GLRLM features are averaged over the 13 directions
# (3D_avg), not computed from the merged matrix, since that is what pyradiomics does.
SHAPE = {
    "MeshVolume": "volume", "VoxelVolume": "vol_approx", "SurfaceArea": "area_mesh",
    "SurfaceVolumeRatio": "av", "Sphericity": "sphericity", "Maximum3DDiameter": "diam",
    "MajorAxisLength": "pca_maj_axis", "MinorAxisLength": "pca_min_axis",
    "LeastAxisLength": "pca_least_axis", "Elongation": "pca_elongation", "Flatness": "pca_flatness",
}  # fmt: skip
FIRSTORDER = {
    "Mean": "mean", "Variance": "var", "Skewness": "skew", "Kurtosis": "kurt", "Median": "median",
    "Minimum": "min", "10Percentile": "p10", "90Percentile": "p90", "Maximum": "max",
    "InterquartileRange": "iqr", "Range": "range", "MeanAbsoluteDeviation": "mad",
    "RobustMeanAbsoluteDeviation": "rmad", "Energy": "energy", "RootMeanSquared": "rms",
}  # fmt: skip
HISTOGRAM = {"Entropy": "entropy", "Uniformity": "uniformity"}
GLCM = {
    "MaximumProbability": "joint_max", "JointAverage": "joint_avg", "SumSquares": "joint_var",
    "JointEntropy": "joint_entr", "DifferenceAverage": "diff_avg", "DifferenceVariance": "diff_var",
    "DifferenceEntropy": "diff_entr", "SumAverage": "sum_avg", "SumEntropy": "sum_entr",
    "JointEnergy": "energy", "Contrast": "contrast", "Id": "inv_diff", "Idn": "inv_diff_norm",
    "Idm": "inv_diff_mom", "Idmn": "inv_diff_mom_norm", "InverseVariance": "inv_var",
    "Correlation": "corr", "Autocorrelation": "auto_corr", "ClusterTendency": "clust_tend",
    "ClusterShade": "clust_shade", "ClusterProminence": "clust_prom", "Imc1": "info_corr1",
    "Imc2": "info_corr2",
}  # fmt: skip
GLRLM = {
    "ShortRunEmphasis": "sre", "LongRunEmphasis": "lre", "LowGrayLevelRunEmphasis": "lgre",
    "HighGrayLevelRunEmphasis": "hgre", "ShortRunLowGrayLevelEmphasis": "srlge",
    "ShortRunHighGrayLevelEmphasis": "srhge", "LongRunLowGrayLevelEmphasis": "lrlge",
    "LongRunHighGrayLevelEmphasis": "lrhge", "GrayLevelNonUniformity": "glnu",
    "GrayLevelNonUniformityNormalized": "glnu_norm", "RunLengthNonUniformity": "rlnu",
    "RunLengthNonUniformityNormalized": "rlnu_norm", "RunPercentage": "r_perc",
    "GrayLevelVariance": "gl_var", "RunVariance": "rl_var", "RunEntropy": "rl_entr",
}  # fmt: skip
GLSZM = {
    "SmallAreaEmphasis": "sze", "LargeAreaEmphasis": "lze", "LowGrayLevelZoneEmphasis": "lgze",
    "HighGrayLevelZoneEmphasis": "hgze", "SmallAreaLowGrayLevelEmphasis": "szlge",
    "SmallAreaHighGrayLevelEmphasis": "szhge", "LargeAreaLowGrayLevelEmphasis": "lzlge",
    "LargeAreaHighGrayLevelEmphasis": "lzhge", "GrayLevelNonUniformity": "glnu",
    "GrayLevelNonUniformityNormalized": "glnu_norm", "SizeZoneNonUniformity": "zsnu",
    "SizeZoneNonUniformityNormalized": "zsnu_norm", "ZonePercentage": "z_perc",
    "GrayLevelVariance": "gl_var", "ZoneVariance": "zs_var", "ZoneEntropy": "zs_entr",
}  # fmt: skip
GLDM = {
    "SmallDependenceEmphasis": "lde", "LargeDependenceEmphasis": "hde", "LowGrayLevelEmphasis": "lgce",
    "HighGrayLevelEmphasis": "hgce", "SmallDependenceLowGrayLevelEmphasis": "ldlge",
    "SmallDependenceHighGrayLevelEmphasis": "ldhge", "LargeDependenceLowGrayLevelEmphasis": "hdlge",
    "LargeDependenceHighGrayLevelEmphasis": "hdhge", "GrayLevelNonUniformity": "glnu",
    "DependenceNonUniformity": "dcnu", "DependenceNonUniformityNormalized": "dcnu_norm",
    "GrayLevelVariance": "gl_var", "DependenceVariance": "dc_var", "DependenceEntropy": "dc_entr",
}  # fmt: skip
NGTDM = {name.capitalize(): name for name in ("coarseness", "contrast", "busyness", "complexity", "strength")}
TAGS: Mapping[tuple[str, str], str] = {
    (feature_class, feature): tag.format(own)
    for feature_class, tag, features in (
        ("shape", "morph_{}", SHAPE),
        ("firstorder", "stat_{}", FIRSTORDER),
        ("firstorder", "ih_{}", HISTOGRAM),
        ("glcm", "cm_{}_3D_avg", GLCM),
        ("glrlm", "rlm_{}_3D_avg", GLRLM),
        ("glszm", "szm_{}_3D", GLSZM),
        ("gldm", "ngl_{}_3D", GLDM),
        ("ngtdm", "ngt_{}_3D", NGTDM),
    )
    for feature, own in features.items()
}


@dataclass(frozen=True)
class Reference:
    """A reference value and the difference that IBSI allows."""

    value: float
    tolerance: float


@dataclass(frozen=True)
class Phantom:
    """A phantom ready for features: ``outline`` for shape, ``inside`` for grey values."""

    image: Image
    outline: np.ndarray
    inside: np.ndarray
    binning: Mapping[str, Any]
    first_bin: float | None

    def values(self, mode: str) -> dict[tuple[str, str], float]:
        """Extract every feature that IBSI defines, by class and feature."""
        shape = self._extracted(self.outline, {"shape": None}, mode)
        return shape | self._extracted(self.inside, dict.fromkeys(TEXTURES), mode)

    def _extracted(
        self, inside: np.ndarray, classes: dict[str, None], mode: str
    ) -> dict[tuple[str, str], float]:
        content = {"imageType": {"Original": None}, "featureClass": classes, "setting": dict(self.binning)}
        region = RegionMask.of("roi", "tumour", inside)
        values, failures = extract_image(self.image, [region], None, Settings.of(content, mode))
        if failures:
            raise AssertionError(f"IBSI phantom: {failures[0]}")
        return {(c, f): value for (_, c, f), value in columns_of(values, "roi").items()}

    @cached_property
    def crop(self) -> Crop:
        """The grey values as texture classes see them."""
        window = RegionMask.of("roi", "tumour", self.inside).window.slices
        values = self.image.array[window]
        return Crop(values, self.inside[window], self.image.spacing, dict(self.binning))

    @cached_property
    def shift(self) -> int:
        """How many grey levels IBSI counts below the lowest bin of the region, which pyradiomics calls 1."""
        if self.first_bin is None:
            return 0
        width = self.binning["binWidth"]
        lowest = self.image.array[self.inside].min()
        return int((lowest - self.first_bin) // width)

    @cached_property
    def by_ibsi_numbering(self) -> dict[tuple[str, str], float]:
        """Features with the grey levels numbered from IBSI's first bin."""
        if not self.shift:
            return {}
        wanted = {c: [f for own, f in TAGS if own == c] for c in TEXTURES if c != "firstorder"}
        renumbered = _Renumbered(self.crop, self.shift)
        found = texture_features(renumbered, wanted, quick=False)
        return {(c, f): value for c, own in found for f, value in own.items()}  # type: ignore[union-attr]


class _Renumbered(Crop):
    """A crop whose grey levels begin ``shift`` higher."""

    def __init__(self, crop: Crop, shift: int) -> None:
        super().__init__(crop.values, crop.inside, crop.spacing, crop.setting)
        levels = crop.levels
        matrix = np.where(crop.inside, levels.matrix + shift, 0)
        self.__dict__["levels"] = GreyLevels(matrix, levels.present + shift, levels.counts)


def digital_rows() -> Iterator[Row]:
    """Yield the digital phantom's values in both modes."""
    image, mask = _read("digital_phantom")
    phantom = Phantom(image, mask, mask, {"binWidth": 1}, None)
    yield from _rows(phantom, DIGITAL, "digital phantom", "binWidth 1", "dig_phantom")


def ct_rows(configuration: Configuration) -> Iterator[Row]:
    """Yield the CT phantom's values in one configuration, in both modes."""
    image, mask = _read("ct_phantom")
    prepared = prepare(image.array, mask, image.spacing, configuration)
    pixels = sitk.GetImageFromArray(prepared.values)
    pixels.SetSpacing((SPACING_MM,) * 3)
    phantom = Phantom(
        Image(pixels, "header", ""),
        prepared.outline,
        prepared.inside,
        configuration.binning,
        configuration.first_bin_hu,
    )
    binning = " ".join(f"{key} {value}" for key, value in configuration.binning.items())
    name = configuration.name
    yield from _rows(phantom, CT, f"configuration {name}", binning, f"chest_config_{name.lower()}")


def prepared_ct(configuration: Configuration) -> tuple[Prepared, dict[str, Reference]]:
    """Return the prepared CT phantom with IBSI's numbers of it, for a test of the preparation itself."""
    image, mask = _read("ct_phantom")
    references = read_references(f"chest_config_{configuration.name.lower()}")
    return prepare(image.array, mask, image.spacing, configuration), references


def _rows(phantom: Phantom, oracle: str, case: str, setting: str, file: str) -> Iterator[Row]:
    references = read_references(file)
    for mode in MODES:
        about = About(oracle, case, mode, setting, "oracle")
        found = phantom.values(mode)
        for (feature_class, feature), tag in TAGS.items():
            reference = references[tag]
            value = found[feature_class, feature]
            yield judged(
                about,
                ("original", feature_class, feature),
                reference.value,
                value,
                max(reference.tolerance, rounding(reference.value)),
                _convention(phantom, feature_class, feature, value),
            )


def _convention(phantom: Phantom, feature_class: str, feature: str, value: float) -> Convention | None:
    if (feature_class, feature) == ("firstorder", "Kurtosis"):
        return Convention("pyradiomics does not subtract 3, the kurtosis of a normal distribution", value - 3)
    if feature.endswith("AxisLength"):
        n = int(phantom.outline.sum())
        return Convention(
            f"pyradiomics divides the covariance of the {n} voxel centres by n, IBSI by n minus 1",
            value * (n / (n - 1)) ** 0.5,
        )
    renumbered = phantom.by_ibsi_numbering.get((feature_class, feature))
    if renumbered is None:
        return None
    return Convention(
        f"grey levels are numbered from the region's lowest bin, by IBSI from {phantom.first_bin:g} HU, "
        f"which is {phantom.shift} levels lower; converted by numbering them as IBSI does and computing anew",
        renumbered,
    )


def rounding(value: float) -> float:
    """Return how much rounding to three significant digits may have changed a value."""
    if value == 0:
        return 0.0
    return 0.5 * 10.0 ** (np.floor(np.log10(abs(value))) - GIVEN_DIGITS + 1)


def read_references(name: str) -> dict[str, Reference]:
    """Read IBSI's values by tag; tags without a value are left out."""
    path = FOLDER / "reference_values" / f"ibsi_1_{name}.csv"
    if not path.is_file():
        raise DataAbsent(f"IBSI's reference values are absent ({path})")
    with path.open(encoding="utf-8", newline="") as stream:
        return {
            row["tag"]: Reference(float(row["reference value"]), float(row["tolerance"]))
            for row in csv.DictReader(stream, delimiter=";")
            if row["reference value"].strip()
        }


def _read(name: str) -> tuple[Image, np.ndarray]:
    folder = FOLDER / name / "nifti"
    path = folder / "image" / "phantom.nii.gz"
    if not path.is_file():
        raise DataAbsent(f"IBSI's phantom is absent ({path})")
    mask = sitk.ReadImage(str(folder / "mask" / "mask.nii.gz"))
    return read_image(path), sitk.GetArrayFromImage(mask) > 0
