"""Every row of the vetting registry still holds, and its page is what the registry says."""

import dataclasses

import pytest
from radiomics import getFeatureClasses
from vetting.ibsi import prepared_ct
from vetting.ibsi_preprocessing import CONFIGURATIONS
from vetting.registry import PAGE, PARTS, REGISTRY
from vetting.report import ORACLES, report
from vetting.rows import COLUMNS, About, Convention, DataAbsent, Row, drifted, judged, read_rows

AGAIN = "run python tests/vetting/registry.py, and look at what changed"
COLUMN = ("original", "glcm", "Contrast")
ABOUT = About("oracle", "case", "shared", "setting", "oracle")


@pytest.fixture(scope="module")
def registry() -> list[Row]:
    return read_rows(REGISTRY)


# --- the rows ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PARTS)
def test_every_row_is_still_what_was_recorded(name, registry):
    part = PARTS[name]
    try:
        now = {row.key: row for row in part.compute()}
    except DataAbsent as error:
        pytest.skip(f"NOT TESTED: {error}")
    recorded = {row.key: row for row in registry if part.owns(row)}
    assert set(now) == set(recorded), AGAIN
    changed = {key: drifted(row, now[key]) for key, row in recorded.items()}
    assert {key: words for key, words in changed.items() if words} == {}, AGAIN


def test_every_row_has_a_part_and_no_row_stands_twice(registry):
    assert len({row.key for row in registry}) == len(registry) > 10_000
    assert all(sum(part.owns(row) for part in PARTS.values()) == 1 for row in registry)
    assert {row.about.oracle for row in registry} == set(ORACLES)
    header = REGISTRY.read_text(encoding="utf-8").partition("\n")[0]
    assert header.split(",") == list(COLUMNS)


def test_what_does_not_pass_has_a_cause(registry):
    assert {row.result for row in registry} <= {"pass", "convention", "miss"}
    for row in registry:
        assert bool(row.cause) == (row.result != "pass"), row
        assert "no cause found" not in row.cause, row


def test_every_feature_of_pyradiomics_stands_against_a_number_from_elsewhere(registry):
    vetted = {(row.feature_class, row.feature) for row in registry if row.about.kind == "oracle"}
    missing = [
        (name, feature)
        for name, feature_class in getFeatureClasses().items()
        for feature, deprecated in feature_class.getFeatureNames().items()
        if not deprecated and (name, feature) not in vetted
    ]
    assert missing == []


# --- IBSI's preparation ------------------------------------------------------------------------


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda one: one.name)
def test_the_ct_phantom_is_prepared_as_ibsi_does(configuration):
    try:
        found, known = prepared_ct(configuration)
    except DataAbsent as error:
        pytest.skip(f"NOT TESTED: {error}")
    kept = found.values[found.inside]
    assert found.outline.sum() == known["morph_mask_vox_count_interp_roi"].value
    assert found.inside.sum() == known["int_mask_vox_count_reseg_roi"].value
    assert kept.min() == known["int_mask_min_int_reseg_roi"].value
    assert kept.max() == known["int_mask_max_int_reseg_roi"].value
    assert kept.mean() == pytest.approx(known["int_mask_mean_int_reseg_roi"].value, abs=0.05)


# --- the registry itself -----------------------------------------------------------------------


def test_the_page_is_what_the_registry_says(registry):
    assert PAGE.read_text(encoding="utf-8") == report(registry), AGAIN


def test_a_convention_must_make_up_the_difference():
    close = Convention("divides by n", 2.0001)
    assert judged(ABOUT, COLUMN, 2.0, 2.0009, 0.001).result == "pass"
    assert judged(ABOUT, COLUMN, 2.0, 2.5, 0.001).result == "miss"
    assert judged(ABOUT, COLUMN, 2.0, 2.5, 0.001, close).cause == "divides by n; converted: 2.0001"
    assert judged(ABOUT, COLUMN, 2.0, 2.5, 0.001, Convention("divides by n", 2.01)).result == "miss"
    assert judged(ABOUT, COLUMN, 2.0, float("nan"), 0.001).result == "miss"


@pytest.mark.parametrize(
    "change", [{"found": 2.000001}, {"expected": 2.1}, {"tolerance": 0.1}, {"result": "miss"}, {"cause": "x"}]
)
def test_a_row_that_changed_is_told(change):
    row = judged(ABOUT, COLUMN, 2.0, 2.0, 1e-9)
    assert drifted(row, row) == ""
    assert drifted(row, dataclasses.replace(row, **change)) != ""
