"""Features against unmodified pyradiomics, its published baseline, and their own settings."""

import ast
import csv
import hashlib
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from radiomics import imageoperations
from radiomics.featureextractor import RadiomicsFeatureExtractor

from annulus.config import read_yaml
from annulus.errors import StudyError
from annulus.features.assembly import assemble, catalogue, dimensions_of
from annulus.features.batches import Extraction, extract_rows
from annulus.features.extraction import extract_image
from annulus.features.filters import Extremes, View, filtered_images
from annulus.features.grids import stages
from annulus.features.ibsi_codes import ibsi_code
from annulus.features.regions import CannotExtract, RegionMask
from annulus.features.settings import Settings
from annulus.features.windows import Window
from annulus.imaging.reading import Image, read_image, write_mask

ROOT = Path(__file__).parents[1]
CASES = ROOT.parent / "shared" / "data" / "pyradiomics"
TEXTURES = ("firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")

logging.getLogger("radiomics").setLevel(logging.ERROR)


def settings_of(types=("Original",), classes=None, within="none", **setting):
    return Settings.of(
        {
            "imageType": types if isinstance(types, dict) else dict.fromkeys(types),
            "featureClass": classes or {"firstorder": ["Mean", "Maximum"]},
            "setting": {"binWidth": 25, **setting},
            "normalise_within": within,
        }
    )


def picture(shape, spacing=None, seed=0, source="header"):
    """A smooth random image of 8-bit range with some noise."""
    rng = np.random.default_rng(seed)
    values = sitk.GetImageFromArray(rng.normal(size=shape))
    smooth = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(values, 2.0))
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    pixels = sitk.GetImageFromArray(np.rint(200 * smooth + rng.uniform(0, 40, shape)))
    pixels.SetSpacing(spacing or (1.0,) * len(shape))
    return Image(pixels, source, "")


def ellipse(shape, radii, centre=None):
    grids = np.ogrid[tuple(slice(0, n) for n in shape)]
    middle = centre or [n // 2 for n in shape]
    return sum(((g - m) / r) ** 2 for g, m, r in zip(grids, middle, radii, strict=True)) <= 1


def region(name, kind, inside):
    return RegionMask.of(name, kind, inside)


def mask_of(region, image):
    """A region as pyradiomics takes it."""
    mask = sitk.GetImageFromArray(region.inside(image.array.shape).astype(np.uint32))
    mask.CopyInformation(image.pixels)
    return mask


def prepared(image, inside, settings):
    """The image as features are computed on it; ``inside`` is the tissue to normalise within."""
    everywhere = np.ones(image.array.shape, bool)
    tissue = None
    if inside is not None:
        # A region is no part of the tissue, so it keeps to the corners.
        everywhere.ravel()[1:-1] = False
        tissue = sitk.GetImageFromArray(inside.astype(np.uint8))
    (stage,), _ = stages(image, [region("all", "ring", everywhere)], tissue, settings)
    return stage.pixels


def by_pyradiomics(pixels, mask, settings):
    """What pyradiomics' own front door yields for one region of a prepared image."""
    given = {k: v for k, v in settings.setting.items() if k != "resampledPixelSpacing"}
    extractor = RadiomicsFeatureExtractor(**given | {"normalize": False}, additionalInfo=False)
    extractor.disableAllImageTypes()
    extractor.enableImageTypes(**{k: dict(v) for k, v in settings.image_types.items()})
    extractor.disableAllFeatures()
    extractor.enableFeaturesByName(**{k: v or [] for k, v in settings.feature_classes.items()})
    found = extractor.execute(pixels, sitk.Cast(mask, sitk.sitkUInt32))
    return {name: float(value) for name, value in found.items()}


def assert_same(values, truth, roi):
    ours = {k.removeprefix(f"{roi}_"): v for k, v in values.items() if k.startswith(f"{roi}_")}
    assert set(ours) == set(truth)
    for name, value in truth.items():
        # The mode shared takes shorter ways to the same definitions.
        limit = 1e-8 if name.endswith("_MCC") else 1e-10
        assert ours[name] == pytest.approx(value, rel=limit, abs=1e-12), name


def inside_of(mask):
    return sitk.GetArrayFromImage(mask) > 0


def case(name):
    path = CASES / f"{name}_image.nrrd"
    if not path.is_file():
        pytest.skip(f"NOT TESTED: pyradiomics' test case is absent ({path})")
    image = read_image(path)
    mask = sitk.ReadImage(str(CASES / f"{name}_label.nrrd"))
    return image, mask == 1


# --- equality with pyradiomics ---------------------------------------------------------------

EVERYTHING_2D = {"shape2D": None, **dict.fromkeys(TEXTURES)}


@pytest.fixture(scope="module")
def plane():
    """A 2-D image with a tumour, a ring and their union, extracted in one go."""
    image = picture((71, 90), (0.7, 0.9))
    tumour = ellipse((71, 90), (11, 16))
    around = ellipse((71, 90), (18, 24)) & ~tumour
    regions = [
        region("itr", "tumour", tumour),
        region("ptr", "ring", around),
        region("both", "union", tumour | around),
    ]
    settings = settings_of(
        {"Original": None, "Wavelet": None, "LoG": {"sigma": [1.0, 2.5]}},
        EVERYTHING_2D,
        "image",
        normalizeScale=100,
        removeOutliers=3,
        voxelArrayShift=300,
    )
    return image, regions, settings, extract_image(image, regions, None, settings)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_every_region_of_a_2d_image_is_what_pyradiomics_says(plane, index):
    image, regions, settings, (values, failures) = plane
    wanted = regions[index]
    truth = by_pyradiomics(prepared(image, None, settings), mask_of(wanted, image), settings)
    if wanted.kind != "tumour":
        truth = {k: v for k, v in truth.items() if "_shape2D_" not in k}
    assert len(truth) >= 7 * 93
    assert_same(values, truth, wanted.name)
    assert failures == []


def test_a_region_has_the_same_values_alone_and_among_others(plane):
    image, regions, settings, (together, _) = plane
    alone, _ = extract_image(image, regions[1:2], None, settings)
    assert alone == {name: together[name] for name in alone}


def test_a_volume_is_what_pyradiomics_says():
    image, mask = case("brain1")
    settings = settings_of(classes={"shape": None, **dict.fromkeys(TEXTURES)})
    around = sitk.BinaryDilate(mask, [4, 4, 1]) - mask
    regions = [region("itr", "tumour", inside_of(mask)), region("ptr", "ring", inside_of(around))]
    values, failures = extract_image(image, regions, None, settings)
    assert_same(values, by_pyradiomics(image.pixels, mask, settings), "itr")
    truth = by_pyradiomics(image.pixels, around, settings)
    assert_same(values, {k: v for k, v in truth.items() if "_shape_" not in k}, "ptr")
    assert failures == []


def test_cutting_a_volume_does_not_change_what_filters_show():
    shape = (60, 70, 72)
    image = picture(shape, (1.0, 1.0, 1.5))
    tumour = region("itr", "tumour", ellipse(shape, (3, 4, 5)))
    names = ["Mean", "Variance", "10Percentile", "90Percentile", "Maximum"]
    settings = settings_of({"Wavelet": None, "LoG": {"sigma": [1.5, 5.0]}}, {"firstorder": names})
    values, _ = extract_image(image, [tumour], None, settings)
    truth = by_pyradiomics(image.pixels, mask_of(tumour, image), settings)
    assert len(truth) == 10 * len(names)
    for filtered in settings.filters(3):
        spread = truth[f"{filtered}_firstorder_Variance"] ** 0.5
        for name in names:
            unit = spread**2 if name == "Variance" else spread
            column = f"{filtered}_firstorder_{name}"
            assert values[f"itr_{column}"] == pytest.approx(truth[column], abs=1e-2 * unit)


# --- published baseline ----------------------------------------------------------------------


def baseline(class_name, column):
    path = CASES / "baseline" / f"baseline_{class_name}.csv"
    if not path.is_file():
        pytest.skip(f"NOT TESTED: pyradiomics' baseline is absent ({path})")
    with path.open(encoding="utf-8", newline="") as stream:
        rows = {row["featureName"]: row[column] for row in csv.DictReader(stream)}
    values = {k: float(v) for k, v in rows.items() if k.startswith("original_")}
    return values, ast.literal_eval(rows["diagnostics_Configuration_Settings"])


# The baseline is of pyradiomics 2.0.1, whose mesh differed a little from that of 3.0.1.
OF_THE_MESH = ("Sphericity", "SurfaceVolumeRatio", "MeshVolume", "SurfaceArea")


@pytest.mark.parametrize("class_name", ["shape", *TEXTURES])
@pytest.mark.parametrize("name", ["brain1", "brain2", "breast1"])
def test_values_are_those_of_the_published_baseline(name, class_name):
    image, mask = case(name)
    truth, used = baseline(class_name, name)
    wanted = [key.split("_")[2] for key in truth]
    settings = settings_of(
        classes={class_name: wanted},
        **{k: used[k] for k in ("binWidth", "voxelArrayShift", "distances", "gldm_a")},
    )
    values, failures = extract_image(image, [region("itr", "tumour", inside_of(mask))], None, settings)
    assert failures == []
    assert len(values) == len(truth) >= 5
    for key, value in truth.items():
        rel = 1e-3 if key.endswith(OF_THE_MESH) else 1e-9
        assert values[f"itr_{key}"] == pytest.approx(value, rel=rel, abs=1e-9), key


@pytest.mark.parametrize("name", ["brain1", "brain2", "breast1"])
def test_values_after_normalisation_are_those_of_the_published_baseline(name):
    image, mask = case(name)
    truth, used = baseline("firstorder", f"{name}_normalization")
    settings = settings_of(
        classes={"firstorder": [key.split("_")[2] for key in truth]},
        within="image",
        binWidth=used["binWidth"],
        normalizeScale=used["normalizeScale"],
    )
    values, _ = extract_image(image, [region("itr", "tumour", inside_of(mask))], None, settings)
    for key, value in truth.items():
        assert values[f"itr_{key}"] == pytest.approx(value, rel=1e-6, abs=1e-6), key


# --- columns ---------------------------------------------------------------------------------

STUDY_SETTINGS = sorted((ROOT / "config" / "imaging").glob("*.yaml"))


def named(settings, kinds, dimension=2):
    return [
        "_".join((roi, *parts)) for roi, kind in kinds.items() for parts in settings.columns(dimension, kind)
    ]


def test_columns_are_those_of_the_settings_in_their_order(plane):
    _, regions, settings, (values, _) = plane
    assert list(values) == named(settings, {r.name: r.kind for r in regions})


def test_shape_is_for_the_tumour_alone(plane):
    *_, (values, _) = plane
    assert any(c.startswith("itr_original_shape2D_") for c in values)
    assert not any("shape2D" in c for c in values if not c.startswith("itr_"))


@pytest.mark.parametrize("path", STUDY_SETTINGS, ids=lambda path: path.stem)
def test_the_settings_of_the_studies_yield_just_the_columns_they_name(path):
    settings = Settings.of(read_yaml(path))
    deep = len(settings.spacing) == 3
    shape = (24, 40, 44) if deep else (40, 44)
    image = picture(shape, (0.8, 0.8, 1.5)[: len(shape)], seed=3)
    tumour = ellipse(shape, (5, 8, 9)[-len(shape) :])
    regions = [
        region("itr", "tumour", tumour),
        region("ptr", "ring", ellipse(shape, (8, 13, 13)[-len(shape) :]) & ~tumour),
    ]
    tissue = sitk.GetImageFromArray(ellipse(shape, (11, 18, 20)[-len(shape) :]).astype(np.uint8))
    values, failures = extract_image(image, regions, tissue, settings)
    assert list(values) == named(settings, {"itr": "tumour", "ptr": "ring"}, len(shape))
    assert len(set(values)) == len(values)
    assert failures == []


def test_every_filter_is_named_as_pyradiomics_names_it():
    types = {
        "Original": None, "Wavelet": None, "LoG": {"sigma": [1, 2.5]}, "Square": None,
        "SquareRoot": None, "Logarithm": None, "Exponential": None, "Gradient": None,
    }  # fmt: skip
    settings = settings_of(types)
    for shape in ((30, 32), (20, 22, 24)):
        pixels = picture(shape).pixels
        view = View(pixels, Window.whole(shape), Extremes(0.0, 240.0), mirrored=True)
        found = [f.name for f in filtered_images(view, settings)]
        assert sorted(found) == sorted(settings.filters(len(shape)))
        assert len(set(found)) == 8 + 2 ** len(shape)


def test_a_feature_that_pyradiomics_does_not_have_is_named():
    settings = settings_of(classes={"glcm": ["Contrast", "Kontrast"]})
    with pytest.raises(StudyError, match=r"featureClass\.glcm.*no feature Kontrast") as error:
        settings.texture_features()
    assert "Contrast" in str(error.value)
    with pytest.raises(StudyError, match="Rundheit"):
        list(settings_of(classes={"shape2D": ["Rundheit"]}).columns(2, "tumour"))


def test_settings_that_differ_in_anything_have_another_hash():
    base = settings_of()
    others = [
        settings_of(types=("Original", "Wavelet")),
        settings_of(classes={"firstorder": ["Mean"]}),
        settings_of(within="image"),
        settings_of(binWidth=24),
    ]
    assert base.sha256 == settings_of().sha256
    assert len({s.sha256 for s in [base, *others]}) == 5


def test_ibsi_codes_are_four_characters_and_those_of_the_standard():
    assert ibsi_code("firstorder", "Mean") == "Q4LE"
    assert ibsi_code("glcm", "Contrast") == "ACUI"
    assert ibsi_code("glcm", "JointEntropy") == "TU9B"
    assert ibsi_code("firstorder", "Nothing") == ""


# --- preparation -----------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1, 100])
def test_normalised_tissue_has_mean_0_and_the_scale_as_deviation(scale):
    image = picture((50, 60))
    inside = ellipse((50, 60), (15, 20))
    pixels = prepared(image, inside, settings_of(within="tissue", normalizeScale=scale))
    values = sitk.GetArrayFromImage(pixels)
    assert values[inside].mean() == pytest.approx(0, abs=1e-10 * scale)
    assert values[inside].std(ddof=1) == pytest.approx(scale)
    assert abs(values.mean()) > 1e-3 * scale
    assert pixels.GetSpacing() == image.pixels.GetSpacing()


def test_normalisation_within_tissue_does_not_see_the_air():
    image, inside = picture((50, 60)), ellipse((50, 60), (15, 20))
    values = image.array.copy()
    values[~inside] = -5000
    air = sitk.GetImageFromArray(values)
    settings = settings_of(within="tissue")
    one = sitk.GetArrayFromImage(prepared(image, inside, settings))
    two = sitk.GetArrayFromImage(prepared(Image(air, "header", ""), inside, settings))
    assert np.array_equal(one[inside], two[inside])


@pytest.mark.parametrize("outliers", [None, 1.5])
def test_normalisation_over_the_image_is_that_of_pyradiomics(outliers):
    image = picture((50, 60))
    extra = {"removeOutliers": outliers} if outliers else {}
    ours = prepared(image, None, settings_of(within="image", normalizeScale=100, **extra))
    theirs = imageoperations.normalizeImage(image.pixels, normalizeScale=100, **extra)
    found = sitk.GetArrayFromImage(ours)
    assert np.allclose(found, sitk.GetArrayFromImage(theirs), rtol=1e-9, atol=1e-9)
    assert (np.abs(found).max() > 150) is np.bool_(outliers is None)


def test_without_normalisation_nor_resampling_the_image_is_untouched():
    image = picture((20, 30))
    found = prepared(image, None, settings_of())
    assert np.array_equal(sitk.GetArrayFromImage(found), image.array)
    assert found.GetPixelID() == image.pixels.GetPixelID()


def test_normalising_needs_tissue_and_a_spread():
    image = picture((20, 30))
    with pytest.raises(CannotExtract, match="breast mask"):
        prepared(image, None, settings_of(within="tissue"))
    flat = Image(sitk.GetImageFromArray(np.full((20, 30), 4.0)), "header", "")
    with pytest.raises(CannotExtract, match="constant"):
        prepared(flat, None, settings_of(within="image"))


def middle(pixels):
    return pixels.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in pixels.GetSize()])


@pytest.mark.parametrize("wanted", [0.5, 0.7, 1.3, 3.0])
def test_resampling_keeps_the_physical_centre_and_covers_the_image(wanted):
    image = picture((41, 56), (0.8, 1.1))
    angle = np.deg2rad(20)
    image.pixels.SetDirection([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)])
    image.pixels.SetOrigin((-30.0, 12.0))
    found = prepared(image, None, settings_of(resampledPixelSpacing=[wanted, wanted]))
    assert middle(found) == pytest.approx(middle(image.pixels))
    assert found.GetSpacing() == (wanted, wanted)
    assert found.GetDirection() == image.pixels.GetDirection()
    for n, length in zip(found.GetSize(), (56 * 0.8, 41 * 1.1), strict=True):
        assert length - 1e-9 <= n * wanted < length + wanted


def test_resampling_a_volume_keeps_its_centre():
    image = picture((12, 30, 28), (0.9, 0.8, 3.0))
    found = prepared(image, None, settings_of(resampledPixelSpacing=[1.0, 1.0, 1.0]))
    assert middle(found) == pytest.approx(middle(image.pixels))
    assert found.GetSize() == (26, 24, 36)


def test_resampling_a_slope_gives_the_same_slope():
    columns = np.broadcast_to(np.arange(40.0), (30, 40))
    pixels = sitk.GetImageFromArray(columns.copy())
    pixels.SetSpacing((0.8, 0.8))
    settings = settings_of(resampledPixelSpacing=[0.5, 0.5])
    found = prepared(Image(pixels, "header", ""), None, settings)
    x = found.GetOrigin()[0] + 0.5 * np.arange(found.GetSize()[0])
    inner = (x > 5) & (x < 26)
    values = sitk.GetArrayFromImage(found)[20]
    assert np.allclose(values[inner], x[inner] / 0.8, atol=1e-3)


def test_resampling_leaves_no_invented_zero_at_the_edge():
    pixels = sitk.GetImageFromArray(np.full((12, 11), 100.0))
    for old, new in ((0.05, 0.1), (1.1, 0.1), (0.55, 0.05), (0.8, 0.5)):
        pixels.SetSpacing((old, old))
        settings = settings_of(resampledPixelSpacing=[new, new])
        found = sitk.GetArrayFromImage(prepared(Image(pixels, "header", ""), None, settings))
        assert np.allclose(found, 100.0), (old, new)


@pytest.mark.parametrize("spacing", [0.05, 0.1, 0.3, 0.7, 0.8, 1.1])
def test_resampling_to_the_same_pixel_size_changes_nothing(spacing):
    for size in (12, 29, 53, 111):
        image = picture((size, size), (spacing, spacing))
        settings = settings_of(resampledPixelSpacing=[spacing, spacing])
        found = prepared(image, None, settings)
        assert found.GetSize() == (size, size)
        assert np.allclose(sitk.GetArrayFromImage(found), image.array, atol=1e-6)


def test_resampling_without_a_pixel_size_is_refused():
    image = picture((20, 30), source="unknown")
    with pytest.raises(CannotExtract, match="pixel size is unknown"):
        prepared(image, None, settings_of(resampledPixelSpacing=[1, 1]))


def test_resampling_needs_as_many_values_as_dimensions():
    with pytest.raises(CannotExtract, match="2 values"):
        prepared(picture((8, 20, 30)), None, settings_of(resampledPixelSpacing=[1, 1]))


def test_a_resampled_mask_covers_the_same_area():
    image = picture((61, 81), (0.5, 0.5))
    inside = ellipse((61, 81), (15, 20))
    settings = settings_of(classes={"shape2D": ["PixelSurface"]}, resampledPixelSpacing=[0.3, 0.3])
    tumour = region("itr", "tumour", inside)
    values, _ = extract_image(image, [tumour], None, settings)
    (area,) = values.values()
    assert area == pytest.approx(inside.sum() * 0.25, rel=0.02)


def test_a_filter_that_yields_nothing_is_told_and_costs_its_own_columns_alone():
    settings = settings_of({"LoG": {"sigma": [50.0, 1.0]}, "Original": None})
    tumour = region("itr", "tumour", ellipse((20, 20), (5, 6)))
    values, failures = extract_image(picture((20, 20)), [tumour], None, settings)
    lost = [f"itr_log-sigma-50-0-mm-3D_firstorder_{name}" for name in ("Mean", "Maximum")]
    assert [name for name, value in values.items() if np.isnan(value)] == lost
    assert [f["feature"] for f in failures] == lost
    assert {f["reason"] for f in failures} == {
        "LoG with sigma 50 mm is wider than the image (20 x 20 voxels)"
    }


def test_an_image_too_thin_for_a_filter_says_so():
    settings = settings_of({"LoG": {"sigma": [1.0]}})
    tumour = region("itr", "tumour", ellipse((3, 20), (2, 6)))
    thin = Image(picture((12, 20)).pixels[:, :3], "header", "")
    _, failures = extract_image(thin, [tumour], None, settings)
    assert {f["reason"] for f in failures} == {"LoG needs 4 voxels along every axis, the image has 20 x 3"}


def test_more_grey_levels_than_memory_holds_cost_their_own_region_alone():
    values = np.zeros((30, 40))
    values[10:20, 10:20] = np.arange(100).reshape(10, 10)
    values[12, 12] = 1e13
    image = Image(sitk.GetImageFromArray(values), "header", "")
    regions = [
        region("itr", "tumour", ellipse((30, 40), (4, 4), (14, 14))),
        region("ptr", "ring", ellipse((30, 40), (3, 3), (17, 17))),
    ]
    settings = settings_of(classes={"firstorder": ["Mean"], "glcm": ["Contrast"]}, binWidth=1)
    found, failures = extract_image(image, regions, None, settings)
    assert {f["roi"] for f in failures} == {"itr"}
    assert np.isfinite(found["ptr_original_glcm_Contrast"])


# --- what cannot be computed -----------------------------------------------------------------


def test_a_region_that_vanishes_in_resampling_is_missing_with_a_reason():
    image = picture((60, 60), (0.1, 0.1))
    speck = np.zeros((60, 60), bool)
    speck[31, 33] = True
    settings = settings_of(classes=EVERYTHING_2D, resampledPixelSpacing=[1.0, 1.0])
    regions = [
        region("itr", "tumour", speck),
        region("ptr", "ring", ellipse((60, 60), (25, 25))),
    ]
    values, failures = extract_image(image, regions, None, settings)
    assert list(values) == named(settings, {"itr": "tumour", "ptr": "ring"})
    lost = {name for name, value in values.items() if np.isnan(value)}
    assert {name for name in values if name.startswith("itr_")} <= lost
    assert [f for f in failures if f["roi"] == "itr"] == [
        {"roi": "itr", "feature": "", "reason": "no voxel of the region is left after resampling"}
    ]
    assert {f["feature"] for f in failures if f["roi"] == "ptr"} == {n for n in lost if n[:3] == "ptr"}


def test_a_region_of_one_pixel_stops_nothing():
    image = picture((30, 30))
    speck = np.zeros((30, 30), bool)
    speck[15, 15] = True
    settings = settings_of(classes=EVERYTHING_2D)
    regions = [
        region("itr", "tumour", speck),
        region("ptr", "ring", ellipse((30, 30), (9, 9)) & ~speck),
    ]
    values, failures = extract_image(image, regions, None, settings)
    assert list(values) == named(settings, {"itr": "tumour", "ptr": "ring"})
    missing = {name for name, value in values.items() if np.isnan(value)}
    assert missing == {name for name in values if name.startswith("itr_")}
    assert [f["roi"] for f in failures] == ["itr"]
    assert "extends along 0 axes" in failures[0]["reason"]
    assert not any(np.isinf(v) for v in values.values())


def test_no_region_means_no_value():
    assert extract_image(picture((20, 20)), [], None, settings_of()) == ({}, [])


# --- tables ----------------------------------------------------------------------------------

KINDS = {"itr": "tumour", "ptr": "ring"}


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def cohort(folder, patients, statuses=None):
    """Write images and region masks; returns the tables images, rois and masks."""
    images, rois = [], []
    for number, patient in enumerate(patients):
        image = picture((40, 50), (0.5, 0.5), seed=number)
        sitk.WriteImage(image.pixels, str(folder / f"{patient}.nrrd"))
        key = {"patient_id": patient, "timepoint": "baseline", "image_id": f"{patient}_1"}
        path = folder / f"{patient}.nrrd"
        images.append(
            {**key, "image": "us", "image_path": str(path), "image_sha256": sha256(path), "dimension": 2}
        )
        tumour = ellipse((40, 50), (7, 8 + number))
        for roi, inside in (("itr", tumour), ("ptr", ellipse((40, 50), (14, 16)) & ~tumour)):
            status = (statuses or {}).get((patient, roi), "ok")
            file = f"{patient}_{roi}.nrrd"
            write_mask(folder / file, mask_of(region(roi, "", inside), image))
            rois.append(
                {**key, "roi": roi, "kind": KINDS[roi], "status": status,
                 "reason": "3 voxels, 50 needed", "mask_file": file,
                 "mask_sha256": sha256(folder / file)}
            )  # fmt: skip
    nothing = pd.DataFrame(
        columns=["patient_id", "timepoint", "image_id", "mask_role", "decision", "mask_file"]
    )
    return pd.DataFrame(images), pd.DataFrame(rois), nothing


def plan(settings):
    return Extraction({"us": settings}, {}, {}, None, 1)


def extracted(folder, settings, patients, statuses=None):
    images, rois, masks = cohort(folder, patients, statuses)
    return extract_rows(images, rois, masks, plan(settings), [folder], folder)


SMALL = settings_of(
    ("Original", "Wavelet"), {"shape2D": ["Elongation"], "firstorder": ["Mean"], "glcm": ["Id"]}
)


def test_all_patients_have_the_columns_of_the_settings(tmp_path):
    table, failures = extracted(tmp_path, SMALL, ["a", "b", "c"])
    keys = ["patient_id", "timepoint", "image_id", "image"]
    assert list(table.columns) == keys + named(SMALL, KINDS)
    assert table.drop(columns=keys).notna().all(axis=None)
    assert failures == []


def test_a_failing_region_has_empty_columns_and_a_row_of_failure(tmp_path):
    table, failures = extracted(tmp_path, SMALL, ["a", "b"], {("b", "ptr"): "too_small"})
    assert len(failures) == 1
    assert failures[0]["patient_id"] == "b"
    assert failures[0]["roi"] == "ptr"
    assert failures[0]["reason"] == "too_small: 3 voxels, 50 needed"
    ring = [c for c in named(SMALL, KINDS) if c.startswith("ptr_")]
    rows = table.set_index("patient_id")
    assert rows.loc["b", ring].isna().all()
    assert rows.loc["a", ring].notna().all()
    assert rows.loc["b", [c for c in named(SMALL, KINDS) if c not in ring]].notna().all()


def test_an_image_that_cannot_be_extracted_leaves_the_others(tmp_path):
    images, rois, masks = cohort(tmp_path, ["a", "b"])
    flat = sitk.GetImageFromArray(np.full((40, 50), 3.0))
    flat.SetSpacing((0.5, 0.5))
    sitk.WriteImage(flat, str(tmp_path / "a.nrrd"))
    settings = settings_of(within="image")
    table, failures = extract_rows(images, rois, masks, plan(settings), [tmp_path], tmp_path)
    assert list(table["patient_id"]) == ["b"]
    assert [(f["patient_id"], f["roi"]) for f in failures] == [("a", "itr"), ("a", "ptr")]
    assert all("constant" in f["reason"] for f in failures)


def test_values_do_not_depend_on_the_chunk(tmp_path):
    together, _ = extracted(tmp_path, SMALL, ["a", "b", "c"])
    images, rois, masks = cohort(tmp_path, ["a", "b", "c"])
    alone = [
        extract_rows(
            images[images.patient_id == p], rois[rois.patient_id == p], masks, plan(SMALL),
            [tmp_path], tmp_path,
        )[0]
        for p in ("c", "a", "b")
    ]  # fmt: skip
    parts = pd.concat(alone).sort_values("patient_id").reset_index(drop=True)
    pd.testing.assert_frame_equal(together, parts, check_exact=True)


def every(chunks):
    """The keys of all images, as quality control lets them through."""
    return pd.concat(chunks)[["patient_id", "timepoint", "image_id", "image"]]


def test_an_image_that_quality_control_excludes_at_the_end_gives_no_features(tmp_path):
    table, _ = extracted(tmp_path, SMALL, ["a", "b"])
    usable = every([table]).query("patient_id == 'b'")
    found = assemble([table], usable, {"us": "refuse"}, {"us": KINDS}, {"us": SMALL}, {"us": 2})
    assert list(found["patient_id"]) == ["b"]


def test_patients_of_all_chunks_share_one_table_of_the_foreseen_columns(tmp_path):
    lost = {("b", "ptr"): "empty"}
    chunks = [extracted(tmp_path, SMALL, [p], lost)[0] for p in ("b", "a")]
    found = assemble(chunks, every(chunks), {"us": "refuse"}, {"us": KINDS}, {"us": SMALL}, {"us": 2})
    names = [f"us_{c}" for c in named(SMALL, KINDS)]
    assert list(found.columns) == ["patient_id", "timepoint", *names]
    assert list(found["patient_id"]) == ["a", "b"]
    ring = [name for name in names if name.startswith("us_ptr_")]
    assert found.loc[1, ring].isna().all() and found.loc[1, names].notna().sum() == len(names) - len(ring)
    listed = catalogue(found, {"us": KINDS}, {"us": SMALL}, {"us": 2})
    assert list(listed["column"]) == names
    assert listed.set_index("column")["missing"].loc[ring].eq(1).all()
    assert listed["missing"].sum() == len(ring)
    assert set(listed["settings_sha256"]) == {SMALL.sha256}


def test_a_patient_without_any_feature_has_no_row(tmp_path):
    lost = {("b", "itr"): "empty", ("b", "ptr"): "empty"}
    table, failures = extracted(tmp_path, SMALL, ["a", "b"], lost)
    assert list(table["patient_id"]) == ["a"]
    assert [(f["patient_id"], f["roi"]) for f in failures] == [("b", "itr"), ("b", "ptr")]
    both = pd.concat([table, table.assign(patient_id="c", image="mr")])
    settings = {"us": SMALL, "mr": SMALL}
    refuse = {"us": "refuse", "mr": "refuse"}
    kinds = {"us": KINDS, "mr": KINDS}
    assert assemble([both], every([both]), refuse, kinds, settings, {"us": 2, "mr": 2}).empty


def test_several_images_of_one_patient_are_averaged_or_refused(tmp_path):
    one, _ = extracted(tmp_path, SMALL, ["a", "b"])
    two = one.assign(patient_id="a", image_id=["x", "y"])
    mean = assemble([two], every([two]), {"us": "mean"}, {"us": KINDS}, {"us": SMALL}, {"us": 2})
    column = "itr_original_firstorder_Mean"
    assert len(mean) == 1
    assert mean.loc[0, f"us_{column}"] == pytest.approx(one[column].sum() / 2)
    with pytest.raises(StudyError, match="Patient a has several images us at baseline"):
        assemble([two], every([two]), {"us": "refuse"}, {"us": KINDS}, {"us": SMALL}, {"us": 2})


def test_a_column_that_the_settings_do_not_foresee_is_a_bug(tmp_path):
    table, _ = extracted(tmp_path, SMALL, ["a"])
    with pytest.raises(AssertionError, match="do not foresee"):
        more = table.assign(itr_more=1.0)
        assemble([more], every([more]), {"us": "mean"}, {"us": KINDS}, {"us": SMALL}, {"us": 2})


def test_images_of_one_name_must_not_mix_2d_and_3d():
    table = pd.DataFrame({"image": ["us", "us", "mr", "mr"], "dimension": [2, 2, 3, None]})
    assert dimensions_of(table) == {"us": 2, "mr": 3}
    with pytest.raises(StudyError, match="some are 2-D and some 3-D"):
        dimensions_of(pd.DataFrame({"image": ["us", "us"], "dimension": [2, 3]}))
