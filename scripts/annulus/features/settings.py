"""Extraction settings, and the feature columns that they must yield, known before any image is read."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from radiomics import getFeatureClasses

from annulus.errors import StudyError
from annulus.features.ignored import WITHOUT_EFFECT
from annulus.imaging.preparing import Preparation

WAVELET_BANDS = {
    2: tuple(a + b for a in "LH" for b in "LH"),
    3: tuple(a + b + c for a in "LH" for b in "LH" for c in "LH"),
}
FILTER_NAMES = {
    "Original": "original",
    "Square": "square",
    "SquareRoot": "squareroot",
    "Logarithm": "logarithm",
    "Exponential": "exponential",
    "Gradient": "gradient",
    "LBP2D": "lbp-2D",
}
# What pyradiomics fills in for a parameter file that does not say otherwise.
DEFAULTS: Mapping[str, Any] = {
    "minimumROIDimensions": 2,
    "minimumROISize": None,
    "normalize": False,
    "normalizeScale": 1,
    "removeOutliers": None,
    "resampledPixelSpacing": None,
    "interpolator": "sitkBSpline",
    "preCrop": False,
    "padDistance": 5,
    "distances": [1],
    "force2D": False,
    "force2Ddimension": 0,
    "resegmentRange": None,
}

# Only a lesion has a shape of its own; a ring's is that of the lesion inside it.
SHAPED = ("tumour", "node")


@dataclass(frozen=True)
class Settings:
    """One kind of image's extraction settings: a file of ``config/imaging/``, checked by its schema.

    ``mode`` is ``shared`` or ``compatible``; see docs/features.md.
    """

    image_types: Mapping[str, Mapping[str, Any]]
    feature_classes: Mapping[str, list[str] | None]
    setting: Mapping[str, Any]
    normalise_within: str
    preparation: Preparation
    mode: str
    _names: dict[tuple[int, bool], tuple[str, ...]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, content: Mapping[str, Any], mode: str = "shared") -> "Settings":
        """Read the content of a settings file."""
        given = {key: value for key, value in content["setting"].items() if key not in WITHOUT_EFFECT}
        preparation = Preparation.of(content)
        return cls(
            image_types={name: args or {} for name, args in content["imageType"].items()},
            feature_classes=dict(content["featureClass"]),
            setting={**DEFAULTS, **given},
            normalise_within=preparation.normalise_within,
            preparation=preparation,
            mode=mode,
        )

    @property
    def sha256(self) -> str:
        """Hash of everything that decides the values."""
        parts = [self.image_types, self.feature_classes, self.setting, self.normalise_within, self.mode]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def spacing(self) -> tuple[float, ...]:
        """Pixel size after resampling along x, y (and z) in mm, 0 for the image's own; empty for none."""
        return self.preparation.spacing_mm

    def setting_of(self, kind: str) -> dict[str, Any]:
        """Return the settings of one filter: its own over those of the file."""
        return {**self.setting, **self.image_types[kind]}

    def filters(self, dimension: int) -> list[str]:
        """Name the filtered images that these settings yield, in pyradiomics' own words."""
        return [name for kind in self.image_types for name in self._filters_of(kind, dimension)]

    def _filters_of(self, kind: str, dimension: int) -> list[str]:
        if kind == "Wavelet":
            return list(self._wavelet_bands(dimension))
        if kind == "LoG":
            sigmas = self.setting_of(kind)["sigma"]
            return [f"log-sigma-{str(sigma).replace('.', '-')}-mm-3D" for sigma in sigmas]
        return [FILTER_NAMES[kind]]

    def _wavelet_bands(self, dimension: int) -> Iterator[str]:
        levels = self.setting_of("Wavelet").get("level", 1)
        flat = self.setting["force2D"] and dimension == 3
        bands = WAVELET_BANDS[dimension - int(flat)]
        for level in range(1, levels + 1):
            number = "" if level == 1 else str(level)
            # Only the last level keeps its approximation, the band of low passes alone.
            yield from (f"wavelet{number}-{band}" for band in bands[1:])
        yield f"wavelet{'' if levels == 1 else levels}-{bands[0]}"

    def texture_features(self) -> dict[str, list[str]]:
        """Return the features of every class but shape."""
        return {
            name: _features_of(name, wanted)
            for name, wanted in self.feature_classes.items()
            if not name.startswith("shape")
        }

    def shape_features(self, dimension: int) -> dict[str, list[str]]:
        """Return the features of the shape classes that images of ``dimension`` have."""
        flat = dimension == 2 or self.setting["force2D"]
        possible = [name for name, has in (("shape", dimension == 3), ("shape2D", flat)) if has]
        return {
            name: _features_of(name, self.feature_classes[name])
            for name in possible
            if name in self.feature_classes
        }

    def column_names(self, dimension: int, kind: str) -> tuple[str, ...]:
        """Name every value of one region of ``kind``: ``<filter>_<class>_<feature>``."""
        key = (dimension, kind in SHAPED)
        if key not in self._names:
            self._names[key] = tuple("_".join(parts) for parts in self.columns(dimension, kind))
        return self._names[key]

    def columns(self, dimension: int, kind: str) -> Iterator[tuple[str, str, str]]:
        """Yield filter, class and feature of every value of one region of ``kind``."""
        if kind in SHAPED:
            for name, features in self.shape_features(dimension).items():
                for feature in features:
                    yield "original", name, feature
        for image in self.filters(dimension):
            for name, features in self.texture_features().items():
                for feature in features:
                    yield image, name, feature


@cache
def _known_features(name: str) -> tuple[str, ...]:
    # pyradiomics finds them by reflection, which is slow when done for every region.
    found = getFeatureClasses()[name].getFeatureNames()
    return tuple(feature for feature, deprecated in found.items() if not deprecated)


def _features_of(name: str, wanted: list[str] | None) -> list[str]:
    known = _known_features(name)
    if not wanted:
        return list(known)
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        raise StudyError(
            f"imaging settings, featureClass.{name}: pyradiomics has no feature "
            f"{', '.join(unknown)}. It has {', '.join(known)}."
        )
    return list(wanted)
