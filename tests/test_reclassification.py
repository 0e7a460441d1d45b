"""Net reclassification and IDI against nricens, PredictABEL and Hmisc's improveProb."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from annulus.evaluation.reclassification import (
    bootstrap_improvement,
    categorical_nri,
    continuous_nri,
    idi,
    reclassification_table,
)

ROOT = Path(__file__).parents[1]
ORACLE = ROOT / "tests" / "oracle"
SHARED = ROOT.parent / "shared" / "oracle"
EXPECTED = json.loads((ORACLE / "expected.json").read_text())["nri_idi"]
PATIENTS = st.lists(st.tuples(st.booleans(), st.floats(0, 1), st.floats(0, 1)), min_size=4, max_size=40)


def shared(name):
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"GPL oracle data are absent: {path}")
    return pd.read_csv(path)


def cirrhosis():
    table = shared("pbc_nri.csv")
    return table["event"].to_numpy(), table["p_std"].to_numpy(), table["p_new"].to_numpy()


def example():
    table = shared("predictabel_example_risks.csv")
    return table["y"].to_numpy(), table["p1"].to_numpy(), table["p2"].to_numpy()


def external():
    table = pd.read_csv(ORACLE / "pred.csv").query("cohort == 'external'")
    return table["y"].to_numpy(), table["pc"].to_numpy(), table["pf"].to_numpy()


def moved(found):
    return [found.events_up, found.events_down, found.non_events_down, found.non_events_up]


def three(interval):
    return interval.estimate, interval.lower, interval.upper


@pytest.mark.parametrize(
    ("measure", "wanted"),
    [
        (
            partial(continuous_nri, least_change=0.02),
            [0.08712121212121, 0.04545454545455, 0.04166666666667,
             0.1931818181818, 0.1477272727273, 0.1597222222222, 0.1180555555556],
        ),
        (
            partial(categorical_nri, cut_offs=[0.2, 0.4]),
            [-0.02272727272727, -0.02272727272727, 0.0, 0.0, 0.02272727272727, 0.02083333333333,
             0.02083333333333],
        ),
        (
            continuous_nri,
            [0.03914141414141, -0.1136363636364, 0.1527777777778, 0.4431818181818, 0.5568181818182,
             0.5763888888889, 0.4236111111111],
        ),
    ],
)  # fmt: skip
def test_cirrhosis_is_reclassified_as_nricens_says(measure, wanted):
    found = measure(*cirrhosis())
    ours = [found.total.estimate, found.events.estimate, found.non_events.estimate, *moved(found)]
    assert ours == pytest.approx(wanted, abs=1e-12)


def test_intervals_of_cirrhosis_are_those_of_predictabel():
    found = categorical_nri(*cirrhosis(), cut_offs=[0.2, 0.4])
    assert three(found.total) == pytest.approx((-0.0227, -0.0683, 0.0229), abs=5e-5)
    z = found.total.estimate / ((found.total.upper - found.total.lower) / (2 * 1.959963984540054))
    assert z == pytest.approx(-0.9764, abs=2e-3)
    continuous = continuous_nri(*cirrhosis()).total
    assert three(continuous) == pytest.approx((0.0391, -0.2238, 0.3021), abs=5e-5)


def standard_error(interval):
    return (interval.upper - interval.lower) / (2.0 * 1.959963984540054)


def test_standard_errors_of_cirrhosis_are_those_of_improve_prob():
    net, gain = continuous_nri(*cirrhosis()), idi(*cirrhosis())
    assert standard_error(net.total) == pytest.approx(0.1341612798661, rel=1e-9)
    assert standard_error(net.events) == pytest.approx(0.1059098446396, rel=1e-9)
    assert standard_error(net.non_events) == pytest.approx(0.08235504734824, rel=1e-9)
    assert gain.total.estimate == pytest.approx(0.0044379980364, rel=1e-9)
    assert standard_error(gain.total) == pytest.approx(0.004142027990271, rel=1e-9)
    assert gain.events.estimate == pytest.approx(0.002754619477943, rel=1e-9)
    assert gain.non_events.estimate == pytest.approx(0.001683378558457, rel=1e-9)


def test_example_of_predictabel_is_met():
    found = [categorical_nri(*example(), cut_offs=[0.1, 0.3]), continuous_nri(*example()), idi(*example())]
    wanted = [(0.2043, 0.1777, 0.2309), (0.5114, 0.4636, 0.5591), (0.0672, 0.0612, 0.0732)]
    for ours, theirs in zip(found, wanted, strict=True):
        assert three(ours.total) == pytest.approx(theirs, abs=5e-5)


def test_table_of_the_example_of_predictabel_is_met():
    found = reclassification_table(*example(), cut_offs=[0.1, 0.3])
    counts = {y: part["n"].to_numpy().reshape(3, 3).tolist() for y, part in found.groupby("y")}
    assert counts[0] == [[2899, 76, 0], [714, 2398, 657], [34, 469, 766]]
    assert counts[1] == [[85, 11, 0], [63, 542, 457], [1, 118, 710]]
    assert list(found["old"].unique()) == ["0 to <0.1", "0.1 to <0.3", "0.3 to 1"]


def test_external_cohort_is_reclassified_as_r_says():
    continuous, gain = continuous_nri(*external()), idi(*external())
    assert continuous.total.estimate == pytest.approx(EXPECTED["cnri"], rel=1e-9)
    assert standard_error(continuous.total) == pytest.approx(EXPECTED["cnri_se"], rel=1e-9)
    assert continuous.events.estimate == pytest.approx(EXPECTED["cnri_ev"], rel=1e-9)
    assert continuous.non_events.estimate == pytest.approx(EXPECTED["cnri_ne"], rel=1e-9)
    assert gain.total.estimate == pytest.approx(EXPECTED["idi"], rel=1e-9)
    assert standard_error(gain.total) == pytest.approx(EXPECTED["idi_se"], rel=1e-9)
    found = categorical_nri(*external(), cut_offs=[0.3, 0.6])
    ours = [found.total.estimate, found.events.estimate, found.non_events.estimate, *moved(found)]
    assert ours == pytest.approx(EXPECTED["cat"], rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(PATIENTS)
def test_exchanging_the_models_changes_every_sign(rows):
    y, old, new = (np.array(column) for column in zip(*rows, strict=True))
    assume(2 <= y.sum() <= len(y) - 2)
    for measure in (continuous_nri, partial(categorical_nri, cut_offs=[0.3, 0.6]), idi):
        one, other = measure(y, old, new), measure(y, new, old)
        for part in ("events", "non_events", "total"):
            assert getattr(one, part).estimate == pytest.approx(-getattr(other, part).estimate, abs=1e-12)


def test_a_risk_at_a_cut_off_is_in_the_higher_category():
    found = categorical_nri(np.array([1, 0]), np.array([0.19, 0.3]), np.array([0.2, 0.2]), [0.2])
    assert (found.events.estimate, found.non_events.estimate) == (1.0, 0.0)


def test_patients_who_all_move_alike_give_no_interval():
    found = continuous_nri(np.array([1, 1, 0, 0]), np.full(4, 0.5), np.array([0.6, 0.7, 0.4, 0.3]))
    assert found.total.estimate == 2.0
    assert np.isnan(found.total.lower)


def test_bootstrap_intervals_are_about_the_normal_ones():
    y, old, new = external()
    for measure in (continuous_nri, idi):
        exact = measure(y, old, new)
        found = bootstrap_improvement(measure, y, old, new, 1000, 2)
        assert found == bootstrap_improvement(measure, y, old, new, 1000, 2)
        for ours, theirs in zip(found, (exact.events, exact.non_events, exact.total), strict=True):
            assert ours.estimate == theirs.estimate
            assert ours.upper - ours.lower == pytest.approx(theirs.upper - theirs.lower, rel=0.12)


@pytest.mark.parametrize("cut_offs", [[], [0.0, 0.5], [0.5, 1.0], [0.4, 0.2], [0.3, 0.3]])
def test_cut_offs_that_make_no_categories_are_refused(cut_offs):
    with pytest.raises(ValueError, match="increasing order"):
        categorical_nri(np.array([1, 0]), np.array([0.1, 0.2]), np.array([0.2, 0.1]), cut_offs)


@pytest.mark.parametrize("measure", [continuous_nri, idi])
def test_one_outcome_alone_is_refused(measure):
    with pytest.raises(ValueError, match="with and without"):
        measure(np.ones(4), np.full(4, 0.2), np.full(4, 0.3))
