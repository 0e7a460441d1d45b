"""The steps of a pipeline against other implementations, closed forms and planted effects."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.base import clone
from sklearn.metrics import mutual_info_score
from sklearn.preprocessing import StandardScaler

from annulus.errors import StudyError
from annulus.modelling.steps import (
    BLOCK,
    Correlation,
    Impute,
    Mrmr,
    Scale,
    Stability,
    Univariable,
    Variance,
    lower_bounds,
    mutual_information,
    three_states,
)

EVERY = [
    Impute(), Impute("iterative"), Stability({f"f{i}": 0.9 for i in range(10)}), Scale(), Variance(),
    Univariable(), Univariable(test="welch", correction="bh"), Correlation(), Mrmr(4),
]  # fmt: skip


def cohort(seed=0, n=60, p=10, effect=1.0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % 2)
    X = pd.DataFrame(rng.normal(size=(n, p)), index=[f"P{i}" for i in range(n)]).add_prefix("f")
    X["f0"] += effect * y
    return X, y


@pytest.mark.parametrize("step", EVERY, ids=repr)
def test_every_step_is_clean_towards_scikit_learn(step):
    X, y = cohort()
    fitted = clone(step).set_output(transform="pandas").fit(X, y)
    assert not hasattr(clone(fitted), "feature_names_in_")
    assert clone(fitted).get_params() == step.get_params()
    found = fitted.transform(X)
    assert list(found) == list(fitted.get_feature_names_out())
    assert found.index.equals(X.index)
    # New patients in another order of columns, one at a time, get what they get together.
    new, _ = cohort(7, n=6)
    together = fitted.transform(new)
    apart = pd.concat([fitted.transform(new.iloc[[i], ::-1]) for i in range(6)])
    pd.testing.assert_frame_equal(together, apart)


@pytest.mark.parametrize("step", EVERY, ids=repr)
def test_every_step_carries_the_centre_along_untouched(step):
    X, y = cohort()
    centre = np.resize(["a", "b", "c"], len(X))
    plain = clone(step).fit(X, y)
    carrying = clone(step).set_params(carried=("centre",)).fit(X.assign(centre=centre), y)
    found = carrying.transform(X.assign(centre=centre))
    pd.testing.assert_frame_equal(found, plain.transform(X).assign(centre=centre))
    assert "centre" not in getattr(carrying, "removed_", [])


@pytest.mark.parametrize("step", [s for s in EVERY if not isinstance(s, Stability)], ids=repr)
def test_no_feature_left_is_no_error(step):
    X, y = cohort()
    assert clone(step).fit(X[[]], y).transform(X[[]]).shape == (60, 0)


@pytest.mark.parametrize("step", EVERY[3:], ids=repr)
def test_a_missing_value_asks_for_imputation(step):
    X, y = cohort()
    X.iloc[2, 3] = np.nan
    with pytest.raises(StudyError, match="imputation before"):
        clone(step).fit(X, y)


@pytest.mark.parametrize(
    ("step", "key"),
    [
        (Impute("mean"), "impute.method"),
        (Univariable(test="t"), "univariable.test"),
        (Univariable(correction="holm"), "univariable.correction"),
        (Correlation(method="kendall"), "correlation.method"),
    ],
)
def test_an_unknown_setting_is_refused(step, key):
    with pytest.raises(StudyError, match=key):
        step.fit(*cohort())


# ---- imputation and scaling ----


@pytest.mark.parametrize("method", ["median", "iterative"])
def test_imputation_learns_from_training_alone(method):
    X, _ = cohort()
    X.iloc[:5, 2] = np.nan
    imputer = Impute(method).fit(X)
    new = pd.DataFrame(np.nan, index=["N"], columns=X.columns)
    filled = imputer.transform(new)
    assert filled.notna().all(axis=None)
    np.testing.assert_allclose(imputer.transform(new * 1.0), filled)
    if method == "median":
        np.testing.assert_allclose(filled.iloc[0], X.median())


def test_iterative_imputation_recovers_what_other_features_tell():
    rng = np.random.default_rng(2)
    X, _ = cohort(n=200)
    X["copy"] = 2.0 * X["f1"] - X["f2"] + 0.05 * rng.normal(size=200)
    truth = X["copy"].copy()
    X.loc[X.index[::7], "copy"] = np.nan
    hidden = X["copy"].isna()
    errors = {
        method: (Impute(method).fit_transform(X)["copy"] - truth)[hidden].std()
        for method in ("median", "iterative")
    }
    assert errors["iterative"] < 0.1 < errors["median"]


def test_iterative_imputation_is_the_same_every_time_and_within_range():
    X, _ = cohort(n=40)
    X = X.mask(np.random.default_rng(0).random(X.shape) < 0.1)
    one, other = (Impute("iterative", neighbours=4, seed=5).fit_transform(X) for _ in range(2))
    pd.testing.assert_frame_equal(one, other)
    assert (one.max() <= X.max() + 1e-12).all() and (one.min() >= X.min() - 1e-12).all()


@pytest.mark.parametrize("when", ["training", "new patients"])
def test_an_infinite_feature_is_not_filled_in(when):
    X, _ = cohort()
    infinite = X.assign(f3=np.inf)
    with pytest.raises(StudyError, match="impute: a feature is infinite"):
        Impute().fit(infinite) if when == "training" else Impute().fit(X).transform(infinite)


def test_a_feature_that_nobody_has_becomes_constant():
    X, y = cohort()
    filled = Impute().fit_transform(X.assign(none=np.nan))
    assert Variance().fit(filled, y).removed_ == ["none"]


def test_z_scores_are_those_of_the_population_sd():
    X, _ = cohort()
    np.testing.assert_allclose(Scale().fit_transform(X), StandardScaler().fit_transform(X), atol=1e-14)


def test_what_does_not_vary_is_removed_before_and_after_scaling():
    X, _ = cohort()
    X = X.assign(same=3.7, almost=1e8 + np.where(np.arange(60) % 2, 1e-6, 0.0))
    assert Variance().fit(X).removed_ == ["same", "almost"]
    assert Variance().fit(Scale().fit_transform(X)).removed_ == ["same", "almost"]
    assert set(Variance(0.25).fit(X.assign(small=X["f1"] * 0.3)).removed_) == {"same", "almost", "small"}


# ---- selection ----


def test_stability_is_judged_by_the_lower_bound_over_all_sources():
    table = pd.DataFrame(
        {
            "column": ["f0", "f1", "f2", "f0", "f1", "f2"],
            "icc": [0.95] * 6,
            "icc_lower": [0.8, 0.9, 0.9, 0.9, 0.7, np.nan],
            "source": ["raters"] * 3 + ["perturbation"] * 3,
        }
    )
    X, y = cohort(p=3)
    step = Stability(lower_bounds(table), 0.75).fit(X, y)
    assert step.removed_ == ["f1", "f2"]
    assert step.statistic_["f0"] == 0.8


def test_a_feature_without_a_coefficient_is_named():
    with pytest.raises(StudyError, match="1 features have no intraclass correlation, f9"):
        Stability({f"f{i}": 0.9 for i in range(9)}).fit(*cohort())


@pytest.mark.parametrize("test", ["mann_whitney", "welch"])
def test_univariable_p_values_are_those_of_one_feature_at_a_time(test):
    X, y = cohort()
    X["f1"] = X["f1"].round()  # ties
    step = Univariable(0.05, test).fit(X, y)
    for name in X:
        a, b = X.loc[y == 1, name], X.loc[y == 0, name]
        wanted = (
            stats.mannwhitneyu(a, b, method="asymptotic").pvalue
            if test == "mann_whitney"
            else stats.ttest_ind(a, b, equal_var=False).pvalue
        )
        assert step.statistic_[name] == pytest.approx(wanted, rel=1e-12)
    assert step.removed_ == list(step.statistic_[step.statistic_ >= 0.05].index)


def test_mann_whitney_has_the_p_of_the_textbook():
    # Normal approximation with ties and continuity by its formula.
    x, y = np.array([1.0, 2, 2, 3, 5, 6, 6, 9]), np.array([0, 0, 1, 0, 1, 1, 0, 1])
    ranks = stats.rankdata(x)
    u = ranks[y == 1].sum() - 4 * 5 / 2
    variance = 4 * 4 / 12 * (9 - (6 + 6) / (8 * 7))
    wanted = 2 * stats.norm.sf((abs(u - 8) - 0.5) / np.sqrt(variance))
    found = Univariable().fit(pd.DataFrame({"x": x}), y).statistic_["x"]
    assert found == pytest.approx(wanted, rel=1e-12)


def test_benjamini_hochberg_adjusts_the_p_values():
    X, y = cohort(p=20)
    plain = Univariable().fit(X, y).statistic_.to_numpy()
    adjusted = Univariable(correction="bh").fit(X, y).statistic_.to_numpy()
    order = np.argsort(plain)
    by_hand = np.minimum.accumulate((plain[order] * 20 / np.arange(1, 21))[::-1])[::-1]
    np.testing.assert_allclose(adjusted[order], np.minimum(by_hand, 1.0))


def test_false_discoveries_among_noise_are_controlled():
    kept = []
    for seed in range(40):
        X, y = cohort(seed, p=100, effect=0.0)
        kept.append(bool(Univariable(correction="bh").fit(X, y).keep_.any()))
    assert np.mean(kept) < 0.15


def test_constant_features_have_no_univariable_p():
    X, y = cohort()
    for test in ("welch", "mann_whitney"):
        assert Univariable(test=test).fit(X.assign(same=1.0), y).statistic_["same"] == 1.0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["spearman", "pearson"]), st.floats(0.3, 0.95))
def test_no_kept_features_correlate_above_the_limit_and_every_removed_one_does(seed, method, most):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(40, 4)) @ rng.normal(size=(4, 25)) + rng.normal(size=(40, 25)))
    X.columns = [f"f{i}" for i in range(25)]
    step = Correlation(most, method).fit(X, np.arange(40) % 2)
    matrix = X.corr(method=method).abs()
    kept = list(step.get_feature_names_out())
    among = matrix.loc[kept, kept].to_numpy() - np.eye(len(kept))
    assert among.max(initial=0.0) <= most + 1e-9
    for name in step.removed_:
        assert matrix.loc[name, kept].max() > most - 1e-9


def test_of_two_copies_the_one_nearer_to_the_outcome_stays():
    X, y = cohort(n=400, effect=2.0)
    rng = np.random.default_rng(1)
    worse = pd.concat([(X["f0"] + 0.5 * rng.normal(size=400)).rename("worse"), X], axis=1)
    assert Correlation(0.8).fit(worse, y).removed_ == ["worse"]


def test_correlations_in_blocks_are_those_of_all_at_once():
    rng = np.random.default_rng(0)
    p = 2 * BLOCK + 30
    X = pd.DataFrame(rng.normal(size=(30, 25)) @ rng.normal(size=(25, p))).add_prefix("f")
    y = np.arange(30) % 2
    step = Correlation(0.6, "pearson").fit(X, y)
    matrix = np.abs(np.corrcoef(X.to_numpy().T))
    relevance = np.abs([np.corrcoef(X[name], y)[0, 1] for name in X])
    kept: list[int] = []
    for j in np.argsort(-np.round(relevance, 12), kind="stable"):
        if not kept or matrix[j, kept].max() <= 0.6:
            kept.append(j)
    assert sorted(kept) == list(np.flatnonzero(step.keep_))
    assert 0 < len(kept) < p


def test_mutual_information_is_that_of_scikit_learn():
    X, y = cohort(p=30)
    states = three_states(X.to_numpy())
    wanted = [mutual_info_score(states[:, j], y) for j in range(30)]
    np.testing.assert_allclose(mutual_information(states, y), wanted, atol=1e-13)
    pairs = [mutual_info_score(states[:, j], states[:, 0]) for j in range(30)]
    np.testing.assert_allclose(mutual_information(states, states[:, 0]), pairs, atol=1e-13)


def test_states_are_cut_half_a_standard_deviation_from_the_mean():
    x = np.array([[-3.0], [-0.2], [0.0], [0.2], [3.0]])
    assert three_states(x).ravel().tolist() == [0, 1, 1, 1, 2]


def test_mrmr_chooses_as_the_definition_does():
    X, y = cohort(3, p=12)
    X["f5"] = X["f0"] + 0.1 * X["f5"]
    states = three_states(X.to_numpy())
    chosen: list[int] = []
    while len(chosen) < 5:
        scores = [
            -np.inf if j in chosen else
            mutual_info_score(states[:, j], y)
            - (np.mean([mutual_info_score(states[:, j], states[:, k]) for k in chosen]) if chosen else 0)
            for j in range(12)
        ]  # fmt: skip
        chosen.append(int(np.argmax(np.round(scores, 12))))
    assert sorted(chosen) == list(np.flatnonzero(Mrmr(5).fit(X, y).keep_))


def test_mrmr_prefers_a_second_source_to_a_copy_of_the_first():
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    first, second = 1.5 * y + rng.normal(size=400), 0.8 * y + rng.normal(size=400)
    X = pd.DataFrame({"first": first, "copy": first + 0.05 * rng.normal(size=400), "second": second})
    kept = list(Mrmr(2).fit(X, y).get_feature_names_out())
    assert "second" in kept and len(kept) == 2


def test_ties_go_to_the_first_column():
    X, y = cohort()
    twins = X[["f0"]].assign(again=X["f0"])
    assert Mrmr(1).fit(twins, y).removed_ == ["again"]
    assert Correlation(0.9).fit(twins, y).removed_ == ["again"]


def test_fewer_features_than_asked_for_are_all_kept():
    assert Mrmr(50).fit(*cohort()).removed_ == []


def test_iterative_imputation_leaves_the_table_alone_whatever_its_layout():
    # pandas lends out columns side by side as they are, and not to be written to.
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 4))).add_prefix("f")
    X.iloc[3, 1] = np.nan
    before = X.copy()
    assert not before.to_numpy(dtype=float).flags.writeable
    one, other = (Impute("iterative", neighbours=2).fit_transform(table) for table in (X, before))
    pd.testing.assert_frame_equal(one, other)
    assert np.isnan(before.iloc[3, 1])


def test_a_patient_who_lacks_everything_is_filled_in_alike_in_any_company():
    X = pd.DataFrame(np.random.default_rng(1).normal(size=(40, 4))).add_prefix("f")
    X["f3"] = X["f0"] + 1.0
    X.iloc[:6, 3] = np.nan
    step = Impute("iterative", neighbours=2).fit(X)
    new = X.iloc[:3].copy()
    new.iloc[0] = np.nan
    together, alone = step.transform(new), step.transform(new.iloc[[0]])
    np.testing.assert_allclose(alone.iloc[0], together.iloc[0], rtol=1e-12)
