"""Negative controls: what they keep of a region, and what they take away."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.stats import chisquare
from test_features import ellipse, picture, settings_of

from annulus.features.batches import with_controls
from annulus.features.controls import extract_with_controls
from annulus.features.regions import RegionMask

WHERE = {"patient_id": "P1", "image_id": "P1_1"}
MORE = {"firstorder": ["Mean", "Variance", "Maximum"], "glcm": ["Contrast", "Correlation"]}


def scene(seed=0):
    image = picture((80, 100), seed=seed)
    tumour = ellipse((80, 100), (9, 12), (40, 50))
    ring = ellipse((80, 100), (14, 17), (40, 50)) & ~tumour
    breast = ellipse((80, 100), (38, 48))
    tissue = sitk.GetImageFromArray(breast.astype(np.uint8))
    regions = [RegionMask.of("itr", "tumour", tumour), RegionMask.of("ptr", "ring", ring)]
    return image, regions, tissue, breast


def extracted(controls, seed=1, where=WHERE, settings=None):
    image, regions, breast, _ = scene()
    return extract_with_controls(
        image, regions, breast, settings or settings_of(classes=MORE), (), controls, where, seed
    )  # fmt: skip


def test_shuffled_voxels_keep_their_histogram_and_lose_their_texture():
    values, failures = extracted({"shuffled": ["itr"]})
    assert failures == []
    for name in ("Mean", "Variance", "Maximum"):
        own, control = (values[f"{roi}_original_firstorder_{name}"] for roi in ("itr", "itrshuffled"))
        assert control == pytest.approx(own, rel=1e-12)
    correlation = [values[f"{roi}_original_glcm_Correlation"] for roi in ("itr", "itrshuffled")]
    assert correlation[0] > 0.5
    assert abs(correlation[1]) < 0.1
    assert not any(c.startswith("ptrshuffled") for c in values)


RAMP = np.add.outer(1000 * np.arange(80.0), np.arange(100.0))


def place_of(values, region):
    """Read where a region was moved to off the mean of a picture whose every value tells its place."""
    rows, columns = np.nonzero(region.part)
    mean = values[f"{region.name}elsewhere_original_firstorder_Mean"]
    mean -= 1000 * rows.mean() + columns.mean()
    row = round(mean / 1000)
    return row, round(mean - 1000 * row)


def test_elsewhere_is_the_same_shape_in_tissue_that_no_region_has():
    image, regions, tissue, breast = scene()
    pixels = sitk.GetImageFromArray(RAMP)
    settings = settings_of(classes={"firstorder": ["Mean", "Range"]})
    free = breast & ~regions[0].inside(breast.shape) & ~regions[1].inside(breast.shape)
    part = regions[0].part
    found = set()
    for seed in range(20):
        values, failures = extract_with_controls(
            type(image)(pixels, "header", ""), regions, tissue, settings, (), {"elsewhere": ["itr"]}, WHERE,
            seed,
        )  # fmt: skip
        assert failures == []
        row, column = place_of(values, regions[0])
        assert free[row : row + part.shape[0], column : column + part.shape[1]][part].all()
        own, moved = (values[f"{roi}_original_firstorder_Range"] for roi in ("itr", "itrelsewhere"))
        assert moved == pytest.approx(own)
        found.add((row, column))
    assert len(found) > 10


def test_controls_change_no_value_of_the_regions_themselves():
    settings = settings_of({"Original": None, "Wavelet": None, "LoG": {"sigma": [2.0]}}, MORE, "tissue")
    alone, _ = extracted({}, settings=settings)
    among, _ = extracted({"shuffled": ["itr", "ptr"], "elsewhere": ["itr"]}, settings=settings)
    assert alone == {name: among[name] for name in alone}


def test_a_control_is_on_the_same_grey_scale_as_its_region():
    settings = settings_of(classes=MORE, within="tissue", normalizeScale=100)
    values, _ = extracted({"shuffled": ["itr"]}, settings=settings)
    own, control = (values[f"{roi}_original_firstorder_Mean"] for roi in ("itr", "itrshuffled"))
    assert control == pytest.approx(own, rel=1e-9)


def test_controls_are_drawn_from_the_seed_and_the_image():
    same, other_seed, other_image = (
        extracted({"shuffled": ["itr"]}, seed, where)[0]["itrshuffled_original_glcm_Contrast"]
        for seed, where in ((1, WHERE), (2, WHERE), (1, {**WHERE, "image_id": "P1_2"}))
    )
    again = extracted({"shuffled": ["itr"], "elsewhere": ["itr"]})[0]["itrshuffled_original_glcm_Contrast"]
    assert again == same
    assert len({same, other_seed, other_image}) == 3


def test_a_shape_without_another_place_is_missing_with_a_reason():
    image, regions, _, _ = scene()
    tissue = sitk.GetImageFromArray(regions[0].inside((80, 100)).astype(np.uint8))
    settings = settings_of(classes=MORE)
    values, failures = extract_with_controls(
        image, regions, tissue, settings, (), {"elsewhere": ["itr"]}, WHERE, 1
    )
    assert [(f["roi"], f["reason"]) for f in failures] == [
        ("itrelsewhere", "the region's shape was found no other place in the tissue")
    ]
    assert not any(c.startswith("itrelsewhere") for c in values)


def test_every_place_is_as_likely():
    """Over many seeds a small region's places are uniform over the quarters of the image."""
    speck = np.zeros((80, 100), bool)
    speck[:2, :2] = True
    region = RegionMask.of("itr", "ring", speck)
    settings = settings_of(classes={"firstorder": ["Mean"]})
    image = type(picture((4, 4)))(sitk.GetImageFromArray(RAMP), "header", "")
    counts = np.zeros((2, 2))
    for seed in range(400):
        values, _ = extract_with_controls(
            image, [region], None, settings, (), {"elsewhere": ["itr"]}, WHERE, seed
        )
        row, column = place_of(values, region)
        counts[int(row >= 39.5), int(column >= 49.5)] += 1
    assert counts.sum() == 400
    assert chisquare(counts.ravel()).pvalue > 0.001


def test_controls_are_regions_without_shape_among_those_of_the_image():
    kinds = with_controls({"us": {"itr": "tumour", "ptr": "ring"}}, {"shuffled": ["itr"], "elsewhere": []})
    assert kinds == {"us": {"itr": "tumour", "ptr": "ring", "itrshuffled": "control"}}
    columns = list(settings_of(classes={"shape2D": None, "firstorder": ["Mean"]}).columns(2, "control"))
    assert columns == [("original", "firstorder", "Mean")]
