"""The gallery: worst first, every finding told, pictures with the outlines where they belong."""

import numpy as np
import pandas as pd
import SimpleITK as sitk

from annulus.figures import thumbnails
from annulus.figures.thumbnails import SIDE_PX, Outline, draw_rows, drawn, region_colours
from annulus.reporting.gallery import cards, render_gallery

KEY = ["patient_id", "timepoint", "image_id"]


def table(rows, *columns):
    return pd.DataFrame(rows, columns=[*KEY, *columns])


MASKS = table(
    [
        ("a", "baseline", "a1", "pass"), ("b", "baseline", "b1", "repaired"),
        ("c", "baseline", "c1", "excluded"), ("d", "baseline", "d1", "pass"),
        ("e", "baseline", "e1", "pass"), ("f", "baseline", "f1", "pass"), ("c", "baseline", "c1", "pass"),
    ],
    "decision",
)  # fmt: skip
FINDINGS = table(
    [
        ("b", "baseline", "b1", "holes", "repair", "The mask encloses <1> hole.", "filled"),
        ("c", "baseline", "c1", "empty_mask", "exclude", "Nothing is set.", ""),
        ("d", "baseline", "d1", "touches_border", "warn", "It touches.", ""),
        ("d", "baseline", "d1", "touches_border", "warn", "It touches.", ""),
    ],
    "code", "action", "message", "repair",
)  # fmt: skip
ROIS = table([("e", "baseline", "e1", 0.0), ("f", "baseline", "f1", 0.3), ("f", "baseline", "f1", 0.1)],
             "lost_fraction")  # fmt: skip
PICTURES = table([("a", "baseline", "a1", "thumbnails/0000/a.jpg")], "thumbnail")


def test_the_worst_come_first():
    found = cards(MASKS, FINDINGS, ROIS, PICTURES)
    assert [card["patient"] for card in found] == ["c", "b", "d", "f", "a", "e"]
    assert [card["decision"] for card in found][:4] == ["excluded", "repaired", "warned", "pass"]
    assert found[3]["lost"] == 0.3
    # One finding on several masks of an image is told once.
    assert len(found[2]["findings"]) == 1


def test_the_page_loads_pictures_lazily_and_needs_no_network():
    found = cards(MASKS, FINDINGS, ROIS, PICTURES)
    page = render_gallery("mine", found, {"itr": "#D55E00"}, synthetic=True, redistribution=False)
    assert 'loading="lazy"' in page and 'src="thumbnails/0000/a.jpg"' in page
    assert "http" not in page
    assert "SYNTHETIC" in page and "not a medical device" in page and "keep this page to yourself" in page
    assert "&lt;1&gt;" in page


def test_two_thousand_patients_make_a_page_of_a_few_megabytes():
    many = pd.concat([MASKS.assign(patient_id=MASKS["patient_id"] + str(i)) for i in range(400)])
    said = pd.concat([FINDINGS.assign(patient_id=FINDINGS["patient_id"] + str(i)) for i in range(400)])
    page = render_gallery("many", cards(many, said, ROIS, PICTURES), {}, synthetic=False, redistribution=True)
    assert page.count("<article") == 2400
    assert len(page) < 3_000_000


def test_outlines_lie_where_the_masks_are():
    grey = np.random.default_rng(0).normal(100, 5, (80, 120))
    inside = np.zeros(grey.shape, bool)
    inside[30:50, 60:80] = True
    picture = np.asarray(drawn(grey, [Outline("itr", inside)], {"itr": "#FF0000"}))
    assert max(picture.shape[:2]) == SIDE_PX
    rows, columns = np.nonzero((picture[..., 0] > 200) & (picture[..., 1] < 40))
    # The picture is cut to the region with half its size as room on either side.
    scale = SIDE_PX / 40
    assert abs(rows.min() - 10 * scale) <= 1 and abs(rows.max() - 30 * scale) <= 1.5
    assert abs(columns.min() - 10 * scale) <= 1 and abs(columns.max() - 30 * scale) <= 1.5


def test_a_volume_is_shown_in_the_slice_with_most_of_the_region():
    grey = np.zeros((7, 40, 40))
    grey[4] = np.random.default_rng(0).normal(100, 5, (40, 40))
    inside = np.zeros(grey.shape, bool)
    inside[3, 10:12, 10:12] = inside[4, 10:20, 10:20] = True
    picture = np.asarray(drawn(grey, [Outline("itr", inside)], {}))
    assert np.median(picture) > 0


def test_an_image_without_any_region_and_a_constant_one_can_be_drawn():
    assert drawn(np.zeros((30, 60)), [], {}).size == (SIDE_PX, SIDE_PX // 2)
    assert drawn(np.full((5, 30, 60), np.nan), [], {}).size == (SIDE_PX, SIDE_PX // 2)


def test_a_region_keeps_its_colour():
    assert region_colours(["a", "b"])["a"] == region_colours(["a"])["a"]
    assert len(set(region_colours("abcdefg").values())) == 7


def test_what_quality_control_could_not_read_is_not_opened_again(tmp_path, monkeypatch):
    sitk.WriteImage(sitk.Image([40, 30], sitk.sitkUInt8), str(tmp_path / "a.png"))
    (tmp_path / "gone.png").write_bytes(b"no picture")
    columns = "image", "image_path", "dimension", "spacing_x_mm", "spacing_y_mm"
    rows = [
        ("a", "baseline", "a1", "us", str(tmp_path / "a.png"), 2, None, None),
        ("b", "baseline", "b1", "us", str(tmp_path / "damaged.png"), None, None, None),
        ("c", "baseline", "c1", "us", str(tmp_path / "gone.png"), 2, None, None),
    ]
    opened, reader = [], thumbnails.read_again

    def read(facts):
        opened.append(facts["patient_id"])
        return reader(facts)

    monkeypatch.setattr(thumbnails, "read_again", read)
    masks = table([], "mask_file", "mask_role")
    rois = table([], "voxels", "mask_file", "kind", "outer", "roi")
    found = draw_rows(table(rows, *columns), masks, rois, {}, tmp_path, [], tmp_path / "pictures")
    # One that has changed since costs its own picture alone.
    assert opened == ["a", "c"]
    assert [row["patient_id"] for row in found] == ["a"]
    assert len(list((tmp_path / "pictures").iterdir())) == 1
    pictures = pd.DataFrame(found)
    page = cards(MASKS, FINDINGS, ROIS, pictures)
    assert {card["patient"]: card["thumbnail"] != "" for card in page}["b"] is False
