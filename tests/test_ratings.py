"""Features of second raters and of perturbed images, on tiny SYNTHETIC 2-D patients of a planted truth."""

import itertools

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from annulus.errors import StudyError
from annulus.features.assembly import assemble, catalogue
from annulus.features.batches import Extraction, extract_rows
from annulus.features.ratings import (
    RATING_KEYS,
    RatingPlan,
    chosen_patients,
    rate_rows,
    stability,
)
from annulus.features.settings import Settings
from annulus.features.stability import STABILITY_COLUMNS
from annulus.imaging.reading import write_mask
from annulus.imaging.regions import Plan, build_rows
from annulus.tables import read_csv, write_csv

SHAPE, SPACING = (44, 48), (0.5, 0.5)
MIDDLE = (22.0, 24.0)

SETTINGS = Settings.of(
    {
        "imageType": {"Original": None},
        "featureClass": {"firstorder": ["Mean", "Skewness", "Minimum"], "shape2D": ["PixelSurface"]},
        "setting": {"binWidth": 25},
    }
)
ROIS = {"itr": {"kind": "tumour"}, "ptr": {"kind": "ring", "inner": 0.0, "outer": 3.0}}
MEAN, RING_MEAN = "itr_original_firstorder_Mean", "ptr_original_firstorder_Mean"
SURFACE = "itr_original_shape2D_PixelSurface"

CHAINS = {
    "shift": {"translation": 0.5},
    "grown": {"volume": 0.2},
    "worse": {"noise": 1.0, "rotation": 5},
}


def disc(radius, middle=MIDDLE):
    """Pixels within ``radius`` pixels of a place."""
    rows, columns = np.indices(SHAPE)
    return np.hypot(rows - middle[0], columns - middle[1]) <= radius


def texture(seed, level=100.0):
    return np.random.default_rng(seed).normal(level, 5.0, SHAPE)


def plan(lesions=None, rois=ROIS, **more):
    regions = {"unit": "mm", "rois": rois, "minimum_voxels": 1, "maximum_lost_fraction": 1.0}
    return Plan.of(regions | more, lesions)


def ratings(chains=CHAINS, patients=30):
    return RatingPlan.of({"perturbations": chains, "patients": patients})


class Chunk:
    """A chunk's images and masks in files, and its tables as quality control leaves them."""

    def __init__(self, folder):
        self.folder, self.images, self.masks = folder, [], []

    def image(self, patient, values, name="us", image_id=None, timepoint="baseline"):
        key = {"patient_id": patient, "timepoint": timepoint, "image_id": image_id or f"{patient}-{name}"}
        key["image"] = name
        path = self.folder / f"{key['image_id']}.nrrd"
        sitk.WriteImage(self.on_grid(values.astype(np.float32)), str(path))
        steps = {"spacing_x_mm": SPACING[0], "spacing_y_mm": SPACING[1], "spacing_z_mm": ""}
        self.images.append({**key, "image_path": path, "spacing_source": "header", "dimension": 2, **steps})
        self.key = key
        return self

    def mask(self, outline, rater="1", role="tumour", lesion="1", decision="pass"):
        """Write an outline of the image that was written last."""
        file = f"{self.key['image_id']}-{role}-{rater}-{lesion}.nrrd"
        write_mask(self.folder / "masks" / file, self.on_grid(outline.astype(np.uint8)))
        what = {"mask_role": role, "rater": rater, "lesion": lesion, "decision": decision}
        self.masks.append({**self.key, **what, "voxels": int(outline.sum()), "mask_file": file})
        return self

    @staticmethod
    def on_grid(values):
        image = sitk.GetImageFromArray(values)
        image.SetSpacing(SPACING)
        return image

    def tables(self):
        write_csv(self.folder / "images.csv", self.images)
        write_csv(self.folder / "masks.csv", self.masks)
        return read_csv(self.folder / "images.csv"), read_csv(self.folder / "masks.csv")

    def rate(self, wanted=None, training=None, perturbed=(), chains=CHAINS, settings=None, seed=4):
        images, masks = self.tables()
        return rate_rows(
            images,
            masks,
            set(images["patient_id"]) if training is None else set(training),
            set(perturbed),
            ratings(chains),
            wanted or plan(),
            settings or {"us": SETTINGS},
            self.folder / "masks",
            seed,
        )


@pytest.fixture
def chunk(tmp_path):
    return Chunk(tmp_path)


def by_rating(rows, column, patient="a"):
    own = rows[rows["patient_id"] == patient]
    return dict(zip(zip(own["source"], own["rating"], strict=True), own[column], strict=True))


# --- who is rated, and what for --------------------------------------------------------------


def test_each_rater_gives_a_row_with_the_features_of_that_raters_outline(chunk):
    values = texture(0)
    outlines = {"a": disc(6), "b": disc(8), "c": disc(7, (20, 25))}
    chunk.image("a", values)
    for rater in ("c", "a", "b"):
        chunk.mask(outlines[rater], rater)
    rows = chunk.rate()
    means, surfaces = by_rating(rows, MEAN), by_rating(rows, SURFACE)
    assert set(means) == {("raters", rater) for rater in outlines}
    for rater, outline in outlines.items():
        assert means["raters", rater] == pytest.approx(values.astype(np.float32)[outline].mean(), abs=1e-4)
        assert surfaces["raters", rater] == pytest.approx(outline.sum() * 0.25)


def test_rings_of_each_rater_go_around_that_raters_outline(chunk):
    # Brighter the farther from the middle, so that a ring's mean is a distance.
    rows, columns = np.indices(SHAPE)
    chunk.image("a", 10 * np.hypot(rows - MIDDLE[0], columns - MIDDLE[1]))
    chunk.mask(disc(5), "a").mask(disc(9), "b")
    means = by_rating(chunk.rate(), RING_MEAN)
    for rater, radius in (("a", 5), ("b", 9)):
        low, high = radius, radius + 6
        truth = 10 * 2 / 3 * (high**3 - low**3) / (high**2 - low**2)
        assert means["raters", rater] == pytest.approx(truth, rel=0.02)


def test_one_rater_alone_is_not_compared_nor_one_left_by_quality_control(chunk):
    chunk.image("a", texture(0)).mask(disc(6))
    chunk.image("b", texture(1)).mask(disc(6)).mask(disc(7), "2", decision="excluded")
    rows = chunk.rate()
    assert list(rows.columns) == RATING_KEYS
    assert rows.empty


def test_perturbed_patients_are_rated_as_they_are_and_after_every_chain(chunk):
    chunk.image("a", texture(0)).mask(disc(8)).image("b", texture(1)).mask(disc(8))
    rows = chunk.rate(perturbed={"a"})
    assert set(rows["patient_id"]) == {"a"}
    assert set(rows["source"]) == {"perturbation"}
    assert sorted(rows["rating"]) == sorted(["none", *CHAINS])
    assert list(rows.columns[: len(RATING_KEYS)]) == RATING_KEYS
    surfaces, means = by_rating(rows, SURFACE), by_rating(rows, MEAN)
    surfaces = {rating: surface for (_, rating), surface in surfaces.items()}
    assert surfaces["none"] == disc(8).sum() * 0.25
    assert surfaces["grown"] == pytest.approx(1.2 * surfaces["none"], abs=0.25)
    assert means["perturbation", "none"] == pytest.approx(
        texture(0).astype(np.float32)[disc(8)].mean(), abs=1e-4
    )
    assert len(set(means.values())) == 4


def test_raters_and_perturbations_of_a_patient_stand_side_by_side(chunk):
    chunk.image("a", texture(0)).mask(disc(8), "x").mask(disc(6), "y")
    means = by_rating(chunk.rate(perturbed={"a"}), MEAN)
    assert len(means) == 2 + 1 + len(CHAINS)
    # What is perturbed is the first rater's outline.
    assert means["perturbation", "none"] == means["raters", "x"] != means["raters", "y"]


def test_only_training_patients_and_images_with_features_are_rated(chunk):
    for patient in ("a", "b"):
        for name in ("us", "late"):
            chunk.image(patient, texture(0), name).mask(disc(6), "1").mask(disc(7), "2")
    rows = chunk.rate(training={"a"}, perturbed={"a", "b"})
    assert set(rows["patient_id"]) == {"a"}
    assert set(rows["image"]) == {"us"}
    assert chunk.rate(training=()).empty


def test_a_breast_without_a_lesion_is_not_rated(chunk):
    chunk.image("a", texture(0)).mask(disc(20), role="breast")
    chunk.image("b", texture(1)).mask(disc(6)).mask(disc(7), "2")
    assert set(chunk.rate(perturbed={"a"})["patient_id"]) == {"b"}


def test_who_else_there_is_and_which_chains_there_are_move_no_ones_rows(chunk):
    chunk.image("b", texture(1)).mask(disc(8))
    alone = chunk.rate(perturbed={"b"})
    chunk.image("a", texture(0)).mask(disc(8)).image("c", texture(2)).mask(disc(5), "1").mask(disc(6), "2")
    among = chunk.rate(perturbed={"a", "b"}, chains={"more": {"noise": 2.0}} | CHAINS)
    kept = among[(among["patient_id"] == "b") & (among["rating"] != "more")]
    pd.testing.assert_frame_equal(kept.reset_index(drop=True), alone)


def test_noise_follows_the_seed(chunk):
    chunk.image("a", texture(0)).mask(disc(8))
    first, again, other = (chunk.rate(perturbed={"a"}, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    means = [by_rating(rows, MEAN) for rows in (first, other)]
    assert means[0]["perturbation", "worse"] != means[1]["perturbation", "worse"]
    assert means[0]["perturbation", "shift"] == means[1]["perturbation", "shift"]


def test_a_chain_that_has_no_result_is_left_out_and_the_others_go_on(chunk):
    # A flat image has no noise to be multiplied.
    chunk.image("a", np.full(SHAPE, 50.0)).mask(disc(8)).image("b", texture(1)).mask(disc(8))
    rows = chunk.rate(perturbed={"a", "b"})
    assert set(rows.loc[rows["patient_id"] == "a", "rating"]) == {"none", "shift", "grown"}
    assert set(rows.loc[rows["patient_id"] == "b", "rating"]) == {"none", *CHAINS}


def test_what_cannot_be_extracted_has_no_row_and_stops_no_one(chunk):
    content = {
        "imageType": {"Original": None},
        "featureClass": {"firstorder": ["Mean"]},
        "setting": {"binWidth": 25, "normalize": False},
        "normalise_within": "tissue",
    }
    chunk.image("a", texture(0)).mask(disc(6), "1").mask(disc(7), "2")
    chunk.image("b", texture(1)).mask(disc(6), "1").mask(disc(7), "2").mask(disc(19), role="breast")
    rows = chunk.rate(settings={"us": Settings.of(content)})
    assert set(rows["patient_id"]) == {"b"}


# --- which patients, chains and columns ------------------------------------------------------


def test_the_choice_of_patients_depends_on_the_seed_and_not_on_their_order():
    people = [f"P{number:03d}" for number in range(60)]
    chosen = chosen_patients(people, 15, seed=3)
    assert len(chosen) == 15
    assert chosen < set(people)
    assert chosen_patients(people[::-1], 15, seed=3) == chosen
    assert chosen_patients(set(people), 15, seed=3) == chosen
    assert chosen_patients(people, 15, seed=4) != chosen
    assert chosen_patients(people, 100, seed=3) == set(people)


def test_a_patient_more_takes_the_place_of_one_at_most():
    people = [f"P{number:03d}" for number in range(40)]
    chosen = chosen_patients(people, 10, seed=0)
    for number in range(20):
        grown = chosen_patients([*people, f"N{number}"], 10, seed=0)
        assert grown <= chosen | {f"N{number}"}
        assert len(grown) == 10


def test_every_patient_is_as_likely_to_be_chosen():
    people = [f"P{number}" for number in range(20)]
    draws = [chosen_patients(people, 5, seed) for seed in range(400)]
    counts = pd.Series(list(itertools.chain(*draws))).value_counts()
    # 100 expected, with a standard deviation of 8.7.
    assert counts.between(60, 140).all()
    assert len(counts) == 20


def test_a_chain_of_no_known_kind_or_amount_is_refused():
    with pytest.raises(StudyError, match="no perturbation blur"):
        ratings({"a": {"blur": 1}})
    with pytest.raises(StudyError, match="between"):
        ratings({"a": {"contour": 0.9}})
    assert ratings().chains["worse"][0].kind == "noise"


def test_rows_as_they_are_and_columns_are_those_of_the_features_themselves(chunk):
    for number in range(4):
        chunk.image(f"p{number}", texture(number)).mask(disc(6 + number / 2)).mask(disc(19), role="breast")
    images, masks = chunk.tables()
    wanted, settings = plan({"us": "tumour"}), {"us": SETTINGS}
    rois = pd.DataFrame(build_rows(images, masks, wanted, chunk.folder / "masks", chunk.folder / "rois"))
    rows, failures = extract_rows(
        images,
        rois,
        masks,
        Extraction(settings, {}, {}, None, 1),
        [chunk.folder / "rois"],
        chunk.folder / "masks",
    )
    kinds = {"us": {"itr": "tumour", "ptr": "ring"}}
    usable = images[["patient_id", "timepoint", "image_id", "image"]].drop_duplicates()
    features = assemble([rows], usable, {"us": "refuse"}, kinds, settings, {"us": 2})
    described = catalogue(features, kinds, settings, {"us": 2})
    assert failures == []
    rated = chunk.rate(wanted, perturbed=images["patient_id"])
    columns = list(described["column"])
    assert [f"us_{column}" for column in rated.columns[len(RATING_KEYS) :]] == columns
    as_it_is = rated[rated["rating"] == "none"].set_index("patient_id").drop(columns=RATING_KEYS[1:])
    plain = features.set_index("patient_id").drop(columns="timepoint")
    pd.testing.assert_frame_equal(as_it_is.add_prefix("us_"), plain, check_names=False)
    assert list(stability(rated, columns)["column"]) == columns


# --- regions of what is rated ----------------------------------------------------------------


def halves():
    """Grey values that are 100 on the left of the middle of the lesion and 0 on its right."""
    return np.where(np.indices(SHAPE)[1] <= MIDDLE[1], 100.0, 0.0)


def test_rings_are_clipped_to_the_breast_with_every_rater_and_perturbation(chunk):
    chunk.image("a", halves()).mask(disc(6), "1").mask(disc(7), "2")
    free = chunk.rate(perturbed={"a"}, chains={"shift": {"translation": 0.5}})
    chunk.mask(halves() > 50, role="breast")
    clipped = chunk.rate(perturbed={"a"}, chains={"shift": {"translation": 0.5}})
    assert free[RING_MEAN].between(45, 60).all()
    means = by_rating(clipped, RING_MEAN)
    assert means.pop(("perturbation", "shift")) > 92
    assert set(means) == {("raters", "1"), ("raters", "2"), ("perturbation", "none")}
    assert set(means.values()) == {100}
    # The lesion itself is not clipped.
    assert clipped[SURFACE].tolist() == free[SURFACE].tolist()


def test_the_breast_moves_along_with_the_image(chunk):
    chunk.image("a", halves()).mask(disc(6)).mask(halves() > 50, role="breast")
    means = by_rating(chunk.rate(perturbed={"a"}, chains={"turn": {"rotation": 60}}), RING_MEAN)
    # Turned, the dark half would take a third of the ring were the breast to stay behind.
    assert means["perturbation", "turn"] > 92


def test_tissue_as_found_clips_rings_too(chunk):
    breast = np.indices(SHAPE)[1] <= 30
    chunk.image("a", 5 + 200 * breast).mask(disc(6), "1").mask(disc(7), "2")
    assert chunk.rate()[RING_MEAN].max() < 195
    assert chunk.rate(plan(tissue="found"))[RING_MEAN].min() > 195


def test_of_several_lesions_the_largest_by_the_first_rater_is_rated_by_all(chunk):
    large, small = disc(6, (22, 14)), disc(3, (22, 36))
    values = texture(0) + 50 * small
    chunk.image("a", values).mask(small, "1", lesion="s").mask(large, "1", lesion="l")
    chunk.mask(disc(9, (22, 36)), "2", lesion="s").mask(disc(5, (22, 14)), "2", lesion="l")
    surfaces = by_rating(chunk.rate(), SURFACE)
    assert surfaces["raters", "1"] == large.sum() * 0.25
    assert surfaces["raters", "2"] == disc(5, (22, 14)).sum() * 0.25


def test_rings_keep_off_other_lesions_as_those_of_the_study_do(chunk):
    large, small = disc(6, (22, 18)), disc(3, (22, 30))
    chunk.image("a", 100.0 + 900 * small).mask(large, lesion="l").mask(small, lesion="s")
    assert by_rating(chunk.rate(perturbed={"a"}), RING_MEAN)["perturbation", "none"] == 100


def test_other_lesions_move_along_with_the_image(chunk):
    large, small = disc(6, (22, 18)), disc(4, (22, 31))
    chunk.image("a", 100.0 + 900 * small).mask(large, lesion="l").mask(small, lesion="s")
    means = by_rating(chunk.rate(perturbed={"a"}, chains={"turn": {"rotation": 60}}), RING_MEAN)
    # Were the other lesion's place left free where it was, its brightness would be in the ring.
    assert means["perturbation", "turn"] == pytest.approx(100, abs=15)


def test_an_image_whose_breast_mask_was_excluded_is_not_rated(chunk):
    for patient, decision in (("a", "excluded"), ("b", "pass")):
        chunk.image(patient, texture(0)).mask(disc(6), "1").mask(disc(5), "2")
        chunk.mask(disc(15), role="breast", decision=decision)
    assert set(chunk.rate(training={"a", "b"})["patient_id"]) == {"b"}


def test_the_lesion_rated_is_the_one_that_features_are_of_whoever_outlined_it(chunk):
    large, small = disc(6, (22, 14)), disc(3, (22, 36))
    chunk.image("a", texture(0)).mask(small, "1", lesion="s")
    chunk.mask(small, "2", lesion="s").mask(large, "2", lesion="l")
    images, masks = chunk.tables()
    wanted = plan(rois={"itr": {"kind": "tumour"}})
    (region,) = build_rows(images, masks, wanted, chunk.folder / "masks", chunk.folder / "rois")
    rated = by_rating(chunk.rate(wanted, perturbed={"a"}), SURFACE)
    assert rated["perturbation", "none"] == region["volume_mm3"]


def test_a_region_that_is_too_small_for_the_study_is_too_small_for_its_ratings(chunk):
    chunk.image("a", texture(0)).mask(disc(6), "1").mask(disc(2), "2")
    least = int(disc(2).sum()) + 1
    rows = chunk.rate(plan(minimum_voxels=least), perturbed={"a"}).set_index("rating")
    assert np.isnan(rows.loc["2", SURFACE]) and np.isfinite(rows.loc["2", RING_MEAN])
    assert rows.loc["1", SURFACE] == disc(6).sum() * 0.25


def test_masks_of_other_chunks_are_none_of_this_ones_business(chunk):
    for patient in ("a", "b"):
        chunk.image(patient, texture(0)).mask(disc(6), "1").mask(disc(5), "2")
    alone = chunk.rate(training={"a"})
    chunk.images = [row for row in chunk.images if row["patient_id"] == "a"]
    pd.testing.assert_frame_equal(chunk.rate(training={"a", "b"}), alone)


def test_a_cortex_is_the_node_without_its_hilum_for_every_rater(chunk):
    rois = {
        "cortex": {"kind": "node", "of": "node_cortex"},
        "ring": {"kind": "ring", "outer": 2.0, "of": "node"},
    }
    chunk.image("a", texture(0))
    for rater, radius in (("1", 8), ("2", 9)):
        chunk.mask(disc(radius), rater, "node").mask(disc(4), rater, "node_hilum")
    surfaces = by_rating(chunk.rate(plan({"us": "node"}, rois)), "cortex_original_shape2D_PixelSurface")
    for rater, radius in (("1", 8), ("2", 9)):
        assert surfaces["raters", rater] == (disc(radius) & ~disc(4)).sum() * 0.25


# --- stability -------------------------------------------------------------------------------

COLUMNS = [f"us_{column}" for column in (SURFACE, MEAN, "itr_original_firstorder_Skewness", RING_MEAN)]


def several(chunk, count, raters):
    """Patients of different size and level, outlined alike by everyone."""
    rng = np.random.default_rng(1)
    for number in range(count):
        radius = rng.uniform(5, 9)
        chunk.image(f"p{number}", texture(number, rng.uniform(50, 250)))
        for rater in raters:
            chunk.mask(disc(radius), rater)
    return chunk


def iccs(table, source):
    return table[table["source"] == source].set_index("column")


def test_identical_raters_agree_perfectly(chunk):
    several(chunk, 6, "ab")
    table = stability(chunk.rate(), COLUMNS)
    assert list(table["column"]) == COLUMNS
    assert set(table["source"]) == {"raters"}
    assert table["icc"].to_numpy() == pytest.approx(1)
    assert (table["n"] == 6).all()


def test_what_depends_on_noise_alone_is_unstable_and_what_depends_on_the_patient_is_not(chunk):
    # The skewness of normal noise is 0 in every patient; what is measured is chance.
    several(chunk, 10, "1")
    rated = chunk.rate(
        plan(rois={"itr": {"kind": "tumour"}}),
        perturbed={f"p{number}" for number in range(10)},
        chains={"a": {"noise": 3.0}, "b": {"noise": 4.0}},
    )
    table = iccs(stability(rated, COLUMNS), "perturbation")
    assert table.loc[f"us_{MEAN}", "icc"] > 0.99
    assert table.loc[f"us_{SURFACE}", "icc"] == pytest.approx(1)
    assert table.loc["us_itr_original_firstorder_Skewness", "icc"] < 0.5
    assert (table["n"] == 10).all()


def rated_table(values, source="raters", image="us"):
    """Ratings of one feature ``f``; values are indexed (patient, rating)."""
    return pd.DataFrame(
        [
            {
                "patient_id": f"p{i:02d}", "timepoint": "baseline", "image_id": f"p{i:02d}-{image}",
                "image": image, "source": source, "rating": f"r{j}", "f": value,
            }
            for i, own in enumerate(values)
            for j, value in enumerate(own)
        ]
    )  # fmt: skip


# Six targets and four judges: Shrout & Fleiss, Psychol Bull 1979;86:420-428, table 2.
SHROUT_FLEISS = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]


def test_stability_is_the_published_agreement_of_single_raters():
    (row,) = stability(rated_table(SHROUT_FLEISS), ["us_f"]).to_dict("records")
    assert row["icc"] == pytest.approx(0.29, abs=0.005)
    assert (row["n"], row["source"], row["column"]) == (6, "raters", "us_f")


def test_raters_and_perturbations_are_judged_apart_and_in_the_order_of_the_catalogue():
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 10, (9, 1))
    parts = [
        rated_table(truth + rng.normal(0, spread, (9, 3)), source, image)
        for source, spread in (("raters", 0.1), ("perturbation", 30))
        for image in ("us", "mri")
    ]
    table = stability(pd.concat(parts, ignore_index=True), ["us_f", "other", "mri_f"])
    assert set(STABILITY_COLUMNS) <= set(table.columns)
    assert list(zip(table["source"], table["column"], strict=True)) == [
        (source, column) for source in ("perturbation", "raters") for column in ("us_f", "mri_f")
    ]
    assert (iccs(table, "raters")["icc"] > 0.95).all()
    assert (iccs(table, "perturbation")["icc"] < 0.6).all()


def test_a_column_that_the_catalogue_does_not_have_is_not_judged():
    assert stability(rated_table(SHROUT_FLEISS), ["us_g"]).empty


def test_a_patient_without_every_rating_does_not_count():
    whole = rated_table(SHROUT_FLEISS)
    more = rated_table([*SHROUT_FLEISS, [3, 9, 1, 4]])
    more = more[~((more["patient_id"] == "p06") & (more["rating"] == "r2"))]
    assert stability(more, ["us_f"]).equals(stability(whole, ["us_f"]))


def test_without_a_second_rating_nothing_is_judged():
    alone = rated_table([[value[0]] for value in SHROUT_FLEISS])
    for table in (alone, pd.DataFrame(columns=RATING_KEYS)):
        found = stability(table, ["us_f"])
        assert found.empty
        assert set(STABILITY_COLUMNS) <= set(found.columns)


def test_a_constant_feature_and_too_few_patients_have_a_reason_instead_of_a_number():
    constant = stability(rated_table(np.full((8, 2), 4.0)), ["us_f"]).iloc[0]
    assert np.isnan(constant["icc"])
    assert "same" in constant["reason"]
    few = stability(rated_table(SHROUT_FLEISS[:3]), ["us_f"]).iloc[0]
    assert np.isnan(few["icc"])
    assert "fewer" in few["reason"]


def test_of_two_images_of_a_patient_the_first_counts():
    later = rated_table(np.array(SHROUT_FLEISS)[::-1] ** 2)
    later["image_id"] += "-2"
    both = pd.concat([later, rated_table(SHROUT_FLEISS)], ignore_index=True)
    assert stability(both, ["us_f"]).equals(stability(rated_table(SHROUT_FLEISS), ["us_f"]))


def test_ratings_of_two_images_of_a_patient_are_never_mixed():
    whole = rated_table([*SHROUT_FLEISS, [3, 9, 1, 4]])
    second = whole[whole["patient_id"] == "p06"].assign(image_id="p06-us-2", f=1000.0)
    lacking = whole[~((whole["patient_id"] == "p06") & (whole["rating"] == "r2"))]
    both = pd.concat([lacking, second[second["rating"] == "r2"]], ignore_index=True)
    assert stability(both, ["us_f"]).equals(stability(lacking, ["us_f"]))


def test_ratings_of_two_timepoints_of_a_patient_are_never_mixed():
    whole = rated_table([*SHROUT_FLEISS, [3, 9, 1, 4]])
    lacking = whole[~((whole["patient_id"] == "p06") & (whole["rating"] == "r2"))]
    later = whole[whole["patient_id"] == "p06"].assign(timepoint="followup", image_id="p06-us-2", f=1000.0)
    both = pd.concat([lacking, later], ignore_index=True)
    assert stability(both, ["us_f"]).equals(stability(lacking, ["us_f"]))
