"""Every filter and class of the mode compatible against pyradiomics itself: the same bits."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import SimpleITK as sitk
from radiomics.featureextractor import RadiomicsFeatureExtractor
from vetting.baselines import read_case
from vetting.rows import About, Row, columns_of, judged

from annulus.features.extraction import extract_image
from annulus.features.regions import RegionMask
from annulus.features.settings import Settings

ORACLE = "pyradiomics 3.0.1 itself"
CLASSES = ("shape", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
IMAGE_TYPES: Mapping[str, Mapping[str, Any]] = {
    "Original": {},
    "Wavelet": {},
    "LoG": {"sigma": [1.0, 2.0]},
    "Square": {},
    "SquareRoot": {},
    "Logarithm": {},
    "Exponential": {},
    "Gradient": {},
}
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "whole image": {"binWidth": 5},
    "resampled": {"binWidth": 5, "resampledPixelSpacing": [1.0, 1.0, 1.0], "padDistance": 8},
}


def rows() -> Iterator[Row]:
    """Yield every feature of every filter for the region of breast1."""
    image, inside = read_case("breast1")
    mask = sitk.GetImageFromArray(inside.astype(np.uint8))
    mask.CopyInformation(image.pixels)
    region = RegionMask.of("roi", "tumour", inside)
    for name, setting in SETTINGS.items():
        content = {
            "imageType": {kind: dict(own) for kind, own in IMAGE_TYPES.items()},
            "featureClass": dict.fromkeys(CLASSES),
            "setting": dict(setting),
        }
        values, failures = extract_image(image, [region], None, Settings.of(content, "compatible"))
        if failures:
            raise AssertionError(f"breast1, {name}: {failures[0]}")
        parameters = {**content, "setting": {**setting, "additionalInfo": False}}
        truth = RadiomicsFeatureExtractor(parameters).execute(image.pixels, mask)
        found = columns_of(values, "roi")
        about = About(ORACLE, "breast1", "compatible", name, "equality")
        for feature, expected in truth.items():
            image_type, feature_class, own = feature.split("_")
            column = (image_type, feature_class, own)
            yield judged(about, column, float(expected), found[column], 0.0)
