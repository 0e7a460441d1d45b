"""Extraction settings, and the feature columns that they must yield, known before any image is read."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from radiomics import getFeatureClasses

from annulus.errors import StudyError
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
}
# Only a lesion has a shape of its own; a ring's is that of the lesion inside it.
SHAPED = ("tumour", "node")
SHAPE_CLASSES = {2: "shape2D", 3: "shape"}


@dataclass(frozen=True)
class Settings:
    """One kind of image's extraction settings: a file of ``config/imaging/``, checked by its schema."""

    image_types: Mapping[str, Mapping[str, Any]]
    feature_classes: Mapping[str, list[str] | None]
    setting: Mapping[str, Any]
    normalise_within: str
    preparation: Preparation

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Settings":
        """Read the content of a settings file."""
        return cls(
            image_types={name: args or {} for name, args in content["imageType"].items()},
            feature_classes=dict(content["featureClass"]),
            setting=dict(content["setting"]),
            normalise_within=content.get("normalise_within", "none"),
            preparation=Preparation.of(content),
        )

    @property
    def sha256(self) -> str:
        """Hash of everything that decides the values."""
        content = json.dumps(
            [self.image_types, self.feature_classes, self.setting, self.normalise_within],
            sort_keys=True,
        )
        return hashlib.sha256(content.encode()).hexdigest()

    def filters(self, dimension: int) -> list[str]:
        """Name the filtered images that these settings yield, in pyradiomics' own words."""
        return [name for kind in self.image_types for name in self._filters_of(kind, dimension)]

    def _filters_of(self, kind: str, dimension: int) -> list[str]:
        if kind == "Wavelet":
            return [f"wavelet-{band}" for band in WAVELET_BANDS[dimension]]
        if kind == "LoG":
            sigmas = self.image_types[kind]["sigma"]
            return [f"log-sigma-{str(sigma).replace('.', '-')}-mm-3D" for sigma in sigmas]
        return [FILTER_NAMES[kind]]

    def texture_features(self) -> dict[str, list[str]]:
        """Return the features of every class but shape."""
        return {
            name: _features_of(name, wanted)
            for name, wanted in self.feature_classes.items()
            if not name.startswith("shape")
        }

    def shape_features(self, dimension: int) -> tuple[str, list[str]] | None:
        """Return the shape class for images of ``dimension`` and its features, where asked for."""
        name = SHAPE_CLASSES[dimension]
        if name not in self.feature_classes:
            return None
        return name, _features_of(name, self.feature_classes[name])

    def columns(self, dimension: int, kind: str) -> Iterator[tuple[str, str, str]]:
        """Yield filter, class and feature of every value of one region of ``kind``."""
        shape = self.shape_features(dimension)
        if kind in SHAPED and shape:
            for feature in shape[1]:
                yield "original", shape[0], feature
        for image in self.filters(dimension):
            for name, features in self.texture_features().items():
                for feature in features:
                    yield image, name, feature


def _features_of(name: str, wanted: list[str] | None) -> list[str]:
    known = [
        feature
        for feature, deprecated in getFeatureClasses()[name].getFeatureNames().items()
        if not deprecated
    ]
    if wanted is None:
        return known
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        raise StudyError(
            f"imaging settings, featureClass.{name}: pyradiomics has no feature "
            f"{', '.join(unknown)}. It has {', '.join(known)}."
        )
    return list(wanted)
