"""The store of features: same content, same entry; and no harm from writers that collide or are killed."""

import gzip
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from test_features import cohort, plan, settings_of

from annulus.features import batches
from annulus.features.batches import Extraction, extract_rows
from annulus.features.store import Entry, Store, key_of

SMALL = settings_of(("Original",), {"shape2D": ["Elongation"], "firstorder": ["Mean"], "glcm": ["Id"]})
ENTRY = Entry({"a": 0.1 + 0.2, "b": None, "c": -1e-300}, [{"roi": "ptr", "feature": "b", "reason": "why"}])


def stored(folder, settings=SMALL, controls=None):
    return Extraction({"us": settings}, {}, controls or {}, Store(folder / "store"), 1)


def counting(monkeypatch):
    """Count how often features are computed rather than found."""
    done = []
    real = batches.extract_with_controls

    def count(*given):
        done.append(given[6]["patient_id"])
        return real(*given)

    monkeypatch.setattr(batches, "extract_with_controls", count)
    return done


def test_an_entry_comes_back_to_the_bit(tmp_path):
    store = Store(tmp_path)
    store.put("ab12", ENTRY)
    assert store.get("ab12") == ENTRY
    assert store.get("ab13") is None


def test_the_same_entry_is_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        Store(tmp_path / name).put("ab12", ENTRY)
    one, two = ((tmp_path / name / "ab" / "ab12.json.gz").read_bytes() for name in ("one", "two"))
    assert one == two


@pytest.mark.parametrize(
    "damage", [b"", b"not gzip", gzip.compress(b"[1", mtime=0), gzip.compress(b'{"key": "other"}', mtime=0)]
)
def test_a_damaged_entry_is_computed_again(tmp_path, damage):
    store = Store(tmp_path)
    store.put("ab12", ENTRY)
    path = tmp_path / "ab" / "ab12.json.gz"
    whole = path.read_bytes()
    path.write_bytes(damage)
    assert store.get("ab12") is None
    path.write_bytes(whole[: len(whole) // 2])
    assert store.get("ab12") is None


def write_often(folder, number):
    store = Store(folder)
    while True:
        store.put("ab12", Entry({f"v{i}": float(number) for i in range(2000)}, []))


def test_writers_that_collide_and_die_leave_whole_entries_alone(tmp_path):
    """Four processes write one entry without pause and are killed in the midst of it."""
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_often, args=(tmp_path, n)) for n in range(4)]
    for writer in writers:
        writer.start()
    deadline = time.monotonic() + 60
    seen = 0
    while seen < 50 and time.monotonic() < deadline:
        entry = Store(tmp_path).get("ab12")
        if entry is not None:
            # Whole, and of one writer.
            assert len(entry.values) == 2000
            assert len(set(entry.values.values())) == 1
            seen += 1
    for writer in writers:
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
    assert seen == 50
    assert len(Store(tmp_path).get("ab12").values) == 2000


def test_an_image_that_was_done_is_free_in_any_other_batch(tmp_path, monkeypatch):
    done = counting(monkeypatch)
    images, rois, masks = cohort(tmp_path, ["a", "b", "c"])
    first, _ = extract_rows(images, rois, masks, stored(tmp_path), [tmp_path], tmp_path)
    assert done == ["a", "b", "c"]
    parts = [
        extract_rows(
            images[images.patient_id.isin(own)], rois[rois.patient_id.isin(own)], masks, stored(tmp_path),
            [tmp_path], tmp_path,
        )[0]
        for own in (["c"], ["a", "b"])
    ]  # fmt: skip
    assert done == ["a", "b", "c"]
    again = pd.concat(parts).sort_values("patient_id").reset_index(drop=True)
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    without, _ = extract_rows(images, rois, masks, plan(SMALL), [tmp_path], tmp_path)
    pd.testing.assert_frame_equal(first, without, check_exact=True)


@pytest.mark.parametrize("change", ["image", "mask", "settings", "mode", "spacing", "region"])
def test_whatever_decides_a_value_makes_another_entry(tmp_path, monkeypatch, change):
    images, rois, masks = cohort(tmp_path, ["a"])
    images["image_sha256"] = "11"
    images["spacing_x_mm"] = 0.5
    rois["mask_sha256"] = ["21", "22"]
    extract_rows(images, rois, masks, stored(tmp_path), [tmp_path], tmp_path)
    done, used = counting(monkeypatch), stored(tmp_path)
    if change == "image":
        images["image_sha256"] = "12"
    elif change == "mask":
        rois["mask_sha256"] = ["21", "23"]
    elif change == "settings":
        used = stored(tmp_path, settings_of(("Original",), {"firstorder": ["Mean"]}))
    elif change == "mode":
        content = {"imageType": {"Original": None}, "featureClass": {"firstorder": ["Mean"]}, "setting": {}}
        used = stored(tmp_path, batches.Settings.of(content, "compatible"))
    elif change == "spacing":
        images["spacing_x_mm"] = 0.6
    else:
        rois = rois[rois["roi"] == "itr"]
    extract_rows(images, rois, masks, used, [tmp_path], tmp_path)
    assert done == ["a"]


def test_without_a_hash_of_what_was_read_nothing_is_stored(tmp_path, monkeypatch):
    images, rois, masks = cohort(tmp_path, ["a", "b"])
    images["image_sha256"] = ["", "11"]
    rois.loc[rois["patient_id"] == "b", "mask_sha256"] = ""
    done = counting(monkeypatch)
    for _ in range(2):
        extract_rows(images, rois, masks, stored(tmp_path), [tmp_path], tmp_path)
    assert done == ["a", "b", "a", "b"]


def test_what_does_not_decide_a_value_makes_none(tmp_path, monkeypatch):
    images, rois, masks = cohort(tmp_path, ["a"])
    extract_rows(images, rois, masks, stored(tmp_path), [tmp_path], tmp_path)
    done = counting(monkeypatch)
    # Another study may call the patient, the image and its file by other names.
    for table in (images, rois):
        table["patient_id"], table["image_id"] = "z", "z_9"
    (tmp_path / "moved").mkdir()
    moved = tmp_path / "moved" / "picture.nrrd"
    Path(images.loc[0, "image_path"]).rename(moved)
    images["image_path"] = str(moved)
    table, _ = extract_rows(images, rois, masks, stored(tmp_path), [tmp_path], tmp_path)
    assert done == []
    assert list(table["patient_id"]) == ["z"]


def test_a_failure_is_stored_with_its_reason_but_an_image_without_anything_is_not(tmp_path, monkeypatch):
    images, rois, masks = cohort(tmp_path, ["a"])
    settings = settings_of(("Original",), {"firstorder": ["Mean"]}, minimumROISize=300)
    _, first = extract_rows(images, rois, masks, stored(tmp_path, settings), [tmp_path], tmp_path)
    done = counting(monkeypatch)
    _, again = extract_rows(images, rois, masks, stored(tmp_path, settings), [tmp_path], tmp_path)
    assert done == []
    assert first == again
    assert "more than 300 are needed" in first[0]["reason"]
    sitk.WriteImage(sitk.GetImageFromArray(np.full((40, 50), 3.0)), str(tmp_path / "a.nrrd"))
    flat = settings_of(within="image")
    for _ in range(2):
        extract_rows(images, rois, masks, stored(tmp_path, flat), [tmp_path], tmp_path)
    assert done == ["a", "a"]


def test_the_code_and_the_libraries_are_part_of_the_key(monkeypatch):
    from annulus.features import store

    before = key_of(["x"])
    assert before == key_of(["x"])
    monkeypatch.setattr(store, "_versions", lambda: ["pyradiomics 9"])
    assert key_of(["x"]) != before
    monkeypatch.undo()
    monkeypatch.setattr(store, "_code", lambda: "other")
    assert key_of(["x"]) != before


def test_values_are_kept_as_json_that_any_program_reads(tmp_path):
    Store(tmp_path).put("ab12", ENTRY)
    content = json.loads(gzip.decompress((tmp_path / "ab" / "ab12.json.gz").read_bytes()))
    assert content["values"] == {"a": 0.30000000000000004, "b": None, "c": -1e-300}
