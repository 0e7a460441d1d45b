"""Habitats: planted clusters come back, the arithmetic is that of the textbooks, and nothing leaks."""

import functools
import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from annulus.errors import StudyError
from annulus.imaging.habitats import (
    Habitats,
    _even_share,
    assign,
    common_grid,
    fit_habitats,
    habitat_features,
    label_image,
    label_map_like,
    sample_voxels,
    voxel_vectors,
)

CHANNELS = ("early_enhancement", "late_enhancement", "adc")
# Rim, core and necrosis on three scales; the first channel rises from the last to the first.
CENTRES = np.array([[1.6, 1.3, 1000.0], [0.9, 1.1, 1250.0], [0.1, 0.2, 1900.0]])
SPREAD = np.array([0.12, 0.12, 60.0])
FRACTIONS = np.array([0.5, 0.3, 0.2])


def lesion(voxels, seed, fractions=FRACTIONS, shift=0.0):
    """Voxels of one lesion, and which of the three planted tissues each is (by rising first channel)."""
    rng = np.random.default_rng(seed)
    tissue = np.repeat(np.arange(3), np.round(np.asarray(fractions) * voxels).astype(int))
    vectors = CENTRES[tissue] + rng.normal(size=(len(tissue), 3)) * SPREAD + shift * SPREAD
    return vectors.astype(np.float32), 3 - tissue


def cohort(patients=12, voxels=200, seed=0):
    return {f"P{i:02d}": lesion(voxels, [seed, i])[0] for i in range(patients)}


def fitted(samples=None, clusters=(2, 5), method="kmeans", seed=3, maximum_voxels=1500):
    return fit_habitats(
        cohort() if samples is None else samples, CHANNELS, clusters, method, seed, maximum_voxels
    )


@functools.cache
def frozen(method):
    return fitted(method=method)


@pytest.fixture(scope="module", params=["kmeans", "gmm"])
def habitats(request):
    return frozen(request.param)


def text(habitats):
    return json.dumps(habitats.to_json(), allow_nan=False)


def test_planted_habitats_are_found_counted_and_numbered(habitats):
    vectors, truth = lesion(3000, 99)
    labels = assign(habitats, vectors)
    assert habitats.k == 3
    assert adjusted_rand_score(truth, labels) > 0.95
    # Numbered by rising enhancement, so the numbers themselves are the planted ones.
    assert (labels == truth).mean() > 0.98
    shares = habitat_features(labels, habitats.k)
    planted = dict(zip(["h1_fraction", "h2_fraction", "h3_fraction"], FRACTIONS[::-1], strict=True))
    assert {name: shares[name] for name in planted} == pytest.approx(planted, abs=0.01)


def test_centres_are_the_planted_ones_in_the_channels_own_units(habitats):
    centres = np.asarray(habitats.centres) * habitats.sd + habitats.mean
    np.testing.assert_allclose(centres, CENTRES[::-1], atol=0.02, rtol=0.01)
    assert centres[0, 0] < centres[1, 0] < centres[2, 0]


def test_the_number_of_clusters_is_that_of_the_best_index_and_the_table_shows_all(habitats):
    table = {row.k: row for row in habitats.validity}
    assert sorted(table) == [2, 3, 4, 5]
    indices = {k: row.calinski_harabasz for k, row in table.items()}
    assert max(indices, key=indices.get) == habitats.k == 3
    # Necrosis is so far off that the silhouette alone would stop at 2: it is shown, not used.
    assert table[2].silhouette > table[3].silhouette > table[4].silhouette > table[5].silhouette
    assert all(row.converged == 1 for row in table.values() if row.k <= 3)
    if habitats.method == "kmeans":
        inertias = [table[k].inertia for k in sorted(table)]
        assert inertias == sorted(inertias, reverse=True)
        assert all(row.bic is None for row in table.values())
    else:
        assert min(table, key=lambda k: table[k].bic) == 3
        assert all(row.inertia is None for row in table.values())


def test_covariances_of_the_mixture_are_the_planted_ones():
    mixture = frozen("gmm")
    for number in range(3):
        sd = np.sqrt(np.diag(np.asarray(mixture.covariances[number]))) * mixture.sd
        np.testing.assert_allclose(sd, SPREAD, rtol=0.12)
    # Three standard errors of a share of 1500 voxels.
    np.testing.assert_allclose(mixture.weights, FRACTIONS[::-1], atol=0.038)


def by_hand_calinski_harabasz(scores, labels):
    """Between-cluster over within-cluster dispersion, each by its degrees of freedom."""
    overall, groups = scores.mean(axis=0), np.unique(labels)
    between = within = 0.0
    for group in groups:
        own = scores[labels == group]
        centre = own.mean(axis=0)
        between += len(own) * ((centre - overall) ** 2).sum()
        within += ((own - centre) ** 2).sum()
    return (between / (len(groups) - 1)) / (within / (len(scores) - len(groups)))


def by_hand_silhouette(scores, labels):
    distances = np.sqrt(((scores[:, None] - scores[None]) ** 2).sum(axis=-1))
    values = []
    for i, own in enumerate(labels):
        same = labels == own
        if same.sum() == 1:
            values.append(0.0)
            continue
        near = distances[i, same].sum() / (same.sum() - 1)
        far = min(distances[i, labels == other].mean() for other in set(labels) - {own})
        values.append((far - near) / max(near, far))
    return float(np.mean(values))


@pytest.mark.parametrize("method", ["kmeans", "gmm"])
def test_indices_are_those_of_the_closed_formulas(method):
    samples = cohort(patients=4, voxels=60)
    habitats = fitted(samples, (3, 3), method)
    voxels = np.concatenate(list(samples.values())).astype(float)
    scores = (voxels - voxels.mean(axis=0)) / voxels.std(axis=0)
    labels = assign(habitats, voxels)
    row = habitats.validity[0]
    assert row.calinski_harabasz == pytest.approx(by_hand_calinski_harabasz(scores, labels), rel=1e-9)
    assert row.silhouette == pytest.approx(by_hand_silhouette(scores, labels), rel=1e-9)
    np.testing.assert_allclose(habitats.mean, voxels.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(habitats.sd, voxels.std(axis=0), rtol=1e-12)
    if method == "kmeans":
        centres = np.array([scores[labels == n].mean(axis=0) for n in (1, 2, 3)])
        np.testing.assert_allclose(habitats.centres, centres, atol=1e-3)
        assert row.inertia == pytest.approx(((scores - centres[labels - 1]) ** 2).sum(), rel=1e-6)


def as_sklearn(habitats):
    """The library's own model, made of the frozen constants."""
    if habitats.method == "kmeans":
        model = KMeans(habitats.k)
        model.cluster_centers_ = np.asarray(habitats.centres)
        model._n_threads = 1
        model.n_features_in_ = len(habitats.channels)
        return model
    covariances = np.asarray(habitats.covariances)
    model = GaussianMixture(habitats.k, covariance_type="full")
    model.weights_, model.means_ = np.asarray(habitats.weights), np.asarray(habitats.centres)
    model.covariances_ = covariances
    roots = np.linalg.cholesky(covariances)
    model.precisions_cholesky_ = np.stack([np.linalg.inv(root).T for root in roots])
    model.n_features_in_ = len(habitats.channels)
    return model


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), spread=st.floats(0.1, 4))
def test_assigning_by_constants_is_scikit_learns_own_prediction(habitats, seed, spread):
    rng = np.random.default_rng(seed)
    scores = rng.normal(scale=spread, size=(500, 3))
    vectors = (scores * habitats.sd + habitats.mean).astype(np.float32)
    read = Habitats.from_json(json.loads(text(habitats)))
    exact = (vectors.astype(float) - habitats.mean) / habitats.sd
    assert (assign(read, vectors) == as_sklearn(habitats).predict(exact) + 1).all()


def test_a_model_read_back_is_the_same_to_the_last_byte(habitats):
    read = Habitats.from_json(json.loads(text(habitats)))
    assert read == habitats
    assert text(read) == text(habitats)
    assert read.to_json()["training"] == {"patients": 12, "voxels": 1500, "seed": 3}
    assert set(read.to_json()["versions"]) == {"numpy", "scikit-learn"}


@pytest.mark.parametrize("method", ["kmeans", "gmm"])
def test_the_order_of_patients_does_not_matter(method):
    samples = cohort(patients=6, voxels=100)
    backwards = dict(reversed(samples.items()))
    assert list(backwards) != list(samples)
    kwargs = {"clusters": (2, 3), "method": method, "maximum_voxels": 300}
    assert text(fitted(samples, **kwargs)) == text(fitted(backwards, **kwargs))
    assert text(fitted(samples, **kwargs)) != text(fitted(samples, seed=4, **kwargs))


@pytest.mark.slow
def test_threads_of_the_machine_do_not_change_the_numbers():
    code = (
        "import sys; sys.path[:0] = ['tests', 'scripts']\n"
        "from test_habitats import *\n"
        "samples = cohort(patients=20, voxels=2000)\n"
        "for method in ('kmeans', 'gmm'): print(text(fitted(samples, method=method, maximum_voxels=40000)))\n"
    )
    threads = {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | more, capture_output=True, text=True, check=True
        ).stdout
        for more in (dict.fromkeys(threads, "1"), threads)
    }
    assert len(outputs) == 1 and '"method": "gmm"' in outputs.pop()


def test_another_centres_voxels_are_scaled_by_the_training_constants():
    """A centre of necrosis alone, whose scanner makes it look like the core: it stays the core."""
    vectors, _ = lesion(1000, 5, fractions=(0, 0, 1.0), shift=0)
    raised = vectors + 0.8 * (CENTRES[1] - CENTRES[2])
    assert (assign(frozen("kmeans"), vectors) == 1).all()
    # Scaled by its own mean and SD it would be divided into all three.
    own = (raised - raised.mean(axis=0)) / raised.std(axis=0) * frozen("kmeans").sd + frozen("kmeans").mean
    assert len(set(assign(frozen("kmeans"), own).tolist())) == 3
    assert (assign(frozen("kmeans"), raised.astype(np.float32)) == 2).mean() > 0.95
    alone = assign(frozen("kmeans"), raised[:1].astype(np.float32))
    assert alone.tolist() == assign(frozen("kmeans"), raised.astype(np.float32))[:1].tolist()


def test_an_absent_habitat_has_no_share_and_says_so():
    vectors, _ = lesion(500, 8, fractions=(0.6, 0.4, 0.0))
    features = habitat_features(assign(frozen("kmeans"), vectors), 3)
    assert features["h1_fraction"] == 0.0 and features["h1_present"] == 0.0
    assert features["h2_present"] == features["h3_present"] == 1.0
    assert features["h2_fraction"] + features["h3_fraction"] == pytest.approx(1.0)


def test_shares_are_of_usable_voxels_and_none_of_none():
    labels = np.array([0, 0, 1, 1, 1, 3], dtype=np.uint8)
    assert habitat_features(labels, 3) == {
        "h1_fraction": 0.75, "h1_present": 1.0, "h2_fraction": 0.0, "h2_present": 0.0,
        "h3_fraction": 0.25, "h3_present": 1.0,
    }  # fmt: skip
    assert all(np.isnan(value) for value in habitat_features(np.zeros(4, dtype=np.uint8), 2).values())


def test_voxels_without_a_value_are_not_assigned_and_do_not_train():
    samples = cohort(patients=4, voxels=100)
    spoilt = {patient: np.vstack([v, np.full((30, 3), np.nan, np.float32)]) for patient, v in samples.items()}
    spoilt["P09"] = np.full((10, 3), np.inf, dtype=np.float32)
    assert text(fitted(spoilt, (3, 3))) == text(fitted(samples, (3, 3)))
    vectors = samples["P00"].copy()
    vectors[[0, 5], [1, 2]] = np.nan, -np.inf
    labels, clean = assign(frozen("kmeans"), vectors), assign(frozen("kmeans"), samples["P00"])
    assert labels[[0, 5]].tolist() == [0, 0]
    assert (np.delete(labels, [0, 5]) == np.delete(clean, [0, 5])).all()


def test_samples_are_balanced_and_a_patients_own():
    big, small = np.arange(3000.0).reshape(1000, 3), np.arange(30.0).reshape(10, 3)
    drawn = sample_voxels(big, 100, 7, "P1")
    assert len(drawn) == 100 and len(np.unique(drawn[:, 0])) == 100
    assert (np.diff(drawn[:, 0]) > 0).all()
    assert (sample_voxels(small, 100, 7, "P1") == small).all()
    assert (sample_voxels(big, 100, 7, "P1") == drawn).all()
    for seed, patient in ((8, "P1"), (7, "P2")):
        assert not np.array_equal(sample_voxels(big, 100, seed, patient), drawn)
    counts = np.zeros(1000)
    for number in range(400):
        counts[(sample_voxels(big, 100, 7, f"Q{number}")[:, 0] / 3).astype(int)] += 1
    assert counts.sum() == 40_000
    # Every voxel is as likely as any other: 40 draws expected of each, SD 6.
    assert abs(counts - 40).max() < 6 * 5


def test_memory_is_bounded_and_patients_are_drawn_from_evenly():
    samples = {"small": lesion(100, 1)[0], "large": lesion(800, 2)[0], "larger": lesion(900, 3)[0]}
    habitats = fitted(samples, (3, 3), maximum_voxels=700)
    assert habitats.voxels == 100 + 300 + 300 and habitats.patients == 3
    assert fitted(samples, (3, 3), maximum_voxels=701).voxels == 700
    assert fitted(samples, (3, 3), maximum_voxels=10**9).voxels == 1800


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=8), st.integers(8, 300))
def test_the_even_share_is_the_largest_that_fits(counts, maximum):
    share = _even_share(counts, maximum)
    assert sum(min(share, n) for n in counts) <= maximum
    if share < max(counts):
        assert sum(min(share + 1, n) for n in counts) > maximum


@pytest.mark.parametrize(
    "samples, clusters, maximum, message",
    [
        (cohort(2, 20), (1, 3), 100, "from 2 up, not from 1 to 3"),
        (cohort(2, 20), (4, 3), 100, "from 2 up, not from 4 to 3"),
        ({}, (2, 3), 100, "0 different usable voxels, too few for 3 clusters"),
        ({"a": np.full((50, 3), np.nan)}, (2, 2), 100, "0 different usable voxels"),
        ({"a": np.ones((50, 3)) * [[1, 2, 3]]}, (2, 2), 100, "1 different usable voxels"),
        ({"a": lesion(50, 1)[0] * [1, 1, 0]}, (2, 2), 100, "adc has the same value in every training voxel"),
        ({"a": np.ones((50, 2))}, (2, 2), 100, r"patient a have the shape \(50, 2\)"),
        (cohort(5, 20), (2, 2), 4, "4 voxels cannot be drawn evenly from 5 training patients"),
    ],
)
def test_what_cannot_be_clustered_is_refused_in_words(samples, clusters, maximum, message):
    with pytest.raises(StudyError, match=message):
        fitted(samples, clusters, maximum_voxels=maximum)


def test_voxels_of_other_channels_are_refused():
    with pytest.raises(StudyError, match=r"found on 3 channels .*adc.*; the voxels have 2"):
        assign(frozen("kmeans"), np.ones((4, 2)))


# --- The common grid ---


def oblique_mask(inside, spacing=(0.8, 0.9, 3.0)):
    mask = sitk.GetImageFromArray(inside.astype(np.uint8))
    mask.SetSpacing(spacing)
    mask.SetOrigin((-12.0, 7.0, 30.0))
    turn = np.deg2rad(20)
    mask.SetDirection((np.cos(turn), -np.sin(turn), 0, np.sin(turn), np.cos(turn), 0, 0, 0, 1))
    return mask


def block():
    inside = np.zeros((9, 20, 24), dtype=bool)
    inside[2:6, 5:15, 4:16] = True
    return inside


def centre_of(image, low, high):
    middle = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
    return image.TransformContinuousIndexToPhysicalPoint(middle)


def test_the_grid_is_centred_on_the_bounding_box_along_the_masks_axes():
    mask = oblique_mask(block())
    grid = common_grid(mask, (1.0, 1.0, 1.0), 2)
    # 12 x 10 x 4 voxels of 0.8 x 0.9 x 3 mm: 9.6 x 9 x 12 mm.
    assert grid.GetSize() == (10 + 4, 9 + 4, 12 + 4)
    assert grid.GetSpacing() == (1.0, 1.0, 1.0)
    assert grid.GetDirection() == mask.GetDirection()
    last = [n - 1 for n in grid.GetSize()]
    np.testing.assert_allclose(
        centre_of(grid, (0, 0, 0), last), centre_of(mask, (4, 5, 2), (15, 14, 5)), atol=1e-9
    )


def test_without_a_spacing_the_grid_is_the_masks_own_voxels():
    mask = oblique_mask(block())
    grid = common_grid(mask, None, 1)
    assert grid.GetSize() == (14, 12, 6)
    assert grid.GetOrigin() == mask.TransformIndexToPhysicalPoint((3, 4, 1))


def test_an_empty_mask_and_a_spacing_of_other_dimensions_are_refused():
    with pytest.raises(StudyError, match="no voxel that is set"):
        common_grid(oblique_mask(block() & False), None, 1)
    for spacing in ((1.0, 1.0), (1.0, 1.0, 0.0)):
        with pytest.raises(StudyError, match="3 positive lengths in mm"):
            common_grid(oblique_mask(block()), spacing, 1)


def ramp_like(image, weights=(1.0, -2.0, 0.5)):
    """An image whose grey value is a linear function of the place in mm."""
    source = sitk.PhysicalPointSource(
        sitk.sitkVectorFloat64, image.GetSize(), image.GetOrigin(), image.GetSpacing(), image.GetDirection()
    )
    values = sitk.GetImageFromArray(sitk.GetArrayFromImage(source) @ np.asarray(weights))
    values.CopyInformation(image)
    return sitk.Cast(values, sitk.sitkFloat32)


def coarse(size=(40, 40, 40), spacing=(1.5, 1.5, 2.0), origin=(-25.0, -15.0, 20.0)):
    image = sitk.Image(size, sitk.sitkFloat32)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    return ramp_like(image)


def places(voxels):
    """Points in mm of the lesion's voxels on the common grid, in the order of the rows."""
    inside = np.argwhere(sitk.GetArrayFromImage(voxels.mask_on_grid))[:, ::-1]
    return np.array([voxels.mask_on_grid.TransformIndexToPhysicalPoint(row.tolist()) for row in inside])


def test_channels_of_several_grids_are_read_at_the_same_places():
    mask = oblique_mask(block())
    shift = sitk.TranslationTransform(3, (1.0, 0.5, -0.5))
    images = {"a": ramp_like(mask), "b": coarse(), "c": coarse()}
    voxels = voxel_vectors(images, mask, (1.0, 1.0, 1.0), {"c": shift})
    expected = places(voxels) @ [1.0, -2.0, 0.5]
    assert voxels.channels == ("a", "b", "c") and voxels.vectors.dtype == np.float32
    np.testing.assert_allclose(voxels.vectors[:, 0], expected, atol=1e-4)
    np.testing.assert_allclose(voxels.vectors[:, 1], expected, atol=1e-4)
    # The transform takes the mask's points to the channel's.
    np.testing.assert_allclose(voxels.vectors[:, 2], expected + 1.0 - 1.0 - 0.25, atol=1e-4)
    assert voxels.usable.all()


def test_the_lesion_keeps_its_volume_on_the_common_grid():
    inside = np.zeros((40, 40, 40), dtype=bool)
    z, y, x = np.ogrid[:40, :40, :40]
    inside[(x - 19.5) ** 2 + (y - 19.5) ** 2 + (z - 19.5) ** 2 <= 14**2] = True
    mask = oblique_mask(inside, (0.7, 0.7, 0.7))
    voxels = voxel_vectors({"a": ramp_like(mask)}, mask, (1.0, 1.0, 1.0), {})
    assert len(voxels.vectors) == pytest.approx(4 / 3 * np.pi * (14 * 0.7) ** 3, rel=0.02)


def test_voxels_that_a_channel_does_not_know_are_left_out_and_counted():
    mask = oblique_mask(block())
    image = ramp_like(mask)
    values = sitk.GetArrayFromImage(image)
    values[3, 8, 10], values[4, 8:10, 10] = np.nan, np.inf
    spoilt = sitk.GetImageFromArray(values)
    spoilt.CopyInformation(image)
    voxels = voxel_vectors({"a": image, "b": spoilt}, mask, None, {})
    assert voxels.vectors.shape == (480, 2)
    assert (~voxels.usable).sum() == 3
    assert (~np.isfinite(voxels.vectors)).sum(axis=0).tolist() == [0, 3]
    assert np.isnan(voxels.vectors[~voxels.usable, 1]).all()
    np.testing.assert_array_equal(voxels.vectors[voxels.usable, 0], voxels.vectors[voxels.usable, 1])


def test_tissue_beyond_a_channels_field_of_view_has_no_value():
    mask = oblique_mask(block())
    half = sitk.RegionOfInterest(ramp_like(mask), (24, 20, 4), (0, 0, 0))
    voxels = voxel_vectors({"a": ramp_like(mask), "b": half}, mask, None, {})
    # Slices 2 and 3 of 2 to 5 are seen.
    assert (~np.isfinite(voxels.vectors)).sum(axis=0).tolist() == [0, 2 * 10 * 12]


def test_a_transform_of_no_channel_is_refused():
    mask = oblique_mask(block())
    with pytest.raises(StudyError, match="transform for adc, which is no channel"):
        voxel_vectors({"a": ramp_like(mask)}, mask, None, {"adc": sitk.TranslationTransform(3)})


def test_a_slice_is_divided_as_a_volume_is():
    inside = np.zeros((20, 24), dtype=np.uint8)
    inside[5:15, 4:16] = 1
    mask = sitk.GetImageFromArray(inside)
    mask.SetSpacing((0.5, 0.5))
    voxels = voxel_vectors({"a": sitk.Cast(mask, sitk.sitkFloat32) + 1}, mask, (1.0, 1.0), {})
    assert len(voxels.vectors) == 30


def test_labels_go_back_to_the_places_they_came_from():
    mask = oblique_mask(block())
    voxels = voxel_vectors({"a": ramp_like(mask)}, mask, (1.0, 1.0, 1.0), {})
    labels = (1 + np.arange(len(voxels.vectors)) % 5).astype(np.uint8)
    image = label_image(labels, voxels)
    assert image.IsSameImageGeometryAs(voxels.mask_on_grid)
    for point, label in itertools.islice(zip(places(voxels), labels, strict=True), 0, None, 37):
        assert image[image.TransformPhysicalPointToIndex(point.tolist())] == label
    assert int((sitk.GetArrayFromImage(image) > 0).sum()) == len(labels)
    with pytest.raises(ValueError, match="labels were given for"):
        label_image(labels[:-1], voxels)


def test_a_label_map_is_drawn_on_a_moved_image_where_its_tissue_lies():
    """The image's own grid, through the inverse of the transform that made it a channel."""
    mask = oblique_mask(block())
    voxels = voxel_vectors({"a": ramp_like(mask)}, mask, None, {})
    low = places(voxels) @ [0, 0, 1.0] < 40.0
    label_map = label_image(np.where(low, 1, 2).astype(np.uint8), voxels)
    shift = np.array([3.0, -4.0, 6.0])
    target = coarse((60, 60, 60), (0.8, 0.8, 0.8), (-30.0, -20.0, 25.0))
    drawn = label_map_like(label_map, target, sitk.TranslationTransform(3, shift.tolist()))
    assert drawn.IsSameImageGeometryAs(target) and drawn.GetPixelID() == sitk.sitkUInt8
    for point, label in itertools.islice(zip(places(voxels), np.where(low, 1, 2), strict=True), 0, None, 11):
        assert drawn[target.TransformPhysicalPointToIndex((point + shift).tolist())] == label
    on_target = sitk.GetArrayFromImage(drawn)
    assert (on_target > 0).sum() * 0.8**3 == pytest.approx(480 * 0.8 * 0.9 * 3.0, rel=0.02)
    own = label_map_like(label_map, mask)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(own) > 0, block())


def test_a_registration_without_an_inverse_is_refused():
    flat = sitk.AffineTransform(3)
    flat.SetMatrix((1, 0, 0, 0, 1, 0, 0, 0, 0))
    mask = oblique_mask(block())
    with pytest.raises(StudyError, match="cannot be inverted"):
        label_map_like(mask, mask, flat)
