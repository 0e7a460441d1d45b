"""Odds ratios of subgroups and the interaction test against R's glm and anova."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from annulus.evaluation.discrimination import auc_interval
from annulus.evaluation.subgroups import compare_subgroups

ROOT = Path(__file__).parents[1]
ORACLE = ROOT / "tests" / "oracle"
SHARED = ROOT.parent / "shared" / "oracle"
EXPECTED = json.loads((ORACLE / "expected.json").read_text())["sub"]


def held_out():
    table = pd.read_csv(ORACLE / "cohort.csv").merge(pd.read_csv(ORACLE / "rad.csv"), on="id")
    return table[table["cohort"] != "train"]


def three(interval):
    return interval.estimate, interval.lower, interval.upper


def test_synthetic_subgroups_are_those_of_r():
    table = held_out()
    found = compare_subgroups(table["y"], table["rad"], table["ki67"])
    assert found.interaction_p == pytest.approx(EXPECTED["p_int"], rel=1e-9)
    for subgroup, key in zip(found.subgroups, ("or0", "or1"), strict=True):
        wanted = (EXPECTED[key]["or"][1], *EXPECTED[key]["wald"][1])
        assert three(subgroup.odds_ratio) == pytest.approx(wanted, rel=1e-9)
    assert sum(s.n for s in found.subgroups) == len(table)
    assert sum(s.events for s in found.subgroups) == table["y"].sum()


def test_auc_of_a_subgroup_is_that_of_its_patients():
    table = held_out()
    found = compare_subgroups(table["y"], table["rad"], table["ki67"])
    high = table[table["ki67"] == 1]
    assert found.subgroups[1].level == "1"
    assert found.subgroups[1].auc == auc_interval(high["y"].to_numpy(), high["rad"].to_numpy())


def test_interaction_of_birthwt_is_that_of_r():
    path = SHARED / "birthwt.csv"
    if not path.is_file():
        pytest.skip(f"GPL oracle data are absent: {path}")
    table = pd.read_csv(path)
    found = compare_subgroups(table["low"], table["lwt"], table["smoke"])
    assert found.interaction_p == pytest.approx(0.1605759629688, rel=1e-8)


def test_a_factor_of_three_levels_has_two_degrees_of_freedom():
    table = held_out()
    site = pd.cut(table["age"], [0, 45, 60, 200], labels=["young", "middle", "old"]).rename("age_group")
    found = compare_subgroups(table["y"], table["rad"], site)
    code = pd.get_dummies(site, drop_first=True).to_numpy(float)
    x = table["rad"].to_numpy()[:, None]
    fits = [
        sm.GLM(table["y"].to_numpy(), sm.add_constant(design), family=sm.families.Binomial())
        .fit(tol=1e-12)
        .llf
        for design in (np.hstack([x, code]), np.hstack([x, code, x * code]))
    ]
    assert found.interaction_p == pytest.approx(stats.chi2.sf(2 * (fits[1] - fits[0]), 2), rel=1e-6)
    assert found.degrees_of_freedom == 2
    assert [s.level for s in found.subgroups] == ["young", "middle", "old"]


def test_a_planted_interaction_is_found_and_its_absence_is_not():
    rng = np.random.default_rng(1)
    x, group = rng.normal(size=2000), pd.Series(rng.integers(0, 2, 2000), name="group")
    for effect, small in ((1.0, True), (0.0, False)):
        p = 1 / (1 + np.exp(-(0.3 + effect * group) * x))
        found = compare_subgroups(rng.random(2000) < p, x, group)
        assert (found.interaction_p < 0.001) == small


def test_interaction_p_is_uniform_where_there_is_none():
    rng = np.random.default_rng(7)
    group = pd.Series(np.arange(200) % 2, name="group")
    found = []
    for _ in range(150):
        x = rng.normal(size=200)
        found.append(compare_subgroups(rng.random(200) < 1 / (1 + np.exp(-0.5 * x)), x, group).interaction_p)
    assert stats.kstest(found, "uniform").pvalue > 0.01


def test_patients_without_a_level_are_left_out_and_counted():
    table = held_out()
    factor = table["ki67"].astype(object).where(np.arange(len(table)) >= 5)
    found, rest = (
        compare_subgroups(table["y"], table["rad"], factor),
        compare_subgroups(table["y"][5:], table["rad"][5:], table["ki67"][5:]),
    )
    assert (found.left_out, rest.left_out) == (5, 0)
    assert found.interaction_p == rest.interaction_p


def test_a_subgroup_without_events_says_so():
    y = np.r_[np.zeros(10), np.arange(40) % 2]
    x = np.random.default_rng(2).normal(size=50)
    factor = pd.Series(["few"] * 10 + ["many"] * 40, name="site")
    found = compare_subgroups(y, x, factor)
    assert np.isnan(found.interaction_p)
    assert "one outcome" in found.note
    few = found.subgroups[0]
    assert np.isnan([*three(few.auc), *three(few.odds_ratio)]).all()
    assert "same outcome" in few.auc.note and "same outcome" in few.odds_ratio.note


def test_one_level_alone_is_no_comparison():
    found = compare_subgroups(np.arange(20) % 2, np.arange(20.0), pd.Series(["a"] * 20, name="site"))
    assert np.isnan(found.interaction_p)
    assert found.note.startswith("one subgroup")
