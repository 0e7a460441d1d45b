"""The report and figures of an evaluation: every guard and table is seen, whatever the cohorts are like."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from scipy.special import expit

from annulus.config import problems, read_yaml
from annulus.evaluation import comparing, guards, performance, sample_size, subgroups
from annulus.evaluation import warnings as warning_sentences
from annulus.evaluation.cascade import cascade_table
from annulus.evaluation.centres import centre_table
from annulus.evaluation.performance import Plan
from annulus.evaluation.published import Tables, against_published
from annulus.evaluation.supplement import supplement
from annulus.evaluation.table_one import table_one
from annulus.figures import curves
from annulus.figures.forest import forest_figure
from annulus.figures.style import save
from annulus.modelling.odds_ratios import ODDS_RATIO_COLUMNS
from annulus.modelling.optimism import OPTIMISM_COLUMNS
from annulus.modelling.threshold import CutOff
from annulus.modelling.volume import VOLUME_COLUMNS
from annulus.reporting.report import Study, render

TASK = "her2_fish"
MODELS = ["clinical", "nomogram"]
GRID = np.array([0.1, 0.3, 0.6, 0.95])


def patients(cohort, n, seed, y=None):
    rng = np.random.default_rng(seed)
    linear = rng.normal(size=(2, n))
    linear[1] += linear[0]
    y = rng.random(n) < expit(linear[1]) if y is None else np.full(n, y)
    ids = [f"{cohort}-{i:03d}" for i in range(n)]
    parts = [
        pd.DataFrame(
            {
                "patient_id": ids,
                "cohort": cohort,
                "model": model,
                "y": y.astype(float),
                "linear_predictor": x,
                "probability": 0.9 * expit(x),
                "probability_out_of_fold": 0.9 * expit(x + rng.normal(size=n))
                if cohort == "train"
                else np.nan,
            }
        )
        for model, x in zip(MODELS, linear, strict=True)
    ]
    return pd.concat(parts)


@pytest.fixture(scope="module")
def design():
    content = read_yaml(ROOT / "config" / "studies" / "cem_her2.yaml")
    plan = content["tasks"][TASK]
    plan["comparisons"] = [["nomogram", "clinical"]]
    plan["subgroups"] = [{"column": "tumor_diameter_mm", "cut": 20}, {"column": "menopausal_status"}]
    plan["decision"] |= {"at": [0.3], "prevalence": 0.1}
    assert problems(content, read_yaml(ROOT / "workflow" / "schemas" / "study.schema.yaml")) == []
    return content


def first_table(people, predictions):
    """Table 1 of the made-up patients, of whom two have no menopausal status."""
    known = predictions.drop_duplicates("patient_id")
    training = known[known["cohort"] == "train"].set_index("patient_id")["y"]
    described = people.assign(menopausal_status=people["menopausal_status"].mask(people.index < 2))
    names = ["tumor_diameter_mm", "menopausal_status"]
    return table_one(described, known, list(known["cohort"].unique()), training, names, 1, synthetic=True)


@pytest.fixture(scope="module")
def tables(design):
    """All tables of a task with a large, a small and a one-outcome cohort."""
    plan = design["tasks"][TASK]
    predictions = pd.concat(
        [
            patients("train", 150, 1),
            patients("internal_test", 220, 2),
            patients("prospective_test", 9, 3, y=False),
        ],
        ignore_index=True,
    )
    people = predictions[["patient_id"]].drop_duplicates().reset_index(drop=True)
    people["tumor_diameter_mm"] = np.linspace(5, 40, len(people))
    people["menopausal_status"] = np.array(["pre", "peri", "post"])[people.index % 3]
    cuts, at = dict.fromkeys(MODELS, 0.4), plan["decision"]["at"]
    absent = {"signature_ptr5": "no feature <survived>"}
    optimism = pd.DataFrame(
        [
            (model, measure, 0.9, 0.0567, 0.8433, 200, 1)
            for model in MODELS
            for measure in ("auc", "brier", "calibration_slope")
        ],
        columns=OPTIMISM_COLUMNS,
    )
    selection = pd.DataFrame(
        {
            "selection_frequency": [np.nan, np.nan, 0.25],
            "model": ["clinical", "nomogram", "signature_itr"],
            "column": ["age_years", "radscore_itr", "f1"],
            "step_removed": [np.nan, np.nan, "variance"],
            "coefficient": [0.1, 0.2, np.nan],
        }
    )
    found = {
        "predictions": predictions,
        "performance": performance.with_optimism(
            performance.performance(
                predictions,
                dict.fromkeys(MODELS, CutOff(0.4, "a rule", 0.3, 0.5)),
                absent,
                {},
                Plan(100, 1, tuple(at)),
                synthetic=True,
            ),
            optimism,
        ),
        "comparisons": comparing.comparisons(predictions, MODELS, plan["comparisons"], synthetic=True),
        "supplement": supplement(predictions, plan["comparisons"], cuts, at, 100, 1, synthetic=True),
        "subgroups": subgroups.subgroup_table(predictions, people, plan["subgroups"], MODELS, synthetic=True),
        "sample_size": sample_size.sample_size_table(predictions, selection, synthetic=True),
        "odds_ratios": pd.DataFrame(
            [
                ["nomogram", "multivariable", "age_years", 150, 70, 1.5, 1.1, 2.04, 0.01, "wald", 1.23, ""],
                [
                    "nomogram",
                    "multivariable",
                    "age_years",
                    150,
                    70,
                    1.5,
                    1.08,
                    2.1,
                    0.012,
                    "profile likelihood",
                    1.23,
                    "",
                ],
            ],
            columns=[*ODDS_RATIO_COLUMNS],
        ),
        "volume": pd.DataFrame(
            [
                ("signature_itr", "radscore_itr", 0.8, 0.01, 150, 0.0421),
                ("signature_itr", "us_itr_f1", 0.95, 0.01, 150, np.nan),
                ("signature_itr", "us_itr_f2", 0.1, 0.3, 150, np.nan),
            ],
            columns=VOLUME_COLUMNS,
        ),
    }
    evaluated = guards.Evaluated(
        **found, shown=MODELS, order=["nomogram"], terms={m: ["age_years"] for m in MODELS},
        decision="biopsy", thresholds=GRID, at=at, splits=20, cut_off_chosen=True, transductive=True,
    )  # fmt: skip
    return {
        **found,
        "warnings": guards.warnings_table(evaluated, synthetic=True),
        "selection": selection,
        "optimism": optimism,
        "repeated_splits": pd.DataFrame(
            {
                "model": np.repeat(MODELS, 41),
                "split": np.tile(np.arange(41), 2),
                "auc": np.tile(np.linspace(0.6, 0.8, 41), 2),
            }
        ),
        "centres": centre_table(predictions, people.set_index("patient_id")["menopausal_status"], True),
        "leak_screen": pd.DataFrame(columns=["rivals"]),
        "table_one": first_table(people, predictions),
        "duplicates": pd.DataFrame(columns=["kind"]),
    }


CASCADE = {
    "levels": [{"task": TASK, "model": "nomogram"}, {"task": TASK, "model": "clinical"}],
    "classes": ["N0", "few", "many"],
}


def sorted_patients():
    rng = np.random.default_rng(6)
    risks = rng.dirichlet([1.0, 1.0, 1.0], 40)
    return pd.DataFrame(risks, columns=["p_0", "p_1", "p_2"]).assign(
        cohort="internal_test", observed=np.arange(40) % 3, predicted=risks.argmax(axis=1)
    )


def page(design, tables, synthetic=True, figures=None, pathways=None, **more):
    empty = pd.DataFrame(columns=["roi", "kind", "code", "action", "patient_id", "message", "dice"])
    shared = dict.fromkeys(
        ("problems", "flow", "findings", "agreement", "rois", "failures", "published"), empty
    )
    shared["assumptions"] = pd.DataFrame(columns=["what", "key", "value"])
    shared |= more
    shared["masks"] = pd.DataFrame({"decision": ["pass"]})
    shared["catalogue"] = pd.DataFrame({"constant": [0], "mode": ["shared"]})
    shared["centre_prediction"] = pd.DataFrame(
        [("itr", "post", 40, 8, 0.913, 0.81, 0.97, np.nan)],
        columns=["roi", "centre", "n", "features", "auc", "lower", "upper", "note"],
    )
    cascades = {"burden": cascade_table(sorted_patients(), ["N0", "few", "many"], [], 1, True)}
    study = Study(
        design={**design, "centre": "menopausal_status", "cascades": {"burden": CASCADE}},
        cohort={"name": "c", "licence": ""},
        synthetic=synthetic,
        tables=shared,
        task_tables={TASK: tables},
        cascades=cascades,
        pathways=pathways or {},
        figures={TASK: [], "burden": [], **(figures or {})},
        split_sha256="0123abcd",
        gallery="",
        shown={TASK: MODELS},
    )
    return render(study)


def text_of(html):
    """Return the words of a page, without its marks."""
    words = re.sub(r"<[^>]+>", " ", html).replace("&#39;", "'").replace("&#34;", '"')
    return " ".join(words.replace("&lt;", "<").replace("&gt;", ">").split())


def test_every_warning_is_in_the_report_and_comes_first(design, tables):
    html = page(design, tables)
    text = text_of(html)
    assert len(tables["warnings"]) > 10
    for message in tables["warnings"]["message"]:
        assert " ".join(message.split()) in text, message
    assert html.index("What a reader must know") < html.index("Discrimination and classification")
    before, after = html.split('-supplement">Supplement', 1)
    assert "Hosmer-Lemeshow p =" in after and "Hosmer-Lemeshow p =" not in before


GUARDS = [name for name, f in vars(warning_sentences).items() if getattr(f, "__module__", "") ==
          warning_sentences.__name__ and not name.startswith("_")]  # fmt: skip


@pytest.mark.parametrize("guard", GUARDS)
def test_a_guard_is_seen_in_the_report(design, tables, guard):
    row = pd.DataFrame({"guard": [guard], "message": [f"Mind the {guard}."], "synthetic": 1})
    assert f"Mind the {guard}." in page(design, {**tables, "warnings": row})


def test_the_numbers_of_the_tables_are_in_the_report(design, tables):
    text = text_of(page(design, tables))
    found = tables["performance"].set_index(["model", "cohort", "metric"])["estimate"]
    for metric in ("auc", "ppv", "npv_at_0.30", "calibration_slope", "observed_expected", "ici", "brier"):
        assert f"{found['nomogram', 'internal_test', metric]:.3f} (" in text, metric
    declared = tables["comparisons"].query("declared == 1 and cohort == 'internal_test'").iloc[0]
    assert "declared" in text and f"{declared['difference']:.3f} (" in text
    sizes = tables["sample_size"].query("purpose == 'development' and model == 'nomogram'").iloc[0]
    assert f" {sizes['patients_needed']} " in text
    idi = tables["supplement"].query("measure == 'idi' and cohort == 'internal_test'").iloc[0]
    shown = f"{idi['estimate']:.3f} (" if pd.notna(idi["estimate"]) else idi["note"]
    assert shown in text
    for row in tables["subgroups"].query("model == 'nomogram' and cohort == 'internal_test'").itertuples():
        assert row.level in text and f"{row.auc:.2f} ({row.lower:.2f}" in text
    assert "no model: no feature <survived>" in text


def test_resampling_size_centres_and_cascades_are_in_the_report(design, tables):
    text = text_of(page(design, tables))
    # Apparent, corrected and the percentiles of 41 evenly spaced AUCs from 0.6 to 0.8.
    assert "0.900" in text and "0.843" in text and "0.700 (0.605–0.795)" in text
    assert "ITR signature 0.80 0.042 2 1: us_itr_f1" in text
    assert "itr post 40 0.91 (0.81–0.97)" in text
    own = tables["centres"].query("cohort == 'train' and centre == 'pre' and model == 'nomogram'").iloc[0]
    assert f"Nomogram {own['auc']:.2f} ({own['lower']:.2f}" in text
    assert "SHA-256 0123abcd" in text
    assert "many" in text and "AUC against the rest" in text and "Weighted kappa" in text


def test_a_cohort_of_one_outcome_keeps_what_can_be_said_of_it(design, tables):
    html = page(design, tables)
    found = tables["performance"].query("cohort == 'prospective_test' and metric == 'specificity'")
    assert text_of(html).count(f"{found['estimate'].iloc[0]:.3f} (") >= 1
    assert "nan" not in text_of(html).lower().split()


def test_a_study_without_declarations_has_no_empty_tables(design, tables):
    plain = {**tables, **{name: tables[name].iloc[:0] for name in ("comparisons", "subgroups", "warnings")}}
    plain["supplement"] = tables["supplement"].query("measure == 'hosmer_lemeshow'")
    html = page(design, plain)
    for heading in ("Differences in AUC", "<h3>Subgroups", "must know", "Net reclassification and IDI"):
        assert heading not in html


# ---- who the patients are, and what was published ----


def test_table_one_is_in_the_report_near_the_flow_of_patients(design, tables):
    html = page(design, tables)
    text = text_of(html)
    assert (
        html.index('id="patients"') < html.index("Training patients by outcome") < html.index('id="images"')
    )
    events = int(patients("train", 150, 1)["y"].sum() / 2)
    assert f"HER2 amplified (FISH positive) (n = {events})" in text
    assert f"Not: HER2 amplified (FISH positive) (n = {150 - events})" in text
    assert "Training (n = 150) Internal test (n = 220) Prospective test (n = 9)" in text
    for row in tables["table_one"].itertuples():
        for cell in (row.no_event, row.event, row.train, row.internal_test, row.prospective_test):
            assert pd.isna(cell) or str(cell) in text, row
    assert text.count("missing") >= 2 and "no variable was chosen by it" in text
    kruskal = tables["table_one"].query("comparison == 'cohorts' and variable == 'tumor_diameter_mm'").iloc[0]
    assert f"{kruskal['test']} ({kruskal['note'].partition('; p ')[0]}) {kruskal['smd']:.2f}" in text


PUBLISHED = [
    {"task": TASK, "model": "nomogram", "cohort": "internal_test", "metric": "auc", "published": 0.8},
    {"task": TASK, "model": "nomogram", "cohort": "train", "metric": "auc", "published": 0.99},
    {
        "task": TASK, "model": "nomogram", "cohort": "train", "metric": "odds_ratio", "published": 1.6,
        "published_lower": 1.2, "published_upper": 2.1, "term": "age_years",
    },
    {"task": TASK, "model": "signature_ptr5", "cohort": "train", "metric": "auc", "published": 0.7},
    {
        "task": TASK, "model": "nomogram", "cohort": "internal_test", "metric": "auc", "published": 0.9,
        "subgroup": {"column": "menopausal_status", "level": "pre"},
    },
    {
        "task": "burden", "model": "cascade", "cohort": "internal_test", "metric": "accuracy",
        "published": 0.95,
    },
]  # fmt: skip
ASSUMPTIONS = pd.DataFrame(
    [
        ("The paper gives no <seed>.", "seed", "20260401"),
        ("Nor a bin width.", "imaging.a.setting.binWidth", "25"),
    ],
    columns=["what", "key", "value"],
)


def against(tables):
    burden = cascade_table(sorted_patients(), ["N0", "few", "many"], [], 1, True)
    found = Tables(
        {TASK: tables["performance"]},
        {TASK: tables["odds_ratios"]},
        {TASK: tables["subgroups"]},
        {"burden": burden},
    )
    return against_published([{**n, "source": "Front Oncol"} for n in PUBLISHED], found, synthetic=True)


def test_published_numbers_stand_beside_ours_with_what_agreement_means(design, tables):
    published = against(tables)
    html = page(design, tables, published=published, assumptions=ASSUMPTIONS)
    text = text_of(html)
    own = published.iloc[0]
    assert f"AUC 0.8 {own['here']:.3f} ({own['lower']:.3f}–{own['upper']:.3f}) 220" in text
    assert "odds ratio of age_years 1.6 (1.2–2.1) 1.500 (1.100–2.040) 150 yes" in text
    assert "AUC 0.7 – – nothing here to compare Front Oncol no model: no feature <survived>" in text
    assert "AUC in Menopausal status: pre" in text and "All levels Internal test accuracy 0.95" in text
    assert "out of fold here; a published value" in text
    simulated = "simulated, with effect sizes aimed at the published numbers"
    assert simulated in text and "that the pipeline works, not that the finding is true" in text
    of_patients = text_of(page(design, tables, synthetic=False, published=published))
    assert "effect sizes" not in of_patients and "within the 95 % interval of these patients" in of_patients


def test_assumptions_stand_beside_published_numbers_with_their_keys(design, tables):
    text = text_of(page(design, tables, assumptions=ASSUMPTIONS))
    assert "The paper gives no <seed>. 20260401 seed" in text
    assert "Nor a bin width. 25 imaging.a.setting.binWidth" in text
    assert text.index("Published numbers The design names no") < text.index("What the paper does not state")
    assert "What the paper does not state" not in page(design, tables)


def test_a_term_has_one_row_with_both_intervals(design, tables):
    text = text_of(page(design, tables))
    assert "Age at imaging, years 150 70 1.50 (1.10–2.04) 0.010 1.50 (1.08–2.10) 0.012 1.23" in text


# ---- figures ----


def test_figures_of_the_whole_study_stand_before_those_of_tasks(design, tables, tmp_path):
    path = str(tmp_path / "figure.png")
    plt.figure().savefig(path)
    plt.close("all")
    figures = {"study": [("cluster_validity", path)], TASK: [("coefficients", path)]}
    html = page(design, tables, figures=figures)
    first, second = html.index('id="study-cluster_validity"'), html.index(f'id="{TASK}-coefficients"')
    assert first < html.index(f'<h2 id="{TASK}">') < second
    assert "Calinski-Harabasz index was chosen" in html and "figures/study/cluster_validity.csv" in html


def words(figure):
    return " ".join(text.get_text() for text in figure.findobj(plt.Text))


def test_calibration_without_enough_patients_says_why_there_is_no_smooth_curve(tables):
    table = performance.calibration_table(tables["predictions"], synthetic=True)
    drawn = {
        cohort: curves.calibration_figure(table, tables["predictions"], tables["performance"], cohort, MODELS)
        for cohort in ("train", "internal_test", "prospective_test")
    }
    assert "no smooth curve" not in words(drawn["internal_test"][0])
    assert "ICI" in words(drawn["internal_test"][0])
    assert "loess" in set(drawn["internal_test"][1]["smoother"])
    assert "no smooth curve" in words(drawn["prospective_test"][0])
    assert drawn["prospective_test"][1].empty
    assert "out-of-fold" in words(drawn["train"][0]) and "out-of-fold" not in words(drawn["internal_test"][0])
    plt.close("all")


def test_thresholds_above_every_risk_are_grey_and_a_prevalence_has_a_panel(tables):
    arguments = (tables["predictions"], GRID, 20, 1, True)
    observed = performance.decision_table(*arguments)
    moved = performance.shifted_decision_table(*arguments, 0.1)
    figure, table = curves.decision_figure(
        observed, moved, tables["predictions"], "internal_test", MODELS, "biopsy"
    )
    assert len(figure.axes) == 2 and set(table["prevalence"].dropna()) == {0.1}
    grey = [
        line for line in figure.axes[0].lines if line.get_color() == curves.NOBODY and len(line.get_xdata())
    ]
    assert [list(line.get_xdata()) for line in grey] == [[0.95], [0.95]]
    prevalence = tables["predictions"].query("cohort == 'internal_test'")["y"].mean()
    assert figure.axes[0].get_ylim()[0] == pytest.approx(-0.05 * prevalence)
    # A cohort of one outcome has no curve at another prevalence.
    figure, table = curves.decision_figure(
        observed, moved, tables["predictions"], "prospective_test", MODELS, "biopsy"
    )
    assert len(figure.axes) == 1 and len(table)
    plt.close("all")


def test_roc_of_one_outcome_says_so(tables):
    roc = performance.roc_table(tables["predictions"], synthetic=True)
    figure, table = curves.roc_figure(
        roc, tables["predictions"], tables["performance"], "prospective_test", MODELS
    )
    assert table.empty and "only one outcome" in words(figure)
    plt.close("all")


def test_the_forest_has_one_p_per_variable_and_squares_by_size(tables, tmp_path):
    figure, table = forest_figure(
        tables["subgroups"], tables["performance"], ["missing", "nomogram", "clinical"]
    )
    assert set(table["model"]) == {"nomogram"}
    assert list(table["variable"].drop_duplicates()) == ["all", "tumor_diameter_mm", "menopausal_status"]
    axis = figure.axes[1]
    rows = table[(table["cohort"] == "internal_test") & table["auc"].notna()]
    sizes = [float(path.get_sizes()[0]) for path in axis.collections]
    np.testing.assert_allclose(np.array(sizes) / rows["n"].to_numpy(), 75.0 / 220)
    wanted = rows.groupby("variable")["p_interaction"].first().dropna()
    shown = [text.get_text() for text in axis.texts]
    assert len(wanted) == 2 and sum(f"{p:.3f}" in shown for p in wanted) == 2
    assert "Largest diameter of the tumour, mm" in shown
    save(figure, {kind: str(tmp_path / f"f.{kind}") for kind in ("pdf", "png", "csv")}, table, True)
    assert {path.suffix for path in tmp_path.iterdir()} == {".pdf", ".png", ".csv"}
    figure, table = forest_figure(tables["subgroups"], tables["performance"], ["missing"])
    assert table.empty and "no model" in words(figure)
    plt.close("all")


def test_curves_of_a_cohort_without_known_outcomes_say_so(tables):
    nobody = tables["predictions"].assign(y=np.nan)
    curve = pd.DataFrame(columns=["cohort", "model", "prevalence"])
    figure, _ = curves.decision_figure(curve, curve, nobody, "internal_test", MODELS, "biopsy")
    assert figure.axes[0].texts[0].get_text() == "no patient's outcome is known"
    figure, _ = curves.roc_figure(curve, nobody, tables["performance"], "internal_test", MODELS)
    assert "no patient's outcome is known" in [text.get_text() for text in figure.axes[0].texts]


def test_remarks_of_a_study_of_training_patients_alone_are_in_the_report(design, tables):
    train = tables["performance"].query("cohort == 'train'").copy()
    threshold = (train["metric"] == "threshold") & (train["model"] == "nomogram")
    train.loc[threshold, "note"] += "; without radscore_x, which selected nothing"
    assert "Nomogram: without radscore_x, which selected nothing." in text_of(
        page(design, {**tables, "performance": train})
    )
