"""Figures of models, habitats and stability show the numbers that they are given, and say what is missing."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import spearmanr

from annulus.figures.habitats import (
    cluster_validity_figure,
    fraction_figure,
    habitat_map_figure,
)
from annulus.figures.odds_ratios import odds_ratio_figure
from annulus.figures.overlay import Shown
from annulus.figures.signatures import (
    LOWERS,
    MOST_COEFFICIENTS,
    MOST_CORRELATED,
    RAISES,
    coefficient_figure,
    correlation_figure,
    waterfall_figure,
)
from annulus.figures.stability import stability_figure
from annulus.figures.style import PALETTE, feature_title, term_title
from annulus.modelling.odds_ratios import ODDS_RATIO_COLUMNS

PROFILE = "profile likelihood"
LASSO = pd.DataFrame({"learner": ["lasso"], "chosen": [1]})


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def words(figure):
    return [text.get_text() for text in figure.findobj(plt.Text) if text.get_text()]


def signature(coefficients):
    terms = [{"term": f"us_itr_original_glcm_f{i}", "coefficient": b} for i, b in enumerate(coefficients)]
    return {"linear": {"intercept": 0.0, "terms": terms}}


def test_names_are_written_as_readers_expect_them():
    assert feature_title("rc_ptr5_log-sigma-2-0-mm-3D_glcm_Imc1") == "rc ptr5 glcm Imc1 [LoG 2.0 mm]"
    assert feature_title("dce_h1_original_habitat_fraction") == "dce h1 habitat fraction"
    assert feature_title("age_years") == "age_years"
    assert term_title("radscore_itr") == "Rad-score ITR"
    assert term_title("tumor_diameter_mm") == "Largest diameter of the tumour, mm"
    assert term_title("her2_ish[not_done]") == "HER2 in-situ hybridisation: not done"


# ---- signatures ----


def test_bars_are_the_non_zero_coefficients_by_value_and_coloured_by_sign():
    models = {"signature_itr": signature([0.2, 0.0, -0.5, 0.7]), "signature_ptr5": signature([-0.1])}
    figure, table = coefficient_figure(models, dict.fromkeys(models, LASSO))
    assert list(table["coefficient"]) == [0.7, 0.2, -0.5, -0.1]
    assert list(table["column"].str[-2:]) == ["f3", "f0", "f2", "f0"]
    bars = figure.axes[0].patches
    assert [bar.get_width() for bar in bars] == [0.7, 0.2, -0.5]
    assert [plt.matplotlib.colors.to_hex(bar.get_facecolor()).upper() for bar in bars] == [RAISES] * 2 + [
        LOWERS
    ]
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()


def test_a_signature_without_coefficients_says_why():
    models = {
        "signature_none": signature([]),
        "signature_svm": {"linear": {"kind": "svm"}},
        "signature_itr": signature(np.arange(1.0, 41.0)),
    }
    svm = pd.DataFrame({"learner": ["lasso", "svm"], "chosen": [0, 1]})
    choices = {"signature_none": LASSO, "signature_svm": svm, "signature_itr": LASSO}
    figure, table = coefficient_figure(models, choices)
    assert "no feature selected" in words(figure)
    assert "support vector machine: no coefficients" in words(figure)
    assert f"{MOST_COEFFICIENTS} largest of 40" in words(figure)
    assert sorted(table["coefficient"]) == list(np.arange(41.0 - MOST_COEFFICIENTS, 41.0))
    alone, table = coefficient_figure({"signature_none": signature([])}, {"signature_none": LASSO})
    assert table.empty and "no feature selected" in words(alone)


def selected(columns, coefficients):
    removed = [np.nan if b else "lasso" for b in coefficients]
    return pd.DataFrame(
        {
            "model": "signature_itr",
            "column": columns,
            "step_removed": removed,
            "statistic": np.nan,
            "coefficient": coefficients,
        }
    )


def test_correlations_are_spearmans_of_kept_features_with_similar_ones_together():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 2))
    # Two pairs of monotone, not linear, relatives; and one feature that was not kept.
    names = [f"us_itr_original_glcm_{name}" for name in ("a", "b", "upA", "downB", "dropped")]
    values = np.column_stack([x, np.exp(2 * x[:, 0]), -(x[:, 1] ** 3), rng.normal(size=60)])
    predictors = pd.DataFrame(values, columns=names)
    predictors.loc[:4, names[0]] = np.nan
    figure, table = correlation_figure(selected(names, [1.0, 2.0, 3.0, -4.0, 0.0]), predictors)
    assert names[4] not in set(table["feature_a"]) and len(table) == 16
    rho = table.set_index(["feature_a", "feature_b"])["rho"]
    assert rho[(names[0], names[2])] == pytest.approx(1.0)
    assert rho[(names[1], names[3])] == pytest.approx(-1.0)
    known = predictors.dropna()
    assert rho[(names[0], names[1])] == pytest.approx(spearmanr(known[names[0]], known[names[1]])[0])
    place = table.set_index("feature_a")["number_a"].to_dict()
    assert abs(place[names[0]] - place[names[2]]) == 1 and abs(place[names[1]] - place[names[3]]) == 1
    drawn = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(drawn, table["rho"].to_numpy().reshape(4, 4))


def test_many_features_are_cut_to_those_of_largest_coefficient():
    rng = np.random.default_rng(2)
    names = [f"us_itr_original_glcm_f{i:02d}" for i in range(50)]
    predictors = pd.DataFrame(rng.normal(size=(30, 50)), columns=names)
    figure, table = correlation_figure(selected(names, np.arange(1.0, 51.0)), predictors)
    assert set(table["feature_a"]) == set(names[50 - MOST_CORRELATED :])
    assert any("the 40 of largest coefficient of 50 kept" in text for text in words(figure))
    figure, table = correlation_figure(selected(names[:1], [1.0]), predictors)
    assert table.empty and "fewer than two features were kept" in words(figure)


def trained(scores):
    ids = [f"p{i}" for i in range(len(scores))]
    return pd.DataFrame({"patient_id": ids, "probability_out_of_fold": expit(np.array(scores))})


def test_patients_rise_by_out_of_fold_score_from_the_cut_off_of_the_first_fitted_model():
    training = {
        "nomogram": pd.DataFrame(columns=["patient_id", "probability_out_of_fold"]),
        "radiomics": trained([2.0, -3.0, 0.5, np.inf]),
    }
    frozen = {"nomogram": {"threshold": None}, "radiomics": {"threshold": {"value": expit(1.0)}}}
    outcome = pd.Series([1.0, 0.0, 0.0, 1.0], index=["p0", "p1", "p2", "p3"])
    figure, table = waterfall_figure(training, frozen, outcome, "malignancy")
    assert list(table["patient_id"]) == ["p1", "p2", "p0", "p3"] and set(table["model"]) == {"radiomics"}
    np.testing.assert_allclose(table["score"], [-3.0, 0.5, 2.0, np.inf])
    np.testing.assert_allclose(table["cut_off"], 1.0)
    bars = figure.axes[0].patches
    np.testing.assert_allclose([bar.get_height() for bar in bars][:3], [-4.0, -0.5, 1.0])
    colours = [plt.matplotlib.colors.to_hex(bar.get_facecolor()).upper() for bar in bars]
    assert colours == [LOWERS, LOWERS, RAISES, RAISES]
    assert "1 with a probability of 0 or 1 reach the edge" in words(figure)
    assert "malignancy: yes (n = 2)" in words(figure)
    figure, table = waterfall_figure({"nomogram": training["nomogram"]}, frozen, outcome, "malignancy")
    assert table.empty and "no model was fitted" in words(figure)


# ---- odds ratios ----


def odds_rows():
    rows = [
        ("clinical", "univariable", "age_years", 84, 29, 9.0, 8.0, 10.0, 0.5, "wald", 1.0, ""),
        ("nomogram", "multivariable", "radscore_itr", 84, 29, 2.0, 1.1, 4.0, 0.04, "wald", 1.0, ""),
        ("nomogram", "multivariable", "age_years", 84, 29, 1.5, 1.0, 2.0, 0.05, "wald", 1.0, ""),
        ("nomogram", "multivariable", "radscore_itr", 84, 29, 2.0, 1.2, 5.0, 0.03, PROFILE, 1.0, ""),
        ("nomogram", "multivariable", "age_years", 84, 29, 1.5, 1.1, np.inf, 0.0004, PROFILE, 1.0, ""),
        ("radiomics", "multivariable", "radscore_itr", 84, 29, 3000.0, 0.001, np.nan, 0.6, "wald", 1.0, ""),
        ("signature_itr", "multivariable", "x", 84, 29, 1.0, 0.5, 2.0, 0.6, "wald", 1.0, ""),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=ODDS_RATIO_COLUMNS)


def test_odds_ratios_have_profile_intervals_and_arrows_where_they_go_on():
    figure, table = odds_ratio_figure(odds_rows(), ["nomogram", "clinical", "radiomics"])
    assert list(table["term"]) == ["radscore_itr", "age_years", "radscore_itr"]
    assert list(table["lower"]) == [1.2, 1.1, 0.001]
    axis, text = figure.axes[0], words(figure)
    assert axis.get_xscale() == "log"
    assert "2.00 (1.20 to 5.00)" in text and "1.50 (1.10 to none)" in text
    assert "> 1000 (< 0.01 to none)" in text and "< 0.001" in text
    assert "Clinical: no multivariable odds ratios" in text
    low, high = axis.get_xlim()
    # The widest interval does not widen the axis beyond 20 times either way, or the narrow ones were hidden.
    assert low == pytest.approx(1 / 20 / 1.15) and high == pytest.approx(100 * 1.15)
    lines = [line for line in axis.lines if line.get_linestyle() == "-" and len(line.get_xdata()) == 2]
    np.testing.assert_allclose(lines[0].get_xdata(), [1.2, 5.0])
    np.testing.assert_allclose(lines[1].get_xdata(), [1.1, high])
    np.testing.assert_allclose(lines[2].get_xdata(), [low, high])
    arrows = [line.get_marker() for line in axis.lines if line.get_marker() in ("<", ">")]
    assert arrows == [">", "<", ">"]
    squares = [line.get_xdata()[0] for line in axis.lines if line.get_marker() == "s"]
    assert squares == [2.0, 1.5]


def test_no_odds_ratios_at_all_are_said_to_be_none():
    figure, table = odds_ratio_figure(pd.DataFrame(columns=ODDS_RATIO_COLUMNS), ["clinical"])
    assert table.empty and "Clinical: no multivariable odds ratios" in words(figure)


# ---- habitats ----


def test_the_number_of_habitats_that_was_chosen_is_marked():
    validity = pd.DataFrame(
        {"k": [2, 3, 4], "calinski_harabasz": [10.0, 30.0, 20.0], "silhouette": [0.2, np.nan, 0.1],
         "inertia": np.nan, "bic": [5.0, 4.0, 6.0], "converged": 1}
    )  # fmt: skip
    figure, table = cluster_validity_figure(validity, 3)
    assert len(figure.axes) == 3 and list(table["chosen"]) == [0, 1, 0]
    curve, line, mark = figure.axes[0].lines
    assert list(curve.get_ydata()) == [10.0, 30.0, 20.0]
    assert set(line.get_xdata()) == {3} and list(mark.get_ydata()) == [30.0]


def test_fractions_are_by_outcome_in_training_alone():
    rois = pd.DataFrame(
        [
            ("a", "baseline", "dce", "h1", "habitat", 0.25),
            ("a", "baseline", "adc", "h1", "habitat", 0.25),
            ("a", "later", "dce", "h1", "habitat", 0.75),
            ("b", "baseline", "dce", "h1", "habitat", 0.1),
            ("c", "baseline", "dce", "h1", "habitat", 0.9),
            ("d", "baseline", "dce", "h1", "habitat", np.nan),
            ("a", "baseline", "dce", "itr", "tumour", np.nan),
        ],
        columns=["patient_id", "timepoint", "image", "roi", "kind", "fraction"],
    )
    split = pd.DataFrame(
        {"patient_id": ["a", "b", "c", "d"], "cohort": ["train", "train", "external_x", "train"]}
    )
    # An outcome that is given for a test patient is not used.
    outcome = pd.Series({"a": 1.0, "b": 0.0, "c": 1.0})
    figure, table = fraction_figure(rois, split, outcome, "malignancy")
    assert [list(row) for row in table.to_numpy()] == [
        ["train", "event", "a", "h1", 0.5],
        ["train", "no event", "b", "h1", 0.1],
        ["external_x", "", "c", "h1", 0.9],
    ]
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [
        "Training, malignancy: yes (n = 1)",
        "Training, malignancy: no (n = 1)",
        "External: x (n = 1)",
    ]
    dots = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() == "."]
    assert dots == [0.5, 0.1, 0.9]
    figure, table = fraction_figure(rois.iloc[5:], split, outcome, "malignancy")
    assert table.empty and "no lesion was divided into habitats" in words(figure)


def test_a_map_paints_each_habitat_in_its_own_colour():
    grey, first, second = np.zeros((8, 8)), np.zeros((8, 8), bool), np.zeros((8, 8), bool)
    grey[2:4], first[2:4, 2:6], second[4:6, 2:6] = 1.0, True, True
    # The first patient has no habitat 2; 3 keeps its colour.
    images = [Shown("one", grey, {"h1": first, "h3": second}), Shown("two", grey, {"h2": first})]
    figure, table = habitat_map_figure(images, 3)
    assert list(table.itertuples(index=False, name=None)) == [
        ("one", "h1", 8), ("one", "h3", 8), ("two", "h2", 8),
    ]  # fmt: skip
    painted = figure.axes[2].images[1].get_array()
    assert (painted[..., 3] > 0).sum() == 16
    legend = {h.get_label(): h.get_facecolor()[:3] for h in figure.legends[0].legend_handles}
    np.testing.assert_allclose(painted[2, 2, :3], legend["h1"])
    np.testing.assert_allclose(painted[4, 2, :3], legend["h3"])
    figure, table = habitat_map_figure([], 3)
    assert table.empty and "no training patient's lesion was divided" in words(figure)


# ---- stability ----


def test_stable_features_are_counted_by_class_and_source():
    columns = [f"us_itr_original_{kind}" for kind in ("glcm_a", "glcm_b", "shape_c")]
    catalogue = pd.DataFrame({"column": columns, "class": ["glcm", "glcm", "shape"]})
    stability = pd.DataFrame(
        {
            "column": columns * 2,
            "icc": [0.9, 0.8, 0.95, 0.5, np.nan, 0.99],
            "icc_lower": [0.75, 0.7, 0.9, 0.2, np.nan, 0.97],
            "n": 12,
            "source": ["raters"] * 3 + ["perturbation"] * 3,
        }
    )
    figure, table = stability_figure(stability, catalogue, 0.75)
    assert list(table["stable"]) == [1, 0, 1, 0, 0, 1]
    first, second = (words(axis) for axis in figure.axes)
    assert "1 of 2 stable" in first and "1 of 1 stable" in first and "Raters (12 patients)" in first
    assert "0 of 2 stable" in second
    dots = figure.axes[0].collections[0]
    np.testing.assert_allclose(dots.get_offsets()[:, 0], [0.75, 0.7])
    colours = [plt.matplotlib.colors.to_hex(colour).upper() for colour in dots.get_facecolors()]
    assert colours == [PALETTE[0], PALETTE[1]]
    figure, table = stability_figure(stability.iloc[:0], catalogue, 0.75)
    assert table.empty and "no feature was judged" in words(figure)
