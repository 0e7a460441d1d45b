"""A nomogram's rulers against rms, and against the linear predictor that they stand for."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annulus.evaluation.nomogram import RISKS, TOTAL, even_values, nomogram_table, rulers
from annulus.modelling.frozen import FrozenModel, Linear

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "oracle"
EXPECTED = json.loads((ROOT / "tests" / "oracle" / "expected.json").read_text())
TERMS = ("age", "size", "er", "ki67", "rad")
COEFFICIENTS = st.floats(-3, 3).filter(lambda b: abs(b) > 1e-3)


def model_of(intercept, coefficients, ranges, means=None, sds=None):
    terms, count = tuple(ranges), len(ranges)
    linear = Linear(
        intercept, terms, tuple(coefficients), (0.0,) * count, means or (0.0,) * count,
        sds or (1.0,) * count,
    )  # fmt: skip
    return FrozenModel("nomogram", "combined", linear, training={"ranges": ranges})


def synthetic():
    """The model of expected.json, with the ends of rms's own axes as training ranges."""
    intercept, *coefficients = EXPECTED["multi"]["coef"]
    ranges = {axis["var"]: [min(axis["x"]), max(axis["x"])] for axis in EXPECTED["nomo"]}
    assert tuple(ranges) == TERMS
    return model_of(intercept, coefficients, ranges)


def example():
    return model_of(-2.0, [0.05, -1.2, 0.9], {"age": [31.0, 78.0], "er": [0.0, 1.0], "rad": [-2.3, 1.9]})


def points_of(ruler, value):
    return np.interp(value, ruler.values, ruler.points)


def slopes_of(found):
    """Points per unit of every term, falling or rising."""
    return {r.term: np.diff(r.points[[0, -1]])[0] / np.ptp(r.values) for r in found}


def test_points_are_those_of_rms_but_for_the_length_of_the_axes():
    # rms's pretty() and our even values end the widest axis elsewhere, so that its 100 points, and
    # with them all points, differ by one common factor.
    found = slopes_of(rulers(synthetic())[0])
    theirs = {a["var"]: np.diff(a["points"])[0] / np.diff(a["x"])[0] for a in EXPECTED["nomo"]}
    factors = [found[term] / theirs[term] for term in TERMS]
    np.testing.assert_allclose(factors, factors[0], rtol=1e-6)
    rad = next(ruler for ruler in rulers(synthetic())[0] if ruler.term == "rad")
    assert factors[0] == pytest.approx(6.5 / np.ptp(rad.values))


def test_total_points_per_log_odds_are_those_of_rms_but_for_that_factor():
    found, total = rulers(synthetic())
    rad = next(ruler for ruler in found if ruler.term == "rad")
    ours = np.diff(total.points) / np.diff(np.log(total.values / (1 - total.values)))
    theirs = np.diff(EXPECTED["nomo_total"]["x"])[0] * 6.5 / np.ptp(rad.values)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_birthwt_has_the_points_of_rms_but_for_the_length_of_its_widest_axis():
    # rms 6.5 on MASS::birthwt (age, lwt, race, smoke, ht), lwt from 80 (100 points) to 260 (0).
    path = SHARED / "oracle3.json"
    if not path.is_file():
        pytest.skip(f"GPL oracle numbers are absent: {path}")
    b = json.loads(path.read_text())["nom_coef"]
    ranges = {
        "age": [15, 45], "lwt": [80, 260], "race=black": [0, 1], "race=other": [0, 1],
        "smoke": [0, 1], "ht": [0, 1],
    }  # fmt: skip
    model = model_of(b["Intercept"], [b[term] for term in ranges], ranges)
    found, total = rulers(model)
    lwt = next(ruler for ruler in found if ruler.term == "lwt")
    factor = np.ptp(lwt.values) / 180.0
    slopes = slopes_of(found)
    wanted = {"race=black": 39.79, "race=other": 29.52, "smoke": 34.19, "ht": 55.66}
    for term, points in wanted.items():
        assert slopes[term] * factor == pytest.approx(points, abs=0.006)
    per_log_odds = np.diff(total.points) / np.diff(np.log(total.values / (1 - total.values)))
    np.testing.assert_allclose(per_log_odds * factor, 32.1180, atol=1e-4)


def test_the_widest_term_has_one_hundred_points_and_the_others_fewer():
    highest = {ruler.term: ruler.points.max() for ruler in rulers(example())[0]}
    widths = {"age": 0.05 * 47, "er": 1.2, "rad": 0.9 * 4.2}
    assert highest[max(widths, key=widths.get)] == pytest.approx(100.0)
    assert sorted(highest.values())[-2] < 100.0
    assert all(ruler.points.min() == 0.0 for ruler in rulers(example())[0])


def test_points_fall_where_the_coefficient_is_negative():
    by_term = {ruler.term: ruler.points for ruler in rulers(example())[0]}
    assert (np.diff(by_term["er"]) < 0).all()
    assert (np.diff(by_term["age"]) > 0).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(COEFFICIENTS, min_size=1, max_size=4), st.floats(-3, 3), st.data())
def test_total_points_invert_the_linear_predictor(coefficients, intercept, data):
    ends = data.draw(
        st.lists(
            st.tuples(st.floats(-50, 50), st.floats(0.5, 50)),
            min_size=len(coefficients),
            max_size=len(coefficients),
        )
    )
    ranges = {f"t{i}": [low, low + width] for i, (low, width) in enumerate(ends)}
    model = model_of(intercept, coefficients, ranges)
    found, total = rulers(model)
    # Any patient's points, added up, must stand over the risk that the model gives that patient.
    share = data.draw(st.floats(0, 1))
    patient = {r.term: r.values[0] + share * np.ptp(r.values) for r in found}
    points = sum(points_of(r, patient[r.term]) for r in found)
    linear = float(model.linear.of(pd.DataFrame([patient]))[0])
    widest = max(abs(b) * np.ptp(r.values) for b, r in zip(coefficients, found, strict=True))
    lowest = intercept + sum(
        min(b * r.values[0], b * r.values[-1]) for b, r in zip(coefficients, found, strict=True)
    )
    assert points == pytest.approx((linear - lowest) * 100.0 / widest, abs=1e-6)
    np.testing.assert_allclose(
        total.points, (np.log(total.values / (1 - total.values)) - lowest) * 100.0 / widest,
        atol=1e-6,
    )  # fmt: skip


def test_points_do_not_depend_on_how_terms_are_scaled_inside_the_model():
    plain = example()
    means, sds = (55.0, 0.4, -0.2), (11.0, 0.5, 0.8)
    b = np.array([0.05, -1.2, 0.9])
    moved = model_of(-2.0 + float(b @ means), b * sds, plain.training["ranges"], means, sds)
    for one, other in zip(nomogram_parts(plain), nomogram_parts(moved), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


def nomogram_parts(model):
    table = nomogram_table(model)
    return [group[["value", "points"]].to_numpy() for _, group in table.groupby("term", sort=False)]


def test_only_reachable_risks_are_shown():
    found, total = rulers(example())
    reachable = sum(ruler.points.max() for ruler in found)
    assert total.points.min() >= 0.0 and total.points.max() <= reachable
    assert set(total.values) < set(RISKS)


def test_the_table_has_every_ruler_and_the_risks_last():
    table = nomogram_table(example())
    assert table["term"].drop_duplicates().tolist() == ["age", "er", "rad", TOTAL]
    assert set(table["model"]) == {"nomogram"}


def test_without_a_model_there_is_no_nomogram():
    with pytest.raises(ValueError, match="nothing left"):
        rulers(FrozenModel("nomogram", "combined", None, "nothing left"))


@settings(max_examples=60, deadline=None)
@given(st.floats(-1e4, 1e4), st.floats(1e-2, 1e4))
def test_even_values_cover_the_range_in_equal_steps(low, width):
    found = even_values(low, low + width)
    rounding = 1e-9 * max(1.0, abs(low), width)
    assert found[0] <= low + rounding and found[-1] >= low + width - rounding
    steps = np.diff(found)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)
    assert found[-1] - found[0] < width + 2 * steps[0] + 1e-9


def test_yes_or_no_terms_and_ordinals_have_no_values_between():
    terms = ("er_status", "histology[ILC]", "us_birads", "tumor_diameter_mm")
    linear = Linear(-1.0, terms, (0.5, 0.3, 0.8, 0.02), (0.0,) * 4, (0.0,) * 4, (1.0,) * 4)
    ranges = {
        "er_status": [0, 1],
        "histology[ILC]": [0, 1],
        "us_birads": [2, 5],
        "tumor_diameter_mm": [6, 47],
    }
    model = FrozenModel("nomogram", "combined", linear, training={"ranges": ranges})
    values = {ruler.term: ruler.values.tolist() for ruler in rulers(model)[0]}
    assert values["er_status"] == values["histology[ILC]"] == [0.0, 1.0]
    assert values["us_birads"] == [2.0, 3.0, 4.0, 5.0]
    assert values["tumor_diameter_mm"] == [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]


def test_a_model_that_could_not_be_fitted_has_an_empty_nomogram():
    table = nomogram_table(FrozenModel("nomogram", "combined", None, "separated"))
    assert table.columns.tolist() == ["model", "term", "value", "points"] and table.empty
