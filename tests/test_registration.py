"""Registration recovers transforms that were planted by a formula, not by the resampling under test."""

import os
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk

from annulus.errors import StudyError
from annulus.imaging import registration
from annulus.imaging.registration import (
    REGISTRATION_COLUMNS,
    register,
    resampled_like,
)

SIZE, SPACING = (36, 34, 24), (1.6, 1.6, 2.4)
OTHER_SIZE, OTHER_SPACING = (38, 36, 26), (1.7, 1.7, 2.5)

# A slice shows the same at a tenth of the time.
SLICE, SLICE_SPACING = (80, 72), (0.7, 0.7)
OTHER_SLICE, OTHER_SLICE_SPACING = (76, 76), (0.75, 0.75)


def tissue(dimension, seed=0):
    """A smooth anatomy as a function of points (..., x y z), in mm: forty Gaussian lumps."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(-22, 22, (40, dimension))
    widths, heights = rng.uniform(2.5, 8, 40), rng.uniform(0.3, 1, 40)

    def anatomy(points):
        lumps = zip(places, widths, heights, strict=True)
        return sum(h * np.exp(-((points - p) ** 2).sum(axis=-1) / (2 * w * w)) for p, w, h in lumps)

    return anatomy


def imaged(anatomy, size=SIZE, spacing=SPACING, noise=0.01, seed=1):
    """Image an anatomy on a grid centred on 0."""
    origin = [-(n - 1) / 2 * s for n, s in zip(size, spacing, strict=True)]
    axes = [o + np.arange(n) * s for o, n, s in zip(origin, size, spacing, strict=True)]
    points = np.stack(np.meshgrid(*axes[::-1], indexing="ij")[::-1], axis=-1)
    values = anatomy(points)
    values = values + noise * np.random.default_rng(seed).normal(size=values.shape)
    image = sitk.GetImageFromArray(values.astype(np.float32))
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    return image


def moved(anatomy, matrix, shift):
    """The anatomy after its points went from p to matrix @ p + shift."""
    back = np.linalg.inv(matrix)
    return lambda points: anatomy((points - shift) @ back.T)


def rotation(x, y, z):
    cx, cy, cz, sx, sy, sz = *np.cos([x, y, z]), *np.sin([x, y, z])
    turn_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    turn_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    turn_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return turn_z @ turn_x @ turn_y


def worst_error_voxels(found, matrix, shift, reach=20.0):
    """Largest error over a cube of points about 0, along any axis, in voxels of the fixed image."""
    dimension = len(shift)
    spacing = SPACING if dimension == 3 else SLICE_SPACING
    points = np.stack(np.meshgrid(*[[-reach, 0, reach]] * dimension), axis=-1).reshape(-1, dimension)
    mapped = np.array([found.TransformPoint(point.tolist()) for point in points])
    return float((np.abs(mapped - (points @ matrix.T + shift)) / spacing).max())


RIGID = (rotation(0.06, -0.05, 0.09), np.array([4.0, -3.0, 2.5]))
AFFINE = (
    np.array([[1.06, 0.03, 0.0], [-0.02, 0.95, 0.04], [0.01, -0.03, 1.05]]),
    np.array([3.0, -2.0, 2.0]),
)
TURN = (rotation(0, 0, 0.1)[:2, :2], np.array([3.0, -2.0]))
ANATOMY, SECTION = tissue(3), tissue(2, seed=3)


def section(anatomy=SECTION, **more):
    return imaged(anatomy, SLICE, SLICE_SPACING, **more)


def other_section(anatomy, **more):
    return imaged(anatomy, OTHER_SLICE, OTHER_SLICE_SPACING, seed=2, **more)


def inverted_and_moved(noise=0.01):
    """The section moved by TURN, in another contrast."""
    after = moved(SECTION, *TURN)
    return other_section(lambda p: 300 - 100 * after(p), noise=100 * noise)


@pytest.mark.parametrize(
    "contrast",
    [
        pytest.param(lambda v: v, id="same", marks=pytest.mark.slow),
        pytest.param(lambda v: 800 - 300 * v, id="inverted"),
        pytest.param(lambda v: 200 * np.abs(v - 1), id="folded", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("kind, truth", [("rigid", RIGID), ("affine", AFFINE)], ids=["rigid", "affine"])
def test_a_planted_transform_is_recovered_to_half_a_voxel(kind, truth, contrast):
    fixed = imaged(ANATOMY)
    after = moved(ANATOMY, *truth)
    moving = imaged(lambda p: contrast(after(p)), OTHER_SIZE, OTHER_SPACING, seed=2)
    found = register(moving, fixed, kind, seed=5)
    assert found.status == "registered" and found.warning == ""
    assert worst_error_voxels(sitk.Transform(3, sitk.sitkIdentity), *truth) > 2
    assert worst_error_voxels(found.transform, *truth) < 0.5
    assert found.metric_after < found.metric_before < 0
    assert found.iterations > 10


@pytest.mark.parametrize("kind", ["rigid", "affine"])
def test_a_planted_shift_and_turn_of_a_slice_is_recovered(kind):
    found = register(inverted_and_moved(), section(), kind, seed=1)
    assert worst_error_voxels(found.transform, *TURN) < 0.5


def disc(image, radius):
    """A disc about 0 as a mask of the image."""
    geometry = (image.GetSize(), image.GetOrigin(), image.GetSpacing())
    points = sitk.GetArrayFromImage(sitk.PhysicalPointSource(sitk.sitkVectorFloat64, *geometry))
    mask = sitk.GetImageFromArray(((points**2).sum(axis=-1) <= radius**2).astype(np.uint8))
    mask.CopyInformation(image)
    return mask


@pytest.mark.parametrize("radius, kind", [(3.0, "rigid"), (5.0, "affine")])
def test_a_small_lesion_is_registered_by_its_surroundings(monkeypatch, radius, kind):
    """Of the lesion alone the optimum lies far off, with a better metric than the truth."""
    fixed, moving = section(noise=0.03), inverted_and_moved(noise=0.03)
    found = register(moving, fixed, kind, disc(fixed, radius), seed=1)
    assert worst_error_voxels(found.transform, *TURN, reach=radius) < 0.5
    monkeypatch.setattr(registration, "SURROUND_MM", 0.0)
    alone = register(moving, fixed, kind, disc(fixed, radius), seed=1)
    assert alone.status == "identity"
    assert "voxels lie within 0 mm of the mask, 2000 needed" in alone.warning


def test_what_runs_out_of_the_image_is_not_used(monkeypatch):
    monkeypatch.setattr(registration._Pair, "metric", lambda self, t: -sum(map(abs, t.GetParameters())))
    far = sitk.Euler2DTransform((0, 0), 0, (45.0, 0.0))
    monkeypatch.setattr(registration._Pair, "optimised", lambda self, start: (far, 7, "made to stop"))
    found = register(section(seed=2), section(), "rigid", seed=1)
    assert found.metric_after < found.metric_before
    assert found.overlap_after == pytest.approx(11 / 56, abs=0.02)
    assert found.status == "identity" and "out of the moving image" in found.warning
    assert found.parameters == (0.0,) * 3


def test_only_what_is_near_the_mask_counts(monkeypatch):
    """Two halves of the image moved apart: each mask finds its own half's shift."""
    monkeypatch.setattr(registration, "SURROUND_MM", 1.0)
    monkeypatch.setattr(registration, "MINIMUM_VOXELS", 1000)

    def halves(points):
        left = points[..., :1] < 0
        return SECTION(points - np.where(left, [2.0, 0.0], [-2.0, 0.0]))

    fixed, moving = section(), section(halves, seed=2)
    for low, high, shift in [(4, 34, 2.0), (46, 76, -2.0)]:
        inside = np.zeros(SLICE[::-1], dtype=np.uint8)
        inside[4:-4, low:high] = 1
        mask = sitk.GetImageFromArray(inside)
        mask.CopyInformation(fixed)
        found = register(moving, fixed, "rigid", mask, seed=1)
        middle = mask.TransformContinuousIndexToPhysicalPoint([(low + high - 1) / 2, 35.5])
        moved_by = np.subtract(found.transform.TransformPoint(middle), middle)
        np.testing.assert_allclose(moved_by, [shift, 0], atol=0.3)


def test_what_lies_beyond_the_surroundings_does_not_count():
    """Pixels more than 20 mm from the lesion change places: the metric cannot tell."""
    fixed, moving = section(), inverted_and_moved()
    lesion, beyond = disc(fixed, 5.0), sitk.GetArrayFromImage(disc(fixed, 25.5)) == 0
    values = sitk.GetArrayFromImage(fixed)
    assert beyond.sum() > 1000
    values[beyond] = np.random.default_rng(0).permutation(values[beyond])
    shuffled = sitk.GetImageFromArray(values)
    shuffled.CopyInformation(fixed)
    one, other = (register(moving, image, "rigid", lesion, seed=1) for image in (fixed, shuffled))
    assert one.metric_before == other.metric_before
    everywhere = [register(moving, image, "rigid", seed=1) for image in (fixed, shuffled)]
    assert everywhere[0].metric_before != everywhere[1].metric_before


def test_the_share_inside_and_the_longest_way_are_those_of_a_known_shift():
    found = register(section(moved(SECTION, np.eye(2), [5.6, 0.0]), seed=2), section(), "rigid", seed=1)
    assert found.overlap_before == 1.0
    assert found.overlap_after == pytest.approx((80 - 8) / 80, abs=0.01)
    assert found.largest_shift_mm == pytest.approx(5.6, abs=0.1)


def test_the_seed_alone_decides_where_points_are_sampled(monkeypatch):
    """A seed of 0 is a seed as well, not the wall clock's time."""
    monkeypatch.setattr(registration, "SAMPLED_POINTS", 2000)
    fixed, moving = section(), inverted_and_moved()
    one, again, other = (register(moving, fixed, "rigid", seed=s).to_row() for s in (0, 0, 1))
    assert one == again
    assert one["parameters"] != other["parameters"]
    assert list(one) == REGISTRATION_COLUMNS


@pytest.mark.slow
def test_threads_of_the_machine_do_not_change_the_numbers():
    code = (
        "import sys; sys.path[:0] = ['tests', 'scripts']\n"
        "from test_registration import *\n"
        "moving = imaged(moved(ANATOMY, *RIGID), seed=2)\n"
        "print(register(moving, imaged(ANATOMY), 'affine', seed=3).to_row())\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "4")
    }
    assert len(outputs) == 1 and "registered" in outputs.pop()


def astray(transform):
    away = registration._copy(transform)
    away.SetTranslation((9.0, 9.0))
    return away, 7, "made to stop"


@pytest.mark.parametrize("kind, identity", [("rigid", (0.0,) * 3), ("affine", (1.0, 0, 0, 1, 0, 0))])
def test_a_registration_that_does_not_better_the_metric_is_not_used(monkeypatch, kind, identity):
    """The optimiser is made to walk off; the row says so and nothing is moved."""
    monkeypatch.setattr(registration._Pair, "optimised", lambda self, start: astray(start))
    found = register(section(seed=2), section(), kind, seed=1)
    row = found.to_row()
    assert row["registration_status"] == "identity"
    assert "did not better the metric" in row["warning"]
    assert row["metric_after"] > row["metric_before"]
    assert row["largest_shift_mm"] == 0.0
    assert found.parameters == identity
    assert found.transform.TransformPoint((3.0, 4.0)) == pytest.approx((3.0, 4.0), abs=0)


def test_an_affine_step_that_is_worse_than_the_rigid_one_is_not_used(monkeypatch):
    fixed, moving = section(), inverted_and_moved()
    rigid = register(moving, fixed, "rigid", seed=1)
    optimised = registration._Pair.optimised

    def affine_astray(self, start):
        return optimised(self, start) if isinstance(start, sitk.Euler2DTransform) else astray(start)

    monkeypatch.setattr(registration._Pair, "optimised", affine_astray)
    found = register(moving, fixed, "affine", seed=1)
    assert found.status == "registered" and "did not better the rigid one" in found.warning
    assert found.metric_after == rigid.metric_after
    assert worst_error_voxels(found.transform, *TURN) < 0.5


def constant(image):
    return 0 * image + 7


def with_a_hole(image):
    values = sitk.GetArrayFromImage(image)
    values[3, 3, 3] = np.nan
    result = sitk.GetImageFromArray(values)
    result.CopyInformation(image)
    return result


def elsewhere(image):
    result = sitk.Image(image)
    result.SetOrigin((1000.0, 0.0, 0.0))
    return result


@pytest.mark.parametrize(
    "spoil, reason",
    [
        (constant, "every grey value of the moving image is 7"),
        (with_a_hole, "the moving image holds values that are not finite"),
        (elsewhere, "the images do not overlap"),
    ],
)
def test_images_that_cannot_be_registered_stay_and_the_row_says_why(spoil, reason):
    fixed = imaged(ANATOMY)
    found = register(spoil(imaged(ANATOMY, seed=2)), fixed, "affine")
    row = found.to_row()
    assert row["registration_status"] == "identity" and reason in row["warning"]
    assert row["metric_before"] is None and row["metric_after"] is None
    assert found.transform.TransformPoint((1.0, 2.0, 3.0)) == (1.0, 2.0, 3.0)


def test_a_mask_outside_the_image_is_said(tmp_path):
    fixed = imaged(ANATOMY)
    found = register(imaged(ANATOMY, seed=2), fixed, "rigid", 0 * sitk.Cast(fixed > 0, sitk.sitkUInt8))
    assert "the mask has no voxel in the fixed image" in found.warning


def test_a_volume_is_not_registered_to_a_slice():
    with pytest.raises(StudyError, match="3 dimensions cannot be registered to one of 2"):
        register(imaged(ANATOMY), imaged(tissue(2), (20, 20), (1.0, 1.0)), "rigid")
    with pytest.raises(StudyError, match="2 dimensions cannot be resampled onto a grid of 3"):
        resampled_like(imaged(tissue(2), (20, 20), (1.0, 1.0)), imaged(ANATOMY))


def test_noise_alone_moves_nothing_by_half_a_voxel():
    found = register(section(noise=0.1, seed=2), section(noise=0.1), "rigid", seed=1)
    assert worst_error_voxels(found.transform, np.eye(2), np.zeros(2)) < 0.5


@pytest.mark.parametrize("kind", ["rigid", "affine"])
def test_the_table_holds_the_whole_transform_to_the_last_digit(kind):
    found = register(section(noise=0.1, seed=2), section(noise=0.1), kind, seed=1)
    row = found.to_row()
    numbers = {name: [float(word) for word in str(row[name]).split()] for name in ("parameters", "centre")}
    again = sitk.Euler2DTransform() if kind == "rigid" else sitk.AffineTransform(2)
    again.SetFixedParameters(numbers["centre"])
    again.SetParameters(numbers["parameters"])
    for point in ((0.0, 0.0), (31.7, -12.9)):
        assert again.TransformPoint(point) == found.transform.TransformPoint(point)


def ramp(size=(8, 8, 8), spacing=(1.0, 1.0, 1.0)):
    return imaged(lambda p: 10 + 2 * p[..., 0] - 3 * p[..., 1] + p[..., 2], size, spacing, noise=0)


def test_a_linear_anatomy_is_resampled_exactly_through_a_transform():
    """The transform takes points of the grid to points of the moving image."""
    moving, grid = ramp((20, 20, 20)), ramp((6, 6, 6), (0.7, 0.9, 0.8))
    shift = np.array([1.5, -0.5, 0.25])
    result = resampled_like(moving, grid, sitk.TranslationTransform(3, shift.tolist()))
    expected = sitk.GetArrayFromImage(grid) + 2 * shift[0] - 3 * shift[1] + shift[2]
    np.testing.assert_allclose(sitk.GetArrayFromImage(result), expected, atol=1e-4)
    assert result.GetPixelID() == sitk.sitkFloat32


def test_beyond_the_image_there_is_no_value_and_for_labels_none():
    moving, grid = ramp((4, 4, 4)), ramp((8, 4, 4))
    values = sitk.GetArrayFromImage(resampled_like(moving, grid))
    assert np.isnan(values[..., [0, 1, 6, 7]]).all() and np.isfinite(values[..., 2:6]).all()
    labels = sitk.Cast(moving * 0 + 3, sitk.sitkUInt8)
    nearest = resampled_like(labels, grid, None, "nearest")
    assert nearest.GetPixelID() == sitk.sitkUInt8
    assert sitk.GetArrayFromImage(nearest)[0, 0].tolist() == [0, 0, 3, 3, 3, 3, 0, 0]


def test_a_voxel_without_value_does_not_spread_on_its_own_grid():
    moving = with_a_hole(ramp())
    same = sitk.GetArrayFromImage(resampled_like(moving, moving))
    np.testing.assert_allclose(same, sitk.GetArrayFromImage(moving), rtol=1e-6)
    assert np.isnan(same).sum() == 1


@pytest.mark.parametrize("share, known", [(0.4, True), (0.5, True), (0.6, False)])
def test_between_a_value_and_none_half_the_weight_decides(share, known):
    """At ``share`` of the way from voxel 2, which has a value, to voxel 3, which has none."""
    moving = with_a_hole(ramp())
    shift = sitk.TranslationTransform(3, [share, 0.0, 0.0])
    values = sitk.GetArrayFromImage(resampled_like(moving, moving, shift))
    if known:
        assert values[3, 3, 2] == pytest.approx(sitk.GetArrayFromImage(moving)[3, 3, 2])
    else:
        assert np.isnan(values[3, 3, 2])
