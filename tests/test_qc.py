"""Mask quality control: every finding on a small file that has just that fault."""

import hashlib
import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import yaml
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from annulus.config import problems
from annulus.errors import StudyError
from annulus.imaging.cohort_checks import (
    diameter_findings,
    duplicate_findings,
    lost_patients,
    refuse_large_loss,
    usable_images,
    with_findings,
)
from annulus.imaging.duplicates import duplicate_pairs
from annulus.imaging.findings import Policy
from annulus.imaging.mask_checks import largest_diameter
from annulus.imaging.preparing import Preparation
from annulus.imaging.qc import AGREEMENT_COLUMNS, MASK_COLUMNS, Control, check_image, check_rows
from annulus.imaging.reading import read_again, read_written
from annulus.imaging.regions import Outlines

SCHEMA = yaml.safe_load((Path(__file__).parents[1] / "workflow/schemas/study.schema.yaml").read_text())


def policy_of(unit="px", **changes):
    """The schema's own policy, with some of it changed."""
    qc = {"minimum_voxels": 20, **changes}
    assert problems(qc, SCHEMA["properties"]["qc"]) == []
    return Policy.of(qc, unit)


POLICY = policy_of()
NOISE = np.random.default_rng(0).integers(0, 255, (30, 40)).astype(np.uint8)


def write(path, array, spacing=(0.5, 0.4), origin=(1.0, 2.0), vector=False):
    image = sitk.GetImageFromArray(array, isVector=vector)
    if image.GetDimension() == len(spacing):
        image.SetSpacing(spacing)
        image.SetOrigin(origin)
    sitk.WriteImage(image, str(path))
    return str(path)


def square(value=1, dtype=np.uint8):
    """A clean mask of 8 by 10 voxels."""
    mask = np.zeros(NOISE.shape, dtype)
    mask[10:18, 12:22] = value
    return mask


def row(image, mask, patient="p1", role="tumour", **more):
    return {
        "patient_id": patient,
        "image_id": f"{patient}_1",
        "timepoint": "baseline",
        "modality": "US",
        "series": "bmode",
        "view": "na",
        "image": "us",
        "image_path": image,
        "mask_path": mask,
        "mask_role": role,
        "rater": "1",
        "lesion": "1",
        **more,
    }


def checked(rows, policy=POLICY, folder=None, preparation=None):
    """Check the rows of one image; returns a finding per row, and the report."""
    report = check_image(rows, Control(policy, {"us": preparation or Preparation()}), folder)
    found = []
    for mask in report.masks:
        file = mask["mask_file"]
        written = read_written(folder / file) if file else None
        found.append(
            SimpleNamespace(
                **{name: mask.get(name) for name in MASK_COLUMNS if name not in ("reasons", "repairs")},
                reasons=tuple(filter(None, mask["reasons"].split(";"))),
                repairs=tuple(filter(None, mask["repairs"].split(";"))),
                mask=None if written is None else written.array,
                spacing=None if written is None else written.spacing,
            )
        )
    return found, report


@pytest.fixture
def check(tmp_path):
    """Check a mask (array or path) of an image (array or path) and return the finding."""

    def run(mask, image=NOISE, role="tumour", policy=POLICY, suffix="nrrd", preparation=None, **more):
        if isinstance(image, np.ndarray):
            image = write(tmp_path / f"image.{suffix}", image)
        if isinstance(mask, np.ndarray):
            mask = write(tmp_path / f"mask.{suffix}", mask, vector=mask.ndim == 3)
        rows = [row(image, mask, role=role, **more)]
        return checked(rows, policy, tmp_path / "kept", preparation)[0][0]

    return run


def kept(finding):
    return finding.mask > 0


# --- clean masks -----------------------------------------------------------------------------


def test_a_clean_mask_passes_with_its_measures(check):
    finding = check(square())
    assert finding.decision == "pass"
    assert finding.reasons == finding.repairs == ()
    assert finding.voxels == 80
    assert finding.volume_mm3 == pytest.approx(80 * 0.2)
    assert finding.largest_diameter_mm == pytest.approx(np.hypot(9 * 0.5, 7 * 0.4))
    assert (finding.components, finding.holes, finding.touches_border) == (1, 0, 0)
    assert finding.image_mask_same_grid == 1
    assert np.array_equal(kept(finding), square() > 0)
    assert finding.spacing == (0.5, 0.4)


def test_the_diameter_of_a_disc_is_its_diameter(check):
    image = np.random.default_rng(1).normal(size=(101, 101)).astype(np.float32)
    rows, columns = np.ogrid[:101, :101]
    disc = ((rows - 50) ** 2 + (columns - 50) ** 2 <= 30**2).astype(np.uint8)
    finding = check(disc, image)
    # Spacing 0.5 along x is the longer one.
    assert finding.largest_diameter_mm == pytest.approx(30.0)


def test_the_diameter_of_a_lesion_in_one_slice_of_a_volume_is_that_in_the_slice(tmp_path):
    rows, columns = np.ogrid[:41, :61]
    ellipse = ((columns - 30) / 20) ** 2 + ((rows - 20) / 5) ** 2 <= 1
    mask = np.zeros((5, 41, 61), np.uint8)
    mask[2] = ellipse
    grey = np.random.default_rng(1).normal(size=mask.shape).astype(np.float32)
    image = write(tmp_path / "i.nrrd", grey, (1.0,) * 3, (0.0,) * 3)
    rows = [row(image, write(tmp_path / "m.nrrd", mask, (1.0,) * 3, (0.0,) * 3))]
    finding = checked(rows, folder=tmp_path / "kept")[0][0]
    assert finding.largest_diameter_mm == pytest.approx(40.0)


def test_the_diameter_of_a_line_is_its_length(check):
    line = np.zeros(NOISE.shape, np.uint8)
    line[5, 3:33] = 1
    assert check(line).largest_diameter_mm == pytest.approx(29 * 0.5)


@pytest.mark.parametrize("along", [(0, 1, 1), (1, 1, 1), (1, -1, 2)])
def test_the_diameter_of_a_disc_in_an_oblique_plane_is_the_largest_distance(along):
    place = np.moveaxis(np.indices((17, 17, 17)), 0, -1) - 8
    radius = np.linalg.norm(place, axis=-1)
    inside = (place @ along == 0) & (radius <= 7)
    spacing = (0.5, 0.7, 1.1)
    expected = pdist(np.argwhere(inside) * spacing[::-1]).max()
    assert largest_diameter(inside, spacing) == pytest.approx(expected, abs=1e-9)


@given(st.sets(st.tuples(*[st.integers(0, 6)] * 3), min_size=1, max_size=40))
def test_the_diameter_is_the_largest_distance_of_any_two_voxels(places):
    inside = np.zeros((7, 7, 7), bool)
    inside[tuple(np.array(sorted(places)).T)] = True
    points = np.argwhere(inside) * (2.5, 0.9, 0.8)
    expected = pdist(points).max() if len(points) > 1 else 0.0
    assert largest_diameter(inside, (0.8, 0.9, 2.5)) == pytest.approx(expected, abs=1e-9)


# --- files that cannot be used ---------------------------------------------------------------


def test_a_missing_image_is_excluded(check, tmp_path):
    finding = check(square(), image=str(tmp_path / "nothing.nrrd"))
    assert (finding.decision, finding.reasons) == ("excluded", ("missing_image",))
    assert "nothing.nrrd" in finding.message
    assert finding.mask is None


def test_a_damaged_image_is_unreadable(check, tmp_path):
    whole = write(tmp_path / "whole.nrrd", NOISE)
    broken = tmp_path / "broken.nrrd"
    broken.write_bytes(Path(whole).read_bytes()[:-600])
    assert check(square(), image=str(broken)).reasons == ("unreadable_image",)


def test_a_missing_mask_is_excluded_and_the_image_is_still_described(tmp_path):
    image = write(tmp_path / "i.nrrd", NOISE)
    (finding,), report = checked([row(image, str(tmp_path / "nothing.png"))], folder=tmp_path / "kept")
    facts = report.images[0]
    assert finding.reasons == ("missing_mask",)
    assert "nothing.png" in finding.message
    assert facts["image_sha256"] == hashlib.sha256(Path(image).read_bytes()).hexdigest()
    assert facts["spacing_x_mm"] == 0.5
    assert facts["dimension"] == 2


def test_a_mask_that_is_text_is_unreadable(check, tmp_path):
    (tmp_path / "text.png").write_text("not a picture")
    assert check(str(tmp_path / "text.png")).reasons == ("unreadable_mask",)


def test_an_empty_mask_is_excluded(check):
    finding = check(square(0))
    assert (finding.decision, finding.reasons) == ("excluded", ("empty_mask",))
    assert finding.mask is None


@pytest.mark.parametrize("fault", ["size", "spacing", "origin"])
def test_a_mask_that_differs_in_its_grid_is_resampled_and_both_grids_are_told(check, tmp_path, fault):
    array = square()[:, :-1] if fault == "size" else square()
    spacing = (0.5, 0.5) if fault == "spacing" else (0.5, 0.4)
    origin = (1.0, 2.4) if fault == "origin" else (1.0, 2.0)
    path = write(tmp_path / "m.nrrd", array, spacing, origin)
    finding = check(path)
    assert (finding.decision, finding.reasons[0]) == ("repaired", "grid_mismatch")
    assert finding.image_mask_same_grid == 0
    shown = {"size": "39 x 30 pixels", "spacing": "of 0.5 x 0.5 mm", "origin": "from (1, 2.4)"}[fault]
    assert shown in finding.message
    # 80 pixels of 0.4 mm; at 0.5 mm the same 8 rows are 10 of the image's.
    assert finding.voxels == {"size": 80, "spacing": 100, "origin": 80}[fault]
    assert np.flatnonzero(finding.mask.any(axis=1))[0] == {"size": 10, "spacing": 12, "origin": 11}[fault]
    assert check(path, policy=policy_of(grid_mismatch="exclude")).decision == "excluded"


def test_a_mask_that_lies_beside_the_image_is_excluded(check, tmp_path):
    finding = check(write(tmp_path / "m.nrrd", square(), (0.5, 0.4), (12.0, 2.0)))
    assert (finding.decision, finding.reasons) == ("excluded", ("grid_mismatch",))
    assert "of the mask lies within the image" in finding.message
    assert finding.mask is None


def test_a_picture_of_another_size_cannot_be_resampled(check, tmp_path):
    image = write(tmp_path / "i.png", NOISE)
    finding = check(write(tmp_path / "m.png", square()[:, :-1]), image)
    assert (finding.decision, finding.reasons) == ("excluded", ("grid_mismatch",))


def test_a_constant_image_is_excluded(check):
    finding = check(square(), image=np.full(NOISE.shape, 7, np.uint8))
    assert finding.reasons == ("constant_image",)
    assert "7" in finding.message


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_image_with_a_value_that_is_not_finite_is_excluded(check, bad):
    image = NOISE.astype(np.float32)
    image[3, 4] = bad
    finding = check(square(), image=image)
    assert (finding.decision, finding.reasons) == ("excluded", ("not_finite",))


def test_an_unknown_pixel_size_excludes_only_where_mm_are_measured(check):
    pixels = check(square(), suffix="png")
    assert pixels.decision == "pass"
    assert pixels.volume_mm3 is pixels.largest_diameter_mm is None
    finding = check(square(), suffix="png", policy=policy_of("mm"))
    assert finding.reasons == ("unknown_spacing",)
    assert "pixel_spacing_x_mm" in finding.message
    assert "px or fraction" in finding.message


def test_a_pixel_size_from_the_manifest_will_do_for_mm(check):
    finding = check(
        square(),
        suffix="png",
        policy=policy_of("mm"),
        pixel_spacing_x_mm="0.5",
        pixel_spacing_y_mm="0.2",
    )
    assert finding.decision == "pass"
    assert finding.volume_mm3 == pytest.approx(8.0)
    assert finding.spacing == (0.5, 0.2)


def test_policy_needs_the_pixel_size_for_mm_alone():
    assert [policy_of(unit).needs_spacing for unit in ("mm", "px", "fraction")] == [True, False, False]


# --- lesions with faults ---------------------------------------------------------------------


def several():
    mask = square()
    mask[10:12, 12:22] = 2
    return mask


def test_several_labels_are_excluded_or_united(check):
    finding = check(several())
    assert (finding.decision, finding.reasons) == ("excluded", ("several_labels",))
    assert finding.mask is None
    united = check(several(), policy=policy_of(several_labels="repair"))
    assert (united.decision, united.voxels) == ("repaired", 80)
    assert united.repairs == ("united the labels: 80 to 80 voxels",)


def scattered():
    mask = square()
    mask[2:4, 2:5] = 1
    mask[25, 30] = 1
    return mask


def test_extra_components_are_dropped_and_counted(check):
    finding = check(scattered())
    assert finding.decision == "repaired"
    assert finding.reasons == ("extra_components",)
    assert finding.repairs == ("kept the largest component: 87 to 80 voxels",)
    assert finding.components == 3
    assert finding.voxels == 80
    assert np.array_equal(kept(finding), square() > 0)


def test_extra_components_can_be_warned_of_or_excluded(check):
    warned = check(scattered(), policy=policy_of(extra_components="warn"))
    assert (warned.decision, warned.voxels) == ("pass", 87)
    assert warned.reasons == ("extra_components",)
    assert check(scattered(), policy=policy_of(extra_components="exclude")).mask is None


def test_pixels_that_touch_at_a_corner_are_one_component(check):
    mask = square()
    mask[18, 22] = 1
    assert check(mask).components == 1


def holed():
    mask = square()
    mask[12:14, 14:17] = 0
    mask[16, 20] = 0
    return mask


def test_holes_are_filled_and_counted(check):
    finding = check(holed())
    assert (finding.decision, finding.reasons) == ("repaired", ("holes",))
    assert finding.repairs == ("filled the holes: 73 to 80 voxels",)
    assert finding.holes == 2
    assert np.array_equal(kept(finding), square() > 0)


def test_holes_can_be_warned_of_or_excluded(check):
    warned = check(holed(), policy=policy_of(holes="warn"))
    assert (warned.decision, warned.voxels, warned.holes) == ("pass", 73, 2)
    assert check(holed(), policy=policy_of(holes="exclude")).decision == "excluded"


def test_a_hole_that_opens_outwards_is_no_hole(check):
    mask = square()
    mask[10:14, 15] = 0
    finding = check(mask)
    assert (finding.decision, finding.holes, finding.voxels) == ("pass", 0, 76)


@pytest.mark.parametrize("edge", [np.s_[0, 5:30], np.s_[-1, 5:30], np.s_[2:28, 0],
                                  np.s_[2:28, -1]])  # fmt: skip
def test_a_mask_at_any_edge_is_warned_of_or_excluded(check, edge):
    mask = np.zeros(NOISE.shape, np.uint8)
    mask[edge] = 1
    finding = check(mask)
    assert (finding.decision, finding.touches_border) == ("pass", 1)
    # A line of one voxel is ragged as well.
    assert finding.reasons == ("jagged_mask", "touches_border")
    assert check(mask, policy=policy_of(touches_border="exclude")).mask is None


def test_too_few_voxels_are_excluded_and_counted(check):
    mask = np.zeros(NOISE.shape, np.uint8)
    mask[5:9, 5:10] = 1
    assert check(mask).decision == "pass"
    mask[5, 5] = 0
    finding = check(mask)
    assert (finding.decision, finding.reasons) == ("excluded", ("too_few_voxels",))
    assert "19 voxels, 20 needed." in finding.message


def test_the_least_number_of_voxels_holds_after_repair(check):
    specks = np.zeros(NOISE.shape, np.uint8)
    specks[2:28:2, 2:38:2] = 1
    finding = check(specks)
    assert finding.decision == "excluded"
    assert finding.reasons == ("extra_components", "too_few_voxels")
    assert finding.voxels == 1


def test_several_faults_are_all_told(check):
    mask = holed()
    mask[0, 0] = 1
    finding = check(mask, policy=policy_of(extra_components="warn"))
    assert finding.reasons == ("extra_components", "holes", "touches_border")


def test_a_breast_mask_is_held_to_less(check):
    finding = check(scattered(), role="breast")
    assert (finding.decision, finding.voxels) == ("pass", 87)
    assert check(several(), role="breast").decision == "pass"
    assert check(square(0), role="breast").reasons == ("empty_mask",)


# --- kinds of masks --------------------------------------------------------------------------


def test_a_mask_of_255_is_one_of_1(check):
    finding = check(square(255), suffix="png")
    assert (finding.decision, finding.voxels) == ("pass", 80)
    assert finding.mask.max() == 1


@pytest.mark.parametrize("channels", [3, 4])
def test_a_colour_mask_is_its_colour_without_opacity(check, channels):
    mask = np.zeros((*NOISE.shape, channels), np.uint8)
    mask[..., :3] = square(255)[..., None]
    mask[..., 3:] = 255
    finding = check(mask, suffix="png")
    assert (finding.decision, finding.voxels) == ("pass", 80)


def test_a_mask_of_one_colour_counts(check):
    mask = np.zeros((*NOISE.shape, 3), np.uint8)
    mask[..., 0] = square(255)
    assert check(mask, suffix="png").voxels == 80


def test_a_mask_whose_white_is_soft_is_still_one_label(check):
    soft = square(255)
    soft[10, 12:22] = np.arange(246, 256)
    finding = check(soft, suffix="png")
    assert (finding.decision, finding.reasons, finding.voxels) == ("pass", (), 80)


def test_small_labels_are_never_taken_for_a_soft_edge(check):
    assert check(several().astype(np.int16)).reasons == ("several_labels",)


def test_a_mask_saved_as_jpeg_loses_its_smear(check, tmp_path):
    image = write(tmp_path / "i.png", NOISE)
    rows, columns = np.ogrid[:30, :40]
    disc = ((rows - 15) ** 2 + (columns - 20) ** 2 <= 81).astype(np.uint8) * 255
    mask = str(tmp_path / "m.jpg")
    sitk.WriteImage(sitk.GetImageFromArray(disc), mask, imageIO="JPEGImageIO")
    assert len(np.unique(sitk.GetArrayFromImage(sitk.ReadImage(mask)))) > 5
    finding = check(mask, image)
    assert finding.decision == "pass"
    assert np.array_equal(kept(finding), disc > 0)


# --- chunks ----------------------------------------------------------------------------------


def chunk(tmp_path):
    good = write(tmp_path / "good.nrrd", NOISE), write(tmp_path / "good_mask.nrrd", scattered())
    (tmp_path / "text.nrrd").write_text("nothing")
    nan = write(tmp_path / "nan.nrrd", np.full(NOISE.shape, np.nan, np.float32))
    many = tmp_path / "many.nii"
    sitk.WriteImage(sitk.Image([4, 4, 4, 3], sitk.sitkFloat32), str(many))
    return [
        row(str(tmp_path / "none.nrrd"), good[1], "a"),
        row(str(tmp_path / "text.nrrd"), good[1], "b"),
        row(good[0], str(tmp_path), "c"),
        row(nan, good[1], "d"),
        row(str(many), good[1], "e"),
        row("", "", "f"),
        row(*good, "g"),
    ]


def test_a_bad_row_never_stops_the_others(tmp_path):
    report = check_rows(chunk(tmp_path), Control(POLICY, {}), tmp_path / "out")
    masks, images = report.masks, report.images
    assert [m["decision"] for m in masks] == ["excluded"] * 6 + ["repaired"]
    assert [m["reasons"] for m in masks] == [
        "missing_image", "unreadable_image", "no_images", "not_finite",
        "unreadable_image", "missing_image", "extra_components",
    ]  # fmt: skip
    assert all(m["message"] for m in masks[:6])
    assert len(images) == 7
    assert set(MASK_COLUMNS) <= set(masks[-1])
    assert {"spacing_x_mm", "image_sha256", "mask_sha256", "fingerprint"} <= set(images[-1])
    written = [f.name for f in (tmp_path / "out").iterdir()]
    assert written == [masks[-1]["mask_file"]]
    assert read_written(tmp_path / "out" / written[0]).array.sum() == 80


def test_the_original_files_are_never_changed(tmp_path):
    rows = chunk(tmp_path)
    before = {f: f.read_bytes() for f in tmp_path.iterdir() if f.is_file()}
    times = {f: f.stat().st_mtime_ns for f in before}
    check_rows(rows, Control(POLICY, {}), tmp_path / "out")
    assert {f: f.read_bytes() for f in before} == before
    assert {f: f.stat().st_mtime_ns for f in before} == times
    assert {f for f in tmp_path.iterdir() if f.is_file()} == set(before)


def test_a_mask_is_written_into_its_folder_whatever_the_rater_is_called(tmp_path):
    pair = write(tmp_path / "i.nrrd", NOISE), write(tmp_path / "m.nrrd", square())
    rows = [row(*pair, "a", rater="../Dr. A/B")]
    (mask,) = check_rows(rows, Control(POLICY, {}), tmp_path / "deep" / "out").masks
    written = [f for f in tmp_path.rglob("*.nrrd") if f.name not in ("i.nrrd", "m.nrrd")]
    assert [f.parent for f in written] == [tmp_path / "deep" / "out"]
    assert written[0].name == mask["mask_file"]


# --- loss ------------------------------------------------------------------------------------


def decided(*rows):
    names = ["patient_id", "image", "mask_role", "decision", "reasons", "image_id", "message"]
    return pd.DataFrame(rows, columns=names)


def table_of(lost):
    return pd.DataFrame({"patient_id": list(lost), "reason": list(lost.values())})


MASKS = decided(
    ("a", "le", "tumour", "pass", "", "a1", None),
    ("a", "rc", "tumour", "excluded", "grid_mismatch", "a2", "The grids differ."),
    ("b", "le", "tumour", "excluded", "holes;too_few_voxels", "b1", "3 voxels, 50 needed."),
    ("b", "le", "tumour", "repaired", "holes", "b2", None),
    ("b", "rc", "tumour", "pass", "", "b3", None),
    ("c", "le", "tumour", "pass", "", "c1", None),
    ("d", "le", "breast", "pass", "", "d1", None),
    ("d", "rc", "tumour", "pass", "", "d2", None),
)


def test_a_patient_is_lost_when_an_image_has_no_usable_lesion():
    lost = lost_patients(MASKS, ["a", "b", "c", "d"], {"le": True, "rc": True})
    assert lost == {
        "a": "rc: grid_mismatch",
        "c": "rc: not_in_manifest",
        "d": "le: not_in_manifest",
    }


def test_an_excluded_breast_mask_loses_nobody():
    masks = decided(
        ("a", "le", "tumour", "pass", "", "a1", None),
        ("a", "le", "breast", "excluded", "empty_mask", "a1", "Nothing is set."),
    )
    assert lost_patients(masks, ["a"], {"le": True}) == {}


def test_a_large_loss_is_refused_with_its_reasons_and_an_example():
    lost = table_of(lost_patients(MASKS, ["a", "b", "c", "d"], {"le": True, "rc": True}))
    with pytest.raises(StudyError) as error:
        refuse_large_loss(lost, MASKS, 4, 0.5)
    text = str(error.value)
    assert "lost 3 of 4 patients" in text
    assert "qc.maximum_lost_share (0.5)" in text
    for reason in ("rc: grid_mismatch (1)", "rc: not_in_manifest (1)", "le: not_in_manifest (1)"):
        assert reason in text
    assert "patient a, image a2: The grids differ." in text


def test_a_loss_of_just_the_share_is_let_be():
    lost = table_of(lost_patients(MASKS, ["a", "b", "c", "d"], {"le": True, "rc": True}))
    assert refuse_large_loss(lost, MASKS, 4, 0.75) is None
    with pytest.raises(StudyError):
        refuse_large_loss(lost, MASKS, 4, 0.74)


def test_a_pixel_size_from_the_manifest_reaches_every_later_stage(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    values = np.arange(40 * 50, dtype=np.uint8).reshape(40, 50)
    inside = np.zeros((40, 50), np.uint8)
    inside[10:20, 10:25] = 255
    for name, array in (("i.png", values), ("m.png", inside)):
        sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / name))
    row = {
        "patient_id": "p", "image_id": "i", "timepoint": "baseline", "view": "na", "rater": "1",
        "image": "us", "lesion": "1", "mask_role": "tumour", "image_path": str(folder / "i.png"),
        "mask_path": str(folder / "m.png"), "pixel_spacing_x_mm": "0.2", "pixel_spacing_y_mm": "0.1",
    }  # fmt: skip
    facts = check_rows([row], Control(policy_of("mm"), {}), tmp_path).images[0]
    again = read_again({key: str(value) for key, value in facts.items() if value is not None})
    assert again.spacing == (0.2, 0.1) and again.spacing_source == "config"


# --- what only the whole study shows ---------------------------------------------------------


def pair(kind, same, a="a", b="b", distance=0, **more):
    return {
        "patient_a": a, "timepoint_a": "baseline", "image_a": f"{a}1", "patient_b": b,
        "timepoint_b": "baseline", "image_b": f"{b}2", "kind": kind, "distance": distance,
        "same_patient": same, **more,
    }  # fmt: skip


FILLED = MASKS.assign(timepoint="baseline", rater="1", lesion="1", voxels=100)


def later(found, masks=FILLED):
    table, rows = with_findings(masks, found)
    return table.set_index("image_id"), rows


def same_images(*keys):
    """A table of images of the same pixels, by patient, timepoint and image id."""
    images = pd.DataFrame(keys, columns=["patient_id", "timepoint", "image_id"])
    return images.assign(image="us", image_sha256="same", fingerprint=None)


def masks_of(images, role="tumour"):
    """The rows of qc/masks.csv of a table of images, every mask whole."""
    return images.assign(
        mask_role=role, rater="1", lesion="1", decision="pass", reasons=None, message=None, voxels=100
    )


def excluded_as_duplicates(images, masks):
    table, _ = with_findings(masks, duplicate_findings(duplicate_pairs(images), POLICY))
    gone = table[table["decision"] == "excluded"]
    return set(zip(gone["patient_id"], gone["timepoint"], gone["image_id"], strict=True))


def test_a_duplicate_at_one_timepoint_leaves_the_other_timepoint_alone():
    images = same_images(("P1", "post_nst", "i"), ("P2", "baseline", "i"))
    masks = masks_of(pd.concat([images, same_images(("P1", "baseline", "i"))], ignore_index=True))
    assert excluded_as_duplicates(images, masks) == {("P1", "post_nst", "i"), ("P2", "baseline", "i")}


def test_of_one_image_at_two_timepoints_that_at_baseline_stays():
    images = same_images(("P1", "post_nst", "i"), ("P1", "baseline", "i"))
    assert excluded_as_duplicates(images, masks_of(images)) == {("P1", "post_nst", "i")}
    ((where, finding),) = duplicate_findings(duplicate_pairs(images), POLICY)
    assert where == {"patient_id": "P1", "timepoint": "post_nst", "image_id": "i"}
    assert "image i of patient P1 at timepoint baseline." in finding.message


@pytest.mark.parametrize("role", [None, "breast"])
def test_a_duplicate_without_a_mask_of_a_lesion_is_excluded_too(role):
    images = same_images(("P1", "baseline", "pre"), ("P2", "baseline", "pre"))
    masks = masks_of(images, role)
    assert excluded_as_duplicates(images, masks) == set(
        zip(masks["patient_id"], masks["timepoint"], masks["image_id"], strict=True)
    )
    table, rows = with_findings(masks, duplicate_findings(duplicate_pairs(images), POLICY))
    assert [row["code"] for row in rows] == ["duplicate_image"] * 2
    assert lost_patients(table, ["P1", "P2"], {"us": False}) == {
        "P1": "us: duplicate_image", "P2": "us: duplicate_image",
    }  # fmt: skip


def test_every_mask_of_a_duplicate_is_excluded():
    images = same_images(("P1", "baseline", "i"), ("P2", "baseline", "i"))
    masks = pd.concat([masks_of(images), masks_of(images, "breast")], ignore_index=True)
    table, rows = with_findings(masks, duplicate_findings(duplicate_pairs(images), POLICY))
    assert set(table["decision"]) == {"excluded"} and len(rows) == 4
    assert usable_images(table).empty


def test_an_image_of_two_patients_is_taken_from_both():
    pairs = pd.DataFrame([pair("identical", 0, "a", "b")])
    table, rows = later(duplicate_findings(pairs, POLICY))
    assert table.loc["a1", "decision"] == table.loc["b2", "decision"] == "excluded"
    assert table.loc["b2", "reasons"] == "holes;duplicate_image"
    assert table.loc["c1", "decision"] == "pass"
    assert "the same as image b2 of patient b" in rows[0]["message"]


def test_of_one_patients_duplicates_the_first_stays_and_near_ones_only_warn():
    pairs = pd.DataFrame([pair("identical", 1, "a", "a"), pair("near", 0, "c", "d", 7)])
    found = duplicate_findings(pairs, POLICY)
    assert [(where["image_id"], finding.action) for where, finding in found] == [
        ("a2", "exclude"), ("c1", "warn"), ("d2", "warn"),
    ]  # fmt: skip
    assert found[1][1].value == 7


def test_a_mask_that_does_not_fit_the_recorded_diameter_is_found():
    masks = FILLED.assign(largest_diameter_mm=[20.0, 20.0, 21.0, 20.0, 20.0, 9.0, 50.0, None])
    people = pd.DataFrame({"patient_id": list("abcd"), "tumor_diameter_mm": [20.0, 10.0, 20.0, 5.0]})
    found = diameter_findings(masks, people, POLICY)
    assert {(where["image_id"], round(finding.value, 2)) for where, finding in found} == {
        ("b1", 2.1), ("c1", 2.22),
    }  # fmt: skip
    assert "the recorded diameter 10 mm" in found[0][1].message
    assert diameter_findings(masks, people[["patient_id"]], POLICY) == []


def test_a_recorded_diameter_is_that_of_the_largest_lesion_at_baseline_by_the_first_rater():
    rows = [
        ("P1", "baseline", "1", "large", 900, 20.0, "pass"),
        ("P1", "baseline", "1", "small", 90, 6.0, "pass"),
        ("P1", "baseline", "2", "large", 990, 45.0, "pass"),
        ("P1", "baseline", "0", "torn", 9999, 60.0, "excluded"),
        ("P1", "post_nst", "1", "large", 90, 5.0, "pass"),
    ]
    names = ["patient_id", "timepoint", "rater", "lesion", "voxels", "largest_diameter_mm", "decision"]
    masks = pd.DataFrame(rows, columns=names).assign(image_id="i", image="us", mask_role="tumour")
    people = pd.DataFrame({"patient_id": ["P1"], "tumor_diameter_mm": [19.0]})
    assert diameter_findings(masks, people, POLICY) == []
    ((where, finding),) = diameter_findings(masks, people.assign(tumor_diameter_mm=8.0), POLICY)
    assert where == {"patient_id": "P1", "timepoint": "baseline", "image_id": "i"}
    assert finding.value == 2.5


def test_a_diameter_concerns_the_masks_of_lesions_alone():
    image = same_images(("P1", "baseline", "i"))
    masks = pd.concat([masks_of(image), masks_of(image, "breast")], ignore_index=True)
    found = diameter_findings(
        masks.assign(largest_diameter_mm=50.0),
        pd.DataFrame({"patient_id": ["P1"], "tumor_diameter_mm": [5.0]}),
        policy_of(diameter_mismatch="exclude"),
    )
    table, _ = with_findings(masks, found)
    assert table["decision"].tolist() == ["excluded", "pass"]


# --- raters and the chosen outline --------------------------------------------------------------


def boxes(folder, *outlines):
    """Rows of one image, each an outline (rater, lesion, role and box) in a file of its own."""
    image = write(folder / "i.nrrd", NOISE)
    rows = []
    for number, (rater, lesion, role, box) in enumerate(outlines):
        mask = np.zeros(NOISE.shape, np.uint8)
        mask[box] = 1
        path = write(folder / f"{number}.nrrd", mask)
        rows.append(row(image, path, role=role, rater=rater, lesion=lesion))
    return rows


def test_raters_are_all_compared_in_whatever_order_they_come(tmp_path):
    # a and b agree, c with neither.
    whole, part, else_where = np.s_[4:14, 4:14], np.s_[4:14, 4:13], np.s_[15:27, 20:36]
    rows = boxes(
        tmp_path,
        *((name, "1", "tumour", box) for name, box in zip("abc", (whole, part, else_where), strict=True)),
    )
    policy = policy_of(rater_disagreement="exclude")
    seen = []
    for order in itertools.permutations(rows):
        _, report = checked(list(order), policy, tmp_path / "kept")
        assert len(report.agreement) == 3
        seen.append({mask["rater"]: mask["reasons"] for mask in report.masks})
    assert seen == seen[:1] * 6
    assert seen[0] == {
        name: ";".join(["rater_disagreement"] * times) for name, times in zip("abc", (1, 1, 2), strict=True)
    }


def test_why_there_is_no_distance_reaches_the_table(tmp_path):
    rows = boxes(tmp_path, *((rater, "1", "tumour", np.s_[4:14, 4:14]) for rater in "ab"))
    for one in rows:
        for name in ("image_path", "mask_path"):
            array = sitk.GetArrayFromImage(sitk.ReadImage(one[name]))
            one[name] = write(
                Path(one[name]).with_suffix(".png"),
                255 * (array > 0).astype(np.uint8) if "mask" in name else array,
            )
    (pair_of_raters,) = checked(rows, POLICY, tmp_path / "kept")[1].agreement
    assert "reason" in AGREEMENT_COLUMNS
    assert pair_of_raters["reason"] == "the pixel size is unknown: no distance in mm"
    for one, box in zip(rows, (LARGE, NODE), strict=True):
        mask = np.zeros(NOISE.shape, np.uint8)
        mask[box] = 255
        write(one["mask_path"], mask)
    (first, _), _ = checked(rows, POLICY, tmp_path / "kept")
    assert first.message.endswith("(0.7 expected); the pixel size is unknown: no distance in mm.")


LARGE, SMALL, NODE = np.s_[4:16, 4:16], np.s_[20:26, 4:12], np.s_[4:20, 22:34]


def outline_area(rows, folder, lesion="tumour"):
    control = Control(POLICY, {}, {"us": lesion} if lesion else {})
    (facts,) = check_image(rows, control, folder).frames
    return facts.get("outline_area")


def test_the_leak_screen_sees_the_outline_that_regions_are_built_from(tmp_path):
    # An excluded one, the small lesion and the second rater's come first.
    rows = boxes(
        tmp_path,
        ("1", "gone", "tumour", np.s_[28:29, 4:6]),
        ("1", "small", "tumour", SMALL),
        ("2", "large", "tumour", np.s_[4:15, 4:15]),
        ("1", "n", "node", NODE),
        ("1", "large", "tumour", LARGE),
        ("1", "n", "node_cortex", np.s_[4:20, 22:26]),
    )
    pixel = 0.5 * 0.4
    for order in (rows, rows[::-1]):
        assert outline_area(order, tmp_path / "kept") == pytest.approx(144 * pixel)
        assert outline_area(order, tmp_path / "kept", "node") == pytest.approx(192 * pixel)
    assert outline_area(rows, tmp_path / "kept", "") is None


def test_the_outline_of_the_leak_screen_and_that_of_regions_are_one(tmp_path):
    rows = boxes(
        tmp_path, ("b", "2", "tumour", LARGE), ("a", "1", "tumour", SMALL), ("b", "1", "tumour", NODE)
    )
    report = check_image(rows, Control(POLICY, {}), tmp_path)
    masks = pd.DataFrame(report.masks)
    outlines = Outlines.read(masks[masks["mask_file"] != ""], tmp_path)
    assert outlines.lesion == "2"
    assert report.frames[0]["outline_area"] == pytest.approx(outlines.masks["tumour"].sum() * 0.5 * 0.4)


def test_a_hilum_may_be_empty_and_a_node_may_not(check):
    gone = check(square() * 0, role="node_hilum")
    assert (gone.decision, gone.voxels, gone.reasons) == ("pass", 0, ())
    assert not gone.mask.any()
    assert check(square(), role="node_hilum").voxels == 80
    assert check(square() * 0, role="node").reasons == ("empty_mask",)


def test_the_cortex_of_a_node_without_hilum_is_the_whole_node(tmp_path):
    image, node = write(tmp_path / "image.nrrd", NOISE), square()
    files = {
        role: write(tmp_path / f"{role}.nrrd", node * (role == "node")) for role in ("node", "node_hilum")
    }
    kept_masks = tmp_path / "kept"
    _, report = checked([row(image, file, role=role) for role, file in files.items()], folder=kept_masks)
    masks = pd.DataFrame(report.masks)
    outlines = Outlines.read(masks, kept_masks, "node")
    assert np.array_equal(outlines.masks["node_cortex"], node > 0)
    assert Outlines.read(masks[masks["mask_role"] == "node_hilum"], kept_masks, "node") is None
