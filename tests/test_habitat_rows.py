"""Voxels drawn from, and habitats divided in, a chunk of tiny SYNTHETIC patients whose truth is planted."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from annulus.imaging.habitat_rows import REGISTRATION_KEYS, HabitatPlan, divide_rows, sample_rows
from annulus.imaging.habitats import Habitats
from annulus.imaging.reading import KEPT_SPACING, read_written, write_mask
from annulus.imaging.regions import ROI_COLUMNS
from annulus.imaging.registration import REGISTRATION_COLUMNS
from annulus.tables import read_csv, write_csv

SHAPE, SPACING = (8, 20, 22), (1.0, 1.0, 2.0)
# The ADC map has larger voxels and lies a little aside, as diffusion series do.
ADC_SHAPE, ADC_SPACING, ADC_ORIGIN = (9, 18, 18), (1.5, 1.5, 2.0), (-2.0, -3.0, -2.0)
CENTRE = np.array([10.5, 9.5, 7.0])
RADIUS, CORE = 5.2, 3.1

# Early and late enhancement and ADC of the rim (habitat 1) and of the core (habitat 2).
RIM, HEART = (0.25, 0.5, 1800.0), (1.5, 1.25, 900.0)
AROUND = (0.125, 0.25, 1400.0)
TIMES = {"pre": 0, "dce": 90, "late": 360, "adc": ""}

CHANNELS = {
    "early": {"map": "early_enhancement", "pre": "pre", "early": "dce"},
    "late": {"map": "late_enhancement", "pre": "pre", "late": "late"},
    "adc": {"map": "value", "image": "adc"},
}
SLOPES = {"slope": {"map": "wash_in", "pre": "pre", "early": "dce"}}


def points(shape, spacing, origin):
    """Where voxels lie, in mm: (slice, row, column, xyz)."""
    indices = np.moveaxis(np.indices(shape), 0, -1)[..., ::-1]
    return indices * np.array(spacing) + np.array(origin)


def planted(place, core=CORE, centre=CENTRE):
    """Which habitat lies where: 0 outside the lesion, 1 the rim, 2 the core."""
    from_centre = np.linalg.norm(place - centre, axis=-1)
    return np.where(from_centre <= core, 2, np.where(from_centre <= RADIUS, 1, 0))


def on_grid(values, spacing, origin=(0.0, 0.0, 0.0)):
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    return image


def phases(labels):
    """Grey values of the phases before contrast, early and late, all exact in single precision."""
    early, late = (np.choose(labels, [AROUND[i], RIM[i], HEART[i]]) for i in (0, 1))
    return {"pre": 400 + 0 * early, "dce": 400 * (1 + early), "late": 400 * (1 + late)}


class Chunk:
    """A chunk's images and masks in files, and its tables as quality control leaves them."""

    def __init__(self, folder):
        self.folder, self.images, self.masks = folder, [], []
        self.extracted = ["dce", "adc"]

    def add(self, patient, timepoint="baseline", core=CORE, times=TIMES, **more):
        """Write one examination; ``without`` names images and ``masked`` says whether there is an outline."""
        labels = planted(points(SHAPE, SPACING, (0, 0, 0)), core)
        adc = planted(points(ADC_SHAPE, ADC_SPACING, ADC_ORIGIN), core)
        values = phases(labels) | {"adc": np.choose(adc, [AROUND[2], RIM[2], HEART[2]])}
        for name, grey in values.items():
            if name not in more.get("without", ()):
                grid = (ADC_SPACING, ADC_ORIGIN) if name == "adc" else (SPACING,)
                image = on_grid(grey.astype(np.float32), *grid)
                outline = labels > 0 if name == "dce" and more.get("masked", True) else None
                self.put(patient, timepoint, name, image, outline, times[name])
        return self

    def put(self, patient, timepoint, name, image, outline=None, seconds="", **more):
        """Write one image, with an outline or without, and its rows."""
        image_id = more.get("image_id", f"{patient}-{name}")
        stem = f"{timepoint}-{image_id}"
        path = self.folder / f"{stem}.nrrd"
        sitk.WriteImage(image, str(path))
        key = {"patient_id": patient, "timepoint": timepoint, "image_id": image_id, "image": name}
        steps = zip(("spacing_x_mm", "spacing_y_mm", "spacing_z_mm"), image.GetSpacing(), strict=False)
        facts = {"image_path": str(path), "spacing_source": "header", "acq_time_s": seconds, **dict(steps)}
        self.images.append({**key, **facts})
        row = {"mask_role": "", "rater": more.get("rater", "1"), "lesion": more.get("lesion", "1")}
        row |= {"decision": more.get("decision", "pass"), "mask_file": "", "voxels": ""}
        if outline is not None:
            file = f"{stem}-{row['rater']}-{row['lesion']}.nrrd"
            mask = on_grid(outline.astype(np.uint8), image.GetSpacing(), image.GetOrigin())
            write_mask(self.folder / "masks" / file, mask)
            row |= {"mask_role": "tumour", "mask_file": file, "voxels": int(outline.sum())}
        self.masks.append({**key, **row})

    def tables(self, backwards=False):
        order = slice(None, None, -1 if backwards else 1)
        write_csv(self.folder / "images.csv", self.images[order])
        write_csv(self.folder / "masks.csv", self.masks[order])
        return read_csv(self.folder / "images.csv"), read_csv(self.folder / "masks.csv")

    def sample(self, wanted, **more):
        return sample_rows(*self.tables(**more), wanted, self.folder / "masks", seed=5)

    def divide(self, wanted, habitats, minimum=1, to="rois"):
        rows = divide_rows(
            *self.tables(),
            wanted,
            habitats,
            minimum,
            self.extracted,
            self.folder / "masks",
            self.folder / to,
            5,
        )
        return {(row["patient_id"], row["timepoint"], row["image"], row["roi"]): row for row in rows}

    def written(self, row, to="rois"):
        return read_written(self.folder / to / row["mask_file"])


def plan(channels=None, **more):
    wanted = {
        "image": "dce",
        "channels": channels or CHANNELS,
        "registration": "none",
        "voxels_per_patient": 5000,
    }
    return HabitatPlan.of(wanted | more)


def frozen(centres=(RIM, HEART), channels=tuple(CHANNELS), mean=(0.5, 0.5, 1500.0), sd=(0.5, 0.25, 2000.0)):
    """Habitats as training froze them, here by hand: centres in the channels' own units."""
    scores = (np.array(centres) - mean) / sd
    return Habitats(
        "kmeans", channels, mean, sd, tuple(map(tuple, scores.tolist())), (), (), (), 10, 1000, 0, ()
    )


@pytest.fixture
def chunk(tmp_path):
    return Chunk(tmp_path)


# --- voxels to find habitats in --------------------------------------------------------------


def test_every_voxel_of_the_lesion_has_the_planted_values(chunk):
    samples, rows = chunk.add("a").sample(plan())
    labels = planted(points(SHAPE, SPACING, (0, 0, 0)))
    truth = np.array([AROUND, RIM, HEART])[labels[labels > 0]]
    assert samples["a"].dtype == np.float32
    assert np.array_equal(samples["a"][:, :2], truth[:, :2].astype(np.float32))
    # The ADC is interpolated from larger voxels, so it is between the two.
    assert samples["a"][:, 2].min() >= HEART[2]
    assert samples["a"][:, 2].max() <= RIM[2]
    assert np.corrcoef(samples["a"][:, 2], truth[:, 2])[0, 1] > 0.8
    assert rows == []


def test_a_patient_lends_no_more_voxels_than_asked_for_and_whoever_else_there_is_does_not_matter(chunk):
    alone, _ = chunk.add("a").sample(plan(voxels_per_patient=30))
    together, _ = chunk.add("b", core=2.0).add("0").sample(plan(voxels_per_patient=30))
    backwards, _ = chunk.sample(plan(voxels_per_patient=30), backwards=True)
    assert {patient: len(voxels) for patient, voxels in together.items()} == {"a": 30, "b": 30, "0": 30}
    assert np.array_equal(alone["a"], together["a"])
    for patient, voxels in together.items():
        assert np.array_equal(voxels, backwards[patient])


def test_a_common_grid_keeps_the_share_of_the_core(chunk):
    samples, _ = chunk.add("a").sample(plan(CHANNELS, spacing_mm=[0.7, 0.7, 0.7]))
    core = (samples["a"][:, 0] > (RIM[0] + HEART[0]) / 2).mean()
    assert len(samples["a"]) * 0.7**3 == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.1)
    labels = planted(points(SHAPE, SPACING, (0, 0, 0)))
    assert core == pytest.approx((labels == 2).sum() / (labels > 0).sum(), abs=0.03)


def test_both_timepoints_of_a_patient_lend_voxels(chunk):
    first, _ = chunk.add("a", "baseline", core=4.5).sample(plan())
    both, _ = chunk.add("a", "followup", core=1.5).sample(plan())
    found = np.concatenate([voxels for name, voxels in both.items() if name.startswith("a")])
    assert len(found) == 2 * len(first["a"])


def test_a_patient_of_two_timepoints_lends_no_more_voxels_than_another(chunk):
    chunk.add("a", "baseline").add("a", "followup").add("b")
    samples, _ = chunk.sample(plan(voxels_per_patient=30))
    assert {patient: len(voxels) for patient, voxels in samples.items()} == {"a": 30, "b": 30}


# --- patients that cannot be divided ---------------------------------------------------------


def cannot(chunk, why, wanted=None, habitats=None):
    """Say that patient x gets empty rows with that reason, and patient a its own."""
    wanted, habitats = wanted or plan(), habitats or frozen()
    chunk.add("a")
    samples, _ = chunk.sample(wanted)
    assert list(samples) == ["a"]
    rows = chunk.divide(wanted, habitats)
    lost = {key: row for key, row in rows.items() if key[0] == "x"}
    assert {row["status"] for row in lost.values()} == {"empty"}
    assert {row["voxels"] for row in lost.values()} == {0}
    assert not any(row.get("mask_file") for row in lost.values())
    for row in lost.values():
        assert why in row["reason"], row["reason"]
    of_a = [row for key, row in rows.items() if key[0] == "a"]
    assert {row["status"] for row in of_a} == {"ok"}
    assert len(of_a) == 2 * habitats.k
    return {key[2:] for key in lost}


def test_a_patient_without_one_channel_is_empty_in_the_images_that_there_are(chunk):
    chunk.add("x", without=("adc",))
    assert cannot(chunk, "no usable image adc") == {("dce", "h1"), ("dce", "h2")}


def test_a_patient_without_a_phase_that_is_not_extracted_is_empty_in_all(chunk):
    found = cannot(chunk.add("x", without=("late",)), "no usable image late")
    assert found == {(image, f"h{k}") for image in ("dce", "adc") for k in (1, 2)}


def test_an_image_that_quality_control_excluded_counts_as_missing(chunk):
    chunk.add("x")
    next(row for row in chunk.masks if row["image"] == "late")["decision"] = "excluded"
    cannot(chunk, "no usable image late")


def test_a_patient_without_a_mask_is_empty(chunk):
    assert len(cannot(chunk.add("x", masked=False), "no usable mask of the tumour in dce")) == 4


def test_a_patient_whose_mask_outlines_another_image_is_empty(chunk):
    chunk.add("x", masked=False)
    for row in chunk.masks:
        if row["image"] == "late":
            row |= {"mask_role": "tumour", "mask_file": "gone.nrrd", "voxels": 9}
    cannot(chunk, "no usable mask of the tumour in dce")


def test_an_image_that_is_gone_is_said_and_stops_no_one_else(chunk):
    chunk.add("x")
    (chunk.folder / "baseline-x-late.nrrd").unlink()
    cannot(chunk, "there is no file")


@pytest.mark.parametrize(
    ("times", "why"),
    [
        (TIMES | {"dce": ""}, "acquisition time of early is not known"),
        (TIMES | {"pre": "", "dce": ""}, "acquisition time of pre and early is not known"),
        (TIMES | {"pre": 90, "dce": 0}, "swapped"),
    ],
)
def test_where_times_are_needed_a_patient_without_them_is_empty(chunk, times, why):
    habitats = frozen(((0.2,), (1.0,)), ("slope",), (0.5,), (0.5,))
    cannot(chunk.add("x", times=times), why, plan(SLOPES), habitats)


def test_where_no_times_are_needed_none_are_missed(chunk):
    samples, _ = chunk.add("x", times=dict.fromkeys(TIMES, "")).sample(plan())
    assert set(samples) == {"x"}


def test_a_slope_is_the_enhancement_per_minute(chunk):
    samples, _ = chunk.add("a").sample(plan(SLOPES))
    assert set(np.unique(samples["a"])) == {np.float32(RIM[0] / 1.5), np.float32(HEART[0] / 1.5)}


def test_without_signal_before_contrast_a_patient_is_empty(chunk):
    chunk.add("x", without=("pre",))
    chunk.put("x", "baseline", "pre", on_grid(np.zeros(SHAPE, np.float32), SPACING))
    cannot(chunk, "pre phase has no signal")


def without_pixel_size(chunk, patient, *names):
    for row in chunk.images:
        if row["patient_id"] == patient and row["image"] in names:
            path = Path(row["image_path"])
            head, gap, pixels = path.read_bytes().partition(b"\n\n")
            kept = [line for line in head.split(b"\n") if not line.startswith(b"space")]
            path.write_bytes(b"\n".join(kept) + gap + pixels)
            row |= {"spacing_source": "unknown"} | dict.fromkeys(KEPT_SPACING, "")


@pytest.mark.parametrize("more", [{"spacing_mm": [1.0, 1.0, 1.0]}, {"registration": "rigid"}, {}])
def test_without_a_pixel_size_nothing_is_measured_in_mm(chunk, more):
    # Without either, the ADC map's other grid is what cannot be brought onto that of the others.
    chunk.add("x")
    without_pixel_size(chunk, "x", "pre", "dce", "late", "adc")
    cannot(chunk, "the pixel size of dce, pre, late, adc is unknown", plan(**more))


def test_images_of_one_grid_need_no_pixel_size(chunk):
    enhancement = {"early": CHANNELS["early"]}
    chunk.add("x")
    whole, _ = chunk.sample(plan(enhancement))
    chunk.masks = [row for row in chunk.masks if row["image"] != "dce"]
    chunk.extracted = ["dce"]
    without_pixel_size(chunk, "x", "pre", "dce")
    labels = planted(points(SHAPE, SPACING, (0, 0, 0)))
    chunk.images = [row for row in chunk.images if row["image"] != "dce"]
    image = on_grid(phases(labels)["dce"].astype(np.float32), (1.0, 1.0, 1.0))
    chunk.put("x", "baseline", "dce", image, labels > 0, 90)
    without_pixel_size(chunk, "x", "dce")
    samples, _ = chunk.sample(plan(enhancement))
    assert np.array_equal(samples["x"], whole["x"])
    rows = chunk.divide(plan(enhancement), frozen(((0.25,), (1.5,)), ("early",), (0.5,), (0.5,)))
    assert {row["status"] for row in rows.values()} == {"ok"}


def test_habitats_are_not_carried_to_an_image_of_another_grid_without_a_pixel_size(chunk):
    enhancement = {"early": CHANNELS["early"]}
    chunk.add("a").add("x")
    without_pixel_size(chunk, "x", "adc")
    rows = chunk.divide(plan(enhancement), frozen(((0.25,), (1.5,)), ("early",), (0.5,), (0.5,)))
    lost = {key for key, row in rows.items() if row["status"] == "empty"}
    assert lost == {("x", "baseline", "adc", "h1"), ("x", "baseline", "adc", "h2")}
    assert "the pixel size of adc or dce is unknown" in rows["x", "baseline", "adc", "h1"]["reason"]


def test_an_image_without_channels_that_is_gone_costs_its_own_regions_alone(chunk):
    enhancement = {"early": CHANNELS["early"]}
    chunk.add("a").add("x")
    (chunk.folder / "baseline-x-adc.nrrd").unlink()
    rows = chunk.divide(plan(enhancement), frozen(((0.25,), (1.5,)), ("early",), (0.5,), (0.5,)))
    lost = {key: row["reason"] for key, row in rows.items() if row["status"] == "empty"}
    assert set(lost) == {("x", "baseline", "adc", "h1"), ("x", "baseline", "adc", "h2")}
    assert all("there is no file" in reason for reason in lost.values())


# --- division --------------------------------------------------------------------------------


def test_planted_habitats_come_back_as_regions_of_every_image(chunk):
    rows = chunk.add("a").divide(plan(), frozen())
    assert set(rows) == {("a", "baseline", image, roi) for image in ("dce", "adc") for roi in ("h1", "h2")}
    labels = planted(points(SHAPE, SPACING, (0, 0, 0)))
    for number in (1, 2):
        row = rows["a", "baseline", "dce", f"h{number}"]
        assert set(row) <= set(ROI_COLUMNS)
        assert np.array_equal(chunk.written(row).array > 0, labels == number)
        assert row["voxels"] == (labels == number).sum()
        assert row["volume_mm3"] == row["voxels"] * 2
        assert row["fraction"] == pytest.approx((labels == number).sum() / (labels > 0).sum())
        assert (row["present"], row["kind"], row["status"], row["lesion"]) == (1, "habitat", "ok", "1")
        assert rows["a", "baseline", "adc", f"h{number}"]["fraction"] == row["fraction"]


def test_on_an_image_of_another_grid_habitats_lie_where_they_are_in_space(chunk):
    rows = chunk.add("a").divide(plan(), frozen())
    place = points(ADC_SHAPE, ADC_SPACING, ADC_ORIGIN)
    for number in (1, 2):
        mask = chunk.written(rows["a", "baseline", "adc", f"h{number}"])
        image = sitk.ReadImage(str(chunk.folder / "baseline-a-adc.nrrd"))
        assert mask.pixels.IsSameImageGeometryAs(image)
        found = mask.array > 0
        # To the nearest voxel of the lesion's own grid.
        size = np.linalg.norm(SPACING) / 2
        radii = np.linalg.norm(place - CENTRE, axis=-1)[found]
        low, high = (0, CORE) if number == 2 else (CORE, RADIUS)
        assert radii.min() >= low - size
        assert radii.max() <= high + size
        truth = (planted(place) == number).sum()
        assert found.sum() == pytest.approx(truth, rel=0.35)


def test_a_habitat_is_that_of_the_nearest_frozen_centre_of_z_scores(chunk):
    third = (0.25, 0.5, 1300.0)
    habitats = frozen((RIM, third, HEART), sd=(0.5, 0.25, 50.0))
    rows = chunk.add("a").divide(plan(), habitats)
    samples, _ = chunk.sample(plan())
    scores = (samples["a"] - habitats.mean) / habitats.sd
    distances = [((scores - centre) ** 2).sum(axis=1) for centre in np.array(habitats.centres)]
    nearest = np.argmin(distances, axis=0) + 1
    labels = np.zeros(SHAPE, int)
    labels[planted(points(SHAPE, SPACING, (0, 0, 0))) > 0] = nearest
    assert set(nearest) == {1, 2, 3}
    for number in (1, 2, 3):
        row = rows["a", "baseline", "dce", f"h{number}"]
        assert np.array_equal(chunk.written(row).array > 0, labels == number)
        assert row["fraction"] == pytest.approx((nearest == number).mean())


def test_other_patients_do_not_move_a_habitat_and_frozen_constants_do(chunk):
    rows = chunk.add("a").divide(plan(), frozen(), to="alone")
    chunk.add("b", core=1.5).add("0", core=4.9)
    among = chunk.divide(plan(), frozen(), to="among")
    for key, row in rows.items():
        assert among[key] == row
        files = [chunk.folder / to / row["mask_file"] for to in ("alone", "among")]
        assert files[0].read_bytes() == files[1].read_bytes()
    moved = chunk.divide(plan(), frozen((RIM, (9.0, 9.0, 0.0))), to="moved")
    assert moved["a", "baseline", "dce", "h1"]["fraction"] == 1


def test_an_absent_habitat_is_empty_with_a_share_of_nothing(chunk):
    rows = chunk.add("a", core=0).divide(plan(), frozen(), minimum=10)
    for image in ("dce", "adc"):
        row = rows["a", "baseline", image, "h2"]
        assert (row["status"], row["voxels"], row["fraction"], row["present"]) == ("empty", 0, 0, 0)
        assert not chunk.written(row).array.any()
        assert rows["a", "baseline", image, "h1"]["fraction"] == 1


def test_a_habitat_of_few_voxels_is_too_small_and_still_has_its_share(chunk):
    chunk.add("a", core=1.6)
    core = int((planted(points(SHAPE, SPACING, (0, 0, 0)), 1.6) == 2).sum())
    row = chunk.divide(plan(), frozen(), minimum=core + 1)["a", "baseline", "dce", "h2"]
    assert (row["status"], row["reason"]) == ("too_small", f"{core} voxels, {core + 1} needed")
    assert row["present"] == 1
    assert 0 < row["fraction"] < 0.1
    assert chunk.divide(plan(), frozen(), minimum=core)["a", "baseline", "dce", "h2"]["status"] == "ok"


def test_images_without_features_get_no_region(chunk):
    chunk.extracted = ["late"]
    rows = chunk.add("a").add("x", masked=False).divide(plan(), frozen())
    assert {key[2] for key in rows} == {"late"}


def test_timepoints_are_divided_each_by_its_own_images(chunk):
    # Both have images of the same ids.
    chunk.add("a", "baseline", core=4.5).add("a", "followup", core=1.5).add("x", "baseline")
    chunk.add("x", "followup", masked=False)
    rows = chunk.divide(plan(), frozen())
    shares = {}
    for timepoint, core in (("baseline", 4.5), ("followup", 1.5)):
        labels = planted(points(SHAPE, SPACING, (0, 0, 0)), core)
        row = rows["a", timepoint, "dce", "h2"]
        assert np.array_equal(chunk.written(row).array > 0, labels == 2)
        shares[timepoint] = row["fraction"]
    assert shares["baseline"] > 10 * shares["followup"]
    files = [row["mask_file"] for row in rows.values() if row.get("mask_file")]
    assert len(set(files)) == len(files) == 12
    assert rows["x", "baseline", "dce", "h1"]["status"] == "ok"
    assert rows["x", "followup", "dce", "h1"]["status"] == "empty"


def test_the_largest_lesion_by_the_first_rater_is_divided(chunk):
    chunk.add("a", masked=False)
    labels = planted(points(SHAPE, SPACING, (0, 0, 0)))
    small = np.zeros(SHAPE, bool)
    small[1:3, 1:3, 1:3] = True
    image = on_grid(phases(labels)["dce"].astype(np.float32), SPACING)
    chunk.images = [row for row in chunk.images if row["image"] != "dce"]
    chunk.masks = [row for row in chunk.masks if row["image"] != "dce"]
    for rater, lesion, outline in (("2", "one", labels >= 0), ("1", "two", small), ("1", "one", labels > 0)):
        chunk.put("a", "baseline", "dce", image, outline, 90, rater=rater, lesion=lesion)
    row = chunk.divide(plan(), frozen())["a", "baseline", "dce", "h2"]
    assert row["lesion"] == "one"
    assert row["fraction"] == pytest.approx((labels == 2).sum() / (labels > 0).sum())


# --- registration ----------------------------------------------------------------------------

SCAN, SCAN_SPACING = (14, 32, 32), (1.5, 1.5, 2.5)
SHIFT = np.array([4.0, -3.0, 2.5])


def anatomy(place):
    """A smooth anatomy: thirty Gaussian lumps about a lesion that is brighter than all."""
    rng = np.random.default_rng(2)
    middle = np.array([(n - 1) / 2 * s for n, s in zip(SCAN[::-1], SCAN_SPACING, strict=True)])
    lumps = zip(rng.uniform(-24, 24, (30, 3)), rng.uniform(3, 8, 30), rng.uniform(0.3, 1, 30), strict=True)
    offset = place - middle
    texture = sum(h * np.exp(-((offset - p) ** 2).sum(axis=-1) / (2 * w * w)) for p, w, h in lumps)
    return texture, np.linalg.norm(offset, axis=-1)


def scanned(shift=(0.0, 0.0, 0.0)):
    """The two contrasts of the anatomy after its points went by ``shift``, and its lesion."""
    texture, radii = anatomy(points(SCAN, SCAN_SPACING, (0, 0, 0)) - shift)
    noise = np.random.default_rng(3).normal(0, 0.01, SCAN)
    bright = texture + 2 * (radii <= 8) + noise
    adc = 2000 - 300 * texture - 500 * (radii <= 8) + 200 * noise
    return bright, adc, radii <= 8


@pytest.fixture(scope="module")
def shifted(tmp_path_factory):
    """A patient who moved before the ADC was taken, divided with a rigid registration and without one."""
    chunk = Chunk(tmp_path_factory.mktemp("shifted"))
    bright, still, lesion = scanned()
    chunk.put("a", "baseline", "dce", on_grid(bright.astype(np.float32), SCAN_SPACING), lesion)
    moved = scanned(SHIFT)[1]
    chunk.put("a", "baseline", "adc", on_grid(moved.astype(np.float32), SCAN_SPACING))
    return chunk, still[lesion]


ADC_ALONE = {"adc": {"map": "value", "image": "adc"}}


def test_registration_brings_a_shifted_image_back_and_says_how_well(shifted):
    chunk, truth = shifted
    samples, (row,) = chunk.sample(plan(ADC_ALONE, registration="rigid"))
    assert set(row) == {*REGISTRATION_KEYS, *REGISTRATION_COLUMNS}
    assert (row["patient_id"], row["timepoint"], row["image"]) == ("a", "baseline", "adc")
    assert (row["image_id"], row["fixed_image_id"]) == ("a-adc", "a-dce")
    assert (row["registration_kind"], row["registration_status"]) == ("rigid", "registered")
    assert row["largest_shift_mm"] == pytest.approx(np.linalg.norm(SHIFT), abs=1)
    assert np.allclose(list(map(float, row["parameters"].split()))[3:], SHIFT, atol=0.4)
    assert row["metric_after"] < row["metric_before"]
    unregistered, rows = chunk.sample(plan(ADC_ALONE))
    assert rows == []
    errors = [np.abs(voxels["a"][:, 0] - truth) for voxels in (samples, unregistered)]
    assert np.median(errors[0]) < 30
    assert np.median(errors[0]) < np.median(errors[1]) / 3


def test_habitats_follow_the_registration_back_onto_the_shifted_image(shifted):
    chunk, _ = shifted
    adc = frozen(((0.0,), (1e6,)), ("adc",), (0.0,), (1.0,))
    rows = chunk.divide(plan(ADC_ALONE, registration="rigid"), adc)
    assert rows["a", "baseline", "dce", "h1"]["fraction"] == 1
    middles = {}
    for name in ("dce", "adc"):
        found = chunk.written(rows["a", "baseline", name, "h1"]).array > 0
        middles[name] = points(SCAN, SCAN_SPACING, (0, 0, 0))[found].mean(axis=0)
    assert np.allclose(middles["adc"] - middles["dce"], SHIFT, atol=0.6)


def test_what_cannot_be_registered_stays_and_the_table_says_so(chunk):
    # The whole image has fewer voxels than a histogram needs.
    small = on_grid(np.arange(1000, dtype=np.float32).reshape(10, 10, 10), (1.0, 1.0, 1.0))
    outline = np.zeros((10, 10, 10), bool)
    outline[3:7, 3:7, 3:7] = True
    chunk.put("a", "baseline", "dce", small, outline)
    chunk.put("a", "baseline", "adc", small)
    samples, (row,) = chunk.sample(plan(ADC_ALONE, registration="rigid"))
    assert (row["registration_status"], row["largest_shift_mm"]) == ("identity", 0)
    assert "2000 needed" in row["warning"]
    assert np.array_equal(np.sort(samples["a"][:, 0]), np.sort(sitk.GetArrayFromImage(small)[outline]))
