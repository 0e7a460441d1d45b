"""ComBat against R's sva, and its manners towards patients who are held out."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from annulus.errors import StudyError
from annulus.modelling.harmonisation import Combat, apply_combat, fit_combat

ROOT = Path(__file__).parents[1]
ORACLE = ROOT / "tests" / "oracle"
SHARED = ROOT.parent / "shared" / "oracle"


def shared(name):
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"oracle data are absent: {path}")
    return path


def rs_example():
    X = pd.read_csv(shared("combat_X.csv"), index_col=0).T
    people = pd.read_csv(shared("combat_pheno.csv")).set_index(X.index)
    return X.assign(centre=people["batch"].astype(str), group=people["cov"])


def simulated(seed=0, n=60, p=12, centres="abc"):
    rng = np.random.default_rng(seed)
    centre = np.resize(list(centres), n)
    shift = {name: rng.normal(0, 2, p) for name in centres}
    scale = {name: rng.uniform(0.5, 2, p) for name in centres}
    values = np.array([rng.normal(shift[c], scale[c]) for c in centre])
    return pd.DataFrame(values).add_prefix("f").assign(centre=centre)


@pytest.mark.parametrize(
    ("file", "covariates", "reference"),
    [("mod", ("group",), None), ("nomod", (), None), ("mod_ref1", ("group",), "1")],
)
def test_harmonised_training_patients_are_those_of_sva(file, covariates, reference):
    table = rs_example()
    table = table if covariates else table.drop(columns="group")
    wanted = pd.read_csv(shared(f"combat_R_{file}.csv"), index_col=0).T
    found = Combat(covariates=covariates, reference=reference).fit_transform(table)
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("key", "reference"), [("combat_first5", None), ("combat_ref1_first5", "1")])
def test_the_synthetic_cohort_is_harmonised_as_by_sva(key, reference):
    table = pd.read_csv(ORACLE / "cohort.csv")
    table = table[table["cohort"] == "train"]
    names = [f"f{i:02d}" for i in range(40)]
    combat = Combat("site", ("er",), reference)
    found = combat.fit_transform(table[[*names, "site", "er"]])
    wanted = json.loads((ORACLE / "expected.json").read_text())[key]
    np.testing.assert_allclose(found.iloc[:5, :5], wanted, rtol=1e-8, atol=1e-10)


def test_an_unseen_centre_treated_by_reference_is_as_if_it_had_been_there():
    # With a reference and no covariates no centre learns from another, so training on the reference alone
    # and meeting the others later must give what sva gives with all of them at once.
    table = simulated()
    whole = Combat(reference="a").fit_transform(table)
    alone = Combat(reference="a", unseen="reference").fit(table[table["centre"] == "a"])
    np.testing.assert_allclose(alone.transform(table), whole, rtol=1e-12, atol=1e-12)


def test_an_unseen_centre_is_refused_or_left_as_asked():
    table = simulated()
    train, stranger = table[table["centre"] != "c"], table[table["centre"] == "c"]
    with pytest.raises(StudyError, match="no \\(or one\\) patient of centre c"):
        Combat().fit(train).transform(table)
    left = Combat(unseen="leave").fit(train).transform(stranger)
    pd.testing.assert_frame_equal(left, stranger.drop(columns="centre"))


def test_a_centre_of_one_training_patient_counts_as_unseen():
    table = simulated()
    few = pd.concat([table[table["centre"] != "c"], table[table["centre"] == "c"].head(1)])
    with pytest.raises(StudyError, match="single training patient"):
        Combat().fit(few)
    with_one, without = Combat(unseen="leave").fit(few), Combat(unseen="leave").fit(few.iloc[:-1])
    np.testing.assert_array_equal(with_one.transform(table), without.transform(table))


def test_a_patient_drawn_twice_is_one_patient():
    table = simulated()
    some = table[table["centre"] != "c"]
    twice = pd.concat([some, table[table["centre"] == "c"].iloc[[0, 0]]])
    found, wanted = Combat(unseen="leave").fit(twice), Combat(unseen="leave").fit(some)
    np.testing.assert_array_equal(found.transform(table), wanted.transform(table))


def test_an_unseen_centre_of_one_patient_has_no_departure():
    table = simulated()
    combat = Combat(reference="a", unseen="reference").fit(table[table["centre"] != "c"])
    with pytest.raises(StudyError, match="one patient here"):
        combat.transform(table[table["centre"] == "c"].head(1))


def test_a_single_training_centre_is_left_as_it_is():
    table = simulated(centres="a")
    found = Combat().fit_transform(table)
    pd.testing.assert_frame_equal(found, table.drop(columns="centre"))


def test_the_outcome_is_never_looked_at():
    table, rng = simulated(), np.random.default_rng(1)
    one = Combat().fit(table, rng.integers(0, 2, len(table))).transform(table)
    np.testing.assert_array_equal(one, Combat().fit(table).transform(table))


def test_patients_who_are_scored_do_not_matter_to_each_other():
    table, new = simulated(0), simulated(5, n=30)
    combat = Combat().fit(table)
    together = combat.transform(new)
    apart = pd.concat([combat.transform(new.iloc[[i]]) for i in range(len(new))])
    np.testing.assert_allclose(together, apart, rtol=1e-13)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_centres_differ_less_after_harmonisation(seed):
    table = simulated(seed, n=90)
    features = table.drop(columns="centre")
    before = features.groupby(table["centre"]).mean().std().mean()
    after = Combat().fit_transform(table).groupby(table["centre"]).mean().std().mean()
    assert after < 0.25 * before


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 100), st.floats(-100, 100))
def test_the_unit_of_the_features_changes_nothing_but_the_unit(seed, scale, shift):
    table = simulated(seed)
    moved = table.drop(columns="centre") * scale + shift
    found = Combat().fit_transform(moved.assign(centre=table["centre"]))
    wanted = Combat().fit_transform(table) * scale + shift
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6 * scale)


def test_a_feature_that_does_not_vary_in_a_centre_is_left_alone():
    table = simulated()
    table.loc[table["centre"] == "b", "f3"] = 4.0
    found = Combat().fit_transform(table)
    np.testing.assert_array_equal(found["f3"], table["f3"])
    rest = Combat().fit_transform(table.drop(columns="f3"))
    np.testing.assert_allclose(found.drop(columns="f3"), rest, rtol=1e-12)


def test_the_effect_of_a_covariate_is_kept():
    rng, table = np.random.default_rng(3), simulated(3, n=300)
    group = rng.integers(0, 2, len(table))
    table.iloc[:, 0] += 3.0 * group
    found = Combat(covariates=("group",)).fit_transform(table.assign(group=group))["f0"]
    difference = found[group == 1].mean() - found[group == 0].mean()
    assert difference == pytest.approx(3.0, abs=0.5)


def test_a_covariate_that_is_the_centre_is_refused():
    table = simulated()
    with pytest.raises(StudyError, match="told from the centres"):
        Combat(covariates=("group",)).fit(table.assign(group=(table["centre"] == "a") * 1.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"f0": np.nan}, "imputation before"),
        ({"centre": None}, "no centre"),
    ],
)
def test_missing_values_are_refused(change, message):
    table = simulated()
    for column, value in change.items():
        table.loc[3, column] = value
    with pytest.raises(StudyError, match=message):
        Combat().fit(table)


def test_an_unknown_reference_or_policy_is_refused():
    with pytest.raises(StudyError, match="not among the training centres"):
        Combat(reference="z").fit(simulated())
    with pytest.raises(StudyError, match="unseen is one of"):
        Combat(unseen="guess").fit(simulated())


def test_copies_of_one_feature_leave_nothing_to_borrow_and_do_not_fail():
    table = simulated(p=1)
    twice = table.assign(g=table["f0"])
    np.testing.assert_allclose(
        Combat().fit_transform(twice)["g"], Combat().fit_transform(table)["f0"], rtol=1e-9
    )


def test_a_clone_is_unfitted_and_output_is_a_named_table():
    combat = Combat(unseen="leave").set_output(transform="pandas").fit(simulated())
    copy = clone(combat)
    assert not hasattr(copy, "model_") and copy.get_params() == combat.get_params()
    found = combat.transform(simulated())
    assert list(found) == list(combat.get_feature_names_out()) == [f"f{i}" for i in range(12)]


def test_functions_on_arrays_are_those_of_the_transformer():
    table = simulated()
    X, centre = table.drop(columns="centre").to_numpy(), table["centre"].to_numpy(dtype=object)
    model = fit_combat(X, centre, np.empty((len(X), 0)))
    found = apply_combat(model, X, centre, np.empty((len(X), 0)), "refuse")
    np.testing.assert_array_equal(found, Combat().fit_transform(table))
