"""The two modes of extraction against unmodified pyradiomics, and what sharing must not change."""

import logging

import numpy as np
import pytest
import pywt
import SimpleITK as sitk
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from radiomics import cMatrices, imageoperations
from radiomics.featureextractor import RadiomicsFeatureExtractor

from annulus.features.extraction import extract_image
from annulus.features.filters import Extremes, View, filtered_images
from annulus.features.grids import stages
from annulus.features.neighbours import count_neighbours
from annulus.features.regions import RegionMask
from annulus.features.settings import Settings
from annulus.features.windows import Window
from annulus.imaging.reading import Image

logging.getLogger("radiomics").setLevel(logging.CRITICAL)

TEXTURES = ("firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
POINTWISE = ("Square", "SquareRoot", "Logarithm", "Exponential", "Gradient")


# --- what any study might have --------------------------------------------------------------


@st.composite
def pictures(draw):
    """A smooth random image of any type, size and geometry, with an ellipsoid that may touch its edge."""
    dimension = draw(st.integers(2, 3))
    sides = st.integers(9, 22) if dimension == 3 else st.integers(16, 60)
    shape = tuple(draw(st.lists(sides, min_size=dimension, max_size=dimension)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    noise = sitk.GetImageFromArray(rng.normal(size=shape))
    values = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(noise, 1.0))
    values = 130 + 40 * values / values.std() + rng.normal(0, 8, shape)
    kind = draw(st.sampled_from([np.int16, np.uint8, np.float32, np.float64]))
    image = sitk.GetImageFromArray(values.clip(0, 255).astype(kind))
    image.SetSpacing(tuple(rng.uniform(0.4, 1.6, dimension)))
    image.SetOrigin(tuple(rng.uniform(-50, 50, dimension)))
    if draw(st.booleans()):
        cos, sin = np.cos(0.3), np.sin(0.3)
        plane = [cos, -sin, sin, cos]
        image.SetDirection(plane if dimension == 2 else [cos, -sin, 0, sin, cos, 0, 0, 0, 1])
    axes = np.ogrid[tuple(slice(0, n) for n in shape)]
    centre, radii = rng.uniform(0, shape), rng.uniform(2, np.array(shape) / 2.5)
    distance = sum(((a - c) / r) ** 2 for a, c, r in zip(axes, centre, radii, strict=True))
    return image, {"itr": distance <= 1, "ptr": (distance > 1) & (distance <= 2)}


@st.composite
def contents(draw, dimension):
    """A pyradiomics parameter file."""
    setting = {"binWidth": draw(st.sampled_from([4.0, 10.0, 25.0]))}
    choices = [
        {"binCount": 16},
        {"normalize": True, "normalizeScale": 100.0},
        {"normalize": True, "normalizeScale": 100.0, "removeOutliers": 2.0},
        {"resegmentRange": [-1.5, 1.5], "resegmentMode": "sigma"},
        {"resegmentRange": [0.2, 0.9], "resegmentMode": "relative", "resegmentShape": True},
        {"distances": [1, 2]},
        {"weightingNorm": "euclidean"},
        {"symmetricalGLCM": False},
        {"gldm_a": 1},
        {"voxelArrayShift": 300},
        {"preCrop": True, "padDistance": draw(st.integers(0, 6))},
    ]
    if dimension == 3:
        choices.append({"force2D": True, "force2Ddimension": draw(st.integers(0, 2))})
    for chosen in draw(st.lists(st.sampled_from(choices), max_size=3)):
        setting |= chosen
    if draw(st.booleans()):
        spacing = st.sampled_from([0.0, 0.5, 0.8, 1.0, 1.3])
        setting["resampledPixelSpacing"] = draw(st.lists(spacing, min_size=dimension, max_size=dimension))
        setting["padDistance"] = draw(st.integers(0, 8))
        setting["interpolator"] = draw(st.sampled_from(["sitkBSpline", "sitkLinear"]))
    kinds = {"Original": {}}
    if draw(st.booleans()):
        wavelet = st.sampled_from(["coif1", "haar", "db4"])
        kinds["Wavelet"] = {"wavelet": draw(wavelet), "level": draw(st.integers(1, 2))}
    if draw(st.booleans()):
        kinds["LoG"] = {"sigma": [1.0, 2.0]}
    kinds |= {name: {} for name in draw(st.lists(st.sampled_from(POINTWISE), max_size=2))}
    if dimension == 2 and draw(st.booleans()):
        kinds["LBP2D"] = {}
    classes = dict.fromkeys([*TEXTURES, "shape" if dimension == 3 else "shape2D"])
    return {"imageType": kinds, "featureClass": classes, "setting": setting}


def executed(content, image, inside):
    """What pyradiomics itself says, or None where it refuses the region."""
    mask = sitk.GetImageFromArray(inside.astype(np.uint8))
    mask.CopyInformation(image)
    parameters = {
        "imageType": {name: dict(own or {}) for name, own in content["imageType"].items()},
        "featureClass": dict(content["featureClass"]),
        "setting": {**content["setting"], "additionalInfo": False},
    }
    try:
        return {n: float(v) for n, v in RadiomicsFeatureExtractor(parameters).execute(image, mask).items()}
    except (ValueError, AssertionError, RuntimeError):
        return None


def differences(picture, content):
    """Compare every region's every value; returns those that are not the same bits."""
    image, masks = picture
    regions = [
        RegionMask.of("itr", "tumour", masks["itr"]),
        RegionMask.of("ptr", "ring", masks["ptr"]),
    ]
    truth = {region.name: executed(content, image, masks[region.name]) for region in regions}
    assume(any(truth.values()))
    ours, failures = extract_image(
        Image(image, "header", ""), regions, None, Settings.of(content, "compatible")
    )
    found = []
    for name, values in truth.items():
        mine = {c.removeprefix(f"{name}_"): v for c, v in ours.items() if c.startswith(f"{name}_")}
        if values is None:
            assert name in {failure["roi"] for failure in failures}
            found += [column for column, value in mine.items() if np.isfinite(value)]
            continue
        wanted = {c: v for c, v in values.items() if name == "itr" or "_shape" not in c}
        assert set(wanted) <= set(mine)
        found += [c for c, v in wanted.items() if not _same(v, mine[c])]
    return found


def _same(theirs, ours):
    # A value that is no number is missing here.
    return theirs == ours or (not np.isfinite(theirs) and np.isnan(ours))


ANY = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


@given(st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=ANY)
def test_compatible_is_pyradiomics_to_the_bit_whatever_the_settings(data):
    picture = data.draw(pictures())
    assert differences(picture, data.draw(contents(picture[0].GetDimension()))) == []


@pytest.mark.slow
@given(st.data())
@settings(max_examples=400, deadline=None, derandomize=False, suppress_health_check=ANY)
def test_compatible_is_pyradiomics_to_the_bit_whatever_the_settings_at_length(data):
    picture = data.draw(pictures())
    assert differences(picture, data.draw(contents(picture[0].GetDimension()))) == []


# --- matrices and filters -------------------------------------------------------------------


@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=3),
    st.integers(1, 9),
    st.floats(0.05, 1),
    st.integers(0, 2**32 - 1),
    st.sampled_from([(False, 0), (True, 0), (True, 1), (True, 2)]),
)
@settings(max_examples=150, deadline=None)
def test_matrices_counted_together_are_those_of_pyradiomics(shape, levels, density, seed, flat):
    assume(len(shape) == 3 or not flat[0])
    rng = np.random.default_rng(seed)
    matrix = rng.integers(1, levels + 1, shape) * (rng.random(shape) < density)
    assume(matrix.any() and sum(n > 1 for n in shape) >= (3 if flat[0] else 2))
    inside, highest, near = matrix > 0, int(matrix.max()), np.array([1])
    found = count_neighbours(matrix, *flat)
    glcm, angles = cMatrices.calculate_glcm(matrix, inside, near, highest, *flat)
    glrlm, _ = cMatrices.calculate_glrlm(matrix, inside, highest, max(shape), *flat)
    gldm = cMatrices.calculate_gldm(matrix, inside, near, highest, 0, *flat)
    ngtdm = cMatrices.calculate_ngtdm(matrix, inside, near, highest, *flat)
    assert np.array_equal(found.directions, angles)
    assert np.array_equal(found.cooccurrence, glcm)
    assert np.array_equal(found.runs, glrlm)
    assert np.array_equal(found.dependence, gldm)
    assert np.array_equal(found.differences, ngtdm)


@given(st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=ANY)
def test_a_filter_in_a_window_is_that_of_the_whole_image(data):
    image, masks = data.draw(pictures())
    window = Window.of(masks["itr"])
    assume(window is not None)
    dimension = image.GetDimension()
    wavelet = data.draw(st.sampled_from(["coif1", "haar", "db4", "sym8"]))
    own = {
        "wavelet": wavelet,
        "level": data.draw(st.integers(1, 2)),
        "start_level": data.draw(st.integers(0, 1)),
    }
    kinds = {"Original": {}, "Wavelet": own, "LoG": {"sigma": [1.0]}, **{name: {} for name in POINTWISE}}
    setting = {"force2D": True} if dimension == 3 and data.draw(st.booleans()) else {}
    values = sitk.GetArrayFromImage(image)
    view = View(image, window, Extremes.of(values), mirrored=False)
    content = {"imageType": kinds, "featureClass": {"firstorder": None}, "setting": setting}
    found = {f.name: f.values for f in filtered_images(view, Settings.of(content))}
    for kind, arguments in kinds.items():
        generate = getattr(imageoperations, f"get{kind}Image")
        for whole, name, _ in generate(image, None, **{**setting, **arguments}):
            assert np.array_equal(found.pop(name), sitk.GetArrayFromImage(whole)[window.slices])
    assert found == {}


def test_wavelet_bands_are_those_of_the_coiflet_itself():
    """Each band is the image convolved along every axis with coiflet-1's own low or high pass."""
    rng = np.random.default_rng(3)
    values = rng.normal(size=(14, 16, 18))
    image = sitk.GetImageFromArray(values)
    view = View(image, Window.whole(values.shape), Extremes.of(values), mirrored=False)
    found = {f.name: f.values for f in filtered_images(view, Settings.of(content_of({"Wavelet": {}})))}
    assert len(found) == 8
    coiflet = pywt.Wavelet("coif1")
    passes = {"L": coiflet.dec_lo, "H": coiflet.dec_hi}
    for band, got in found.items():
        expected = values
        # pyradiomics names bands by x, y, z, arrays are indexed z, y, x.
        for axis, letter in zip((2, 1, 0), band.split("-")[1], strict=True):
            taps = passes[letter]
            middle = len(taps) // 2
            expected = sum(tap * np.roll(expected, k - middle, axis) for k, tap in enumerate(taps))
        assert np.allclose(got, expected, atol=1e-12), band


# --- shared ---------------------------------------------------------------------------------


def volume(shape=(50, 60, 64), spacing=(0.9, 0.9, 1.4), seed=0):
    rng = np.random.default_rng(seed)
    noise = sitk.GetImageFromArray(rng.normal(size=shape))
    smooth = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(noise, 1.5))
    image = sitk.GetImageFromArray(np.rint(500 + 100 * smooth / smooth.std()).astype(np.int16))
    image.SetSpacing(spacing)
    return Image(image, "header", "")


def ball(shape, centre, radius):
    axes = np.ogrid[tuple(slice(0, n) for n in shape)]
    return sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) <= radius**2


def content_of(types, **setting):
    names = ["Mean", "Variance", "10Percentile", "90Percentile"]
    return {"imageType": types, "featureClass": {"firstorder": names}, "setting": {"binWidth": 25, **setting}}


LOG = {"LoG": {"sigma": [1.0, 3.0, 5.0]}}


@pytest.mark.parametrize("setting", [{}, {"resampledPixelSpacing": [1.0, 1.0, 1.0]}])
def test_a_shared_value_does_not_depend_on_which_other_regions_there_are(setting):
    shape = (90, 120, 120)
    image = volume(shape)
    small = RegionMask.of("itr", "tumour", ball(shape, (45, 60, 60), 6))
    wide = RegionMask.of("ptr", "ring", ball(shape, (45, 60, 60), 16))
    settings = Settings.of(content_of({"Original": None, "Wavelet": None, **LOG}, **setting))
    alone, _ = extract_image(image, [small], None, settings)
    among, _ = extract_image(image, [small, wide], None, settings)
    for column, value in alone.items():
        band = column.split("_")[1]
        spread = alone[f"itr_{band}_firstorder_Variance"] ** 0.5
        limit = spread**2 if column.endswith("Variance") else spread
        # Spec: with pyradiomics' padding of 5 voxels this reaches half a standard deviation.
        assert abs(among[column] - value) < (2e-3 if "log" in column else 1e-9) * limit, column


def test_with_pyradiomics_own_padding_a_wide_filter_does_depend_on_the_region():
    """Why the mode shared exists: the same voxels, filtered with more or less around them."""
    shape = (90, 120, 120)
    image = volume(shape)
    inside = ball(shape, (45, 60, 60), 6)
    content = content_of(LOG, resampledPixelSpacing=[1.0, 1.0, 1.0])
    region = [RegionMask.of("itr", "tumour", inside)]
    near = extract_image(image, region, None, Settings.of(content, "compatible"))[0]
    content["setting"]["padDistance"] = 40
    far = extract_image(image, region, None, Settings.of(content, "compatible"))[0]
    shared = extract_image(image, region, None, Settings.of(content))[0]
    mean, spread = (f"itr_log-sigma-5-0-mm-3D_firstorder_{n}" for n in ("Mean", "Variance"))
    unit = far[spread] ** 0.5
    assert abs(near[mean] - far[mean]) > 0.1 * unit
    # The mode's masks differ by where the grid lies, its filter does not.
    assert abs(shared[mean] - far[mean]) < 0.05 * unit


def test_an_edge_sees_its_mirror_image_and_not_the_opposite_side():
    values = np.full((40, 60), 100.0)
    values[:, 50:] = 1000.0
    image = Image(sitk.GetImageFromArray(values), "header", "")
    at_the_edge = np.zeros((40, 60), bool)
    at_the_edge[10:30, :6] = True
    region = [RegionMask.of("ptr", "ring", at_the_edge)]
    content = content_of({"Wavelet": None})
    shared = extract_image(image, region, None, Settings.of(content))[0]
    theirs = extract_image(image, region, None, Settings.of(content, "compatible"))[0]
    band = "ptr_wavelet-HL_firstorder_Variance"
    assert shared[band] == pytest.approx(0, abs=1e-18)
    assert theirs[band] > 1


def test_filters_scaled_by_the_largest_value_take_that_of_the_whole_image():
    image = volume()
    bright = sitk.GetArrayFromImage(image.pixels)
    bright[0, 0, 0] = 30000
    pixels = sitk.GetImageFromArray(bright)
    pixels.CopyInformation(image.pixels)
    shape = bright.shape
    region = [RegionMask.of("itr", "tumour", ball(shape, (25, 30, 32), 6))]
    content = content_of({"Square": None})
    inside = region[0].inside(shape)
    expected = (bright[inside].astype(float) ** 2 / 30000).mean()
    found = extract_image(Image(pixels, "header", ""), region, None, Settings.of(content))[0]
    assert found["itr_square_firstorder_Mean"] == pytest.approx(expected, rel=1e-12)


def test_phases_share_the_mean_and_deviation_of_all_of_them_together():
    pre, post = volume(seed=1), volume(seed=2)
    raised = sitk.Cast(post.pixels, sitk.sitkFloat64) * 2 + 300
    post = Image(raised, "header", "")
    both = np.concatenate([pre.array.ravel().astype(float), post.array.ravel()])
    region = RegionMask.of("itr", "tumour", ball(pre.array.shape, (25, 30, 32), 6))
    content = content_of({"Original": None}, normalizeScale=100) | {"normalise_within": "image"}
    found = extract_image(pre, [region], None, Settings.of(content), [post])[0]
    inside = region.inside(pre.array.shape)
    expected = 100 * (pre.array[inside].mean() - both.mean()) / both.std(ddof=1)
    assert found["itr_original_firstorder_Mean"] == pytest.approx(expected, rel=1e-12)


def test_resampling_in_the_plane_alone_keeps_the_slices():
    image = volume((12, 40, 44), (0.7, 0.7, 4.0))
    column = np.zeros((12, 40, 44), bool)
    column[3:9] = ball((40, 44), (20, 22), 6)
    region = RegionMask.of("itr", "tumour", column)
    content = content_of({"Original": None}, force2D=True, resampledPixelSpacing=[1.0, 1.0, 0.0])
    (stage,), lost = stages(image, [region], None, Settings.of(content))
    assert lost == {}
    assert stage.pixels.GetSpacing() == (1.0, 1.0, 4.0)
    # Slices lie where they lay, and those of the region are all there.
    first = stage.pixels.GetOrigin()[2] / 4.0
    assert first == pytest.approx(round(first))
    assert stage.placed[0].texture.part.shape[0] == region.part.shape[0]


def test_one_slice_of_a_volume_has_a_plane_shape():
    image = volume((12, 40, 44), (0.7, 0.7, 4.0))
    disc = np.zeros((12, 40, 44), bool)
    disc[6] = ball((40, 44), (20, 22), 8)
    content = content_of({"Original": None}, force2D=True)
    content["featureClass"] = {"shape2D": ["PixelSurface"]}
    region = [RegionMask.of("itr", "tumour", disc)]
    values, failures = extract_image(image, region, None, Settings.of(content))
    assert values == {"itr_original_shape2D_PixelSurface": pytest.approx(disc.sum() * 0.49)}
    assert failures == []


@pytest.mark.parametrize("mode", ["shared", "compatible"])
def test_grey_values_beyond_the_range_are_left_out_of_texture(mode):
    image = volume()
    inside = ball(image.array.shape, (25, 30, 32), 7)
    content = content_of({"Original": None}, resegmentRange=[450, 550])
    region = [RegionMask.of("itr", "tumour", inside)]
    values, _ = extract_image(image, region, None, Settings.of(content, mode))
    own = image.array[inside]
    kept = own[(own >= 450) & (own <= 550)]
    assert values["itr_original_firstorder_Mean"] == pytest.approx(kept.mean(), rel=1e-12)


@pytest.mark.parametrize("mode", ["shared", "compatible"])
def test_a_region_too_thin_or_too_small_says_so_and_leaves_the_others(mode):
    image = volume()
    line = np.zeros(image.array.shape, bool)
    line[25, 30, 20:40] = True
    good = ball(image.array.shape, (25, 30, 32), 7)
    content = content_of({"Original": None}, minimumROISize=15)
    few = np.zeros(image.array.shape, bool)
    few[25, 30:33, 30:34] = True
    regions = [RegionMask.of(name, "ring", inside) for name, inside in (("a", line), ("b", good), ("c", few))]
    values, failures = extract_image(image, regions, None, Settings.of(content, mode))
    assert {f["roi"]: f["reason"] for f in failures} == {
        "a": "the region extends along 1 axes, 2 at least are needed (minimumROIDimensions)",
        "c": "the region has 12 voxels, more than 15 are needed (minimumROISize)",
    }
    assert np.isfinite([v for c, v in values.items() if c.startswith("b_")]).all()
    assert np.isnan([v for c, v in values.items() if not c.startswith("b_")]).all()


def test_the_mode_is_part_of_the_settings_hash():
    content = content_of({"Original": None})
    assert Settings.of(content).sha256 != Settings.of(content, "compatible").sha256
