"""Model Cards: what a card says is what stands in the model and in the tables."""

import numpy as np
import pandas as pd
import pytest

from annulus.cohort.dictionary import columns_of
from annulus.modelling.bundle import Origin, Task, licences_of, seal
from annulus.modelling.front_end import front_end
from annulus.modelling.frozen import FrozenModel, Linear
from annulus.modelling.threshold import CutOff
from annulus.reporting.card import Described, card

IMAGES = {"rc": {"modality": "CEM", "series": "rc", "view": "CC", "settings": "cem", "lesion": "tumour"}}
SETTINGS = {
    "imageType": {"Original": None, "Wavelet": None},
    "featureClass": {"firstorder": None},
    "setting": {"binWidth": 25, "normalizeScale": 100, "resampledPixelSpacing": [0.8, 0.8]},
    "normalise_within": "tissue",
}
FRONT_END = front_end({"images": IMAGES, "seed": 1}, {"cem": SETTINGS})
COHORT = {
    "name": "simulated",
    "licence": "none needed",
    "citation": "simulated by annulus",
    "redistribution": 0,
}
STUDY = Described(
    title="Rings in CEM",
    source="A paper",
    eligibility=[
        {"column": "her2_ihc", "values": ["2+"], "reason": "not 2+"},
        {"column": "age_years", "minimum": 18, "below": 80, "reason": "too young or old"},
    ],
    use="treat while waiting",
    images=IMAGES,
    cohorts=["train", "internal_test"],
)
OUTCOME = {"outcome": "her2_ish", "positive": ["positive"], "negative": ["negative", 0], "label": "amplified"}
FEATURE = "rc_itr_original_firstorder_Mean"
MODEL = FrozenModel(
    name="nomogram",
    kind="combined",
    linear=Linear(
        -0.5, (FEATURE, "age_years", "menopausal_status[post]"), (1.0, 0.02, 0.3),
        (0.0, 50.0, 0.0), (0.0,) * 3, (1.0,) * 3,
    ),
    clinical=("age_years", "menopausal_status"),
    cut_off=CutOff(0.4125, "Youden's J on out-of-fold predictions", 0.3, 0.5),
    training={"n": 4, "events": 1, "ranges": {}},
)  # fmt: skip
PREDICTORS = pd.DataFrame(
    {
        FEATURE: [1.0, 2.0, 3.0, np.nan],
        "age_years": ["40", "50", "60", "70"],
        "menopausal_status": ["pre", "post", "post", None],
    },
    index=list("abcd"),
)
CATALOGUE = pd.DataFrame(
    [
        {
            "column": FEATURE, "image": "rc", "roi": "itr", "time": "", "filter": "original",
            "class": "firstorder", "feature": "Mean", "ibsi_code": "Q4LE", "settings_sha256": "s",
            "mode": "shared",
        }
    ]
)  # fmt: skip
WARNINGS = pd.DataFrame(
    [
        {"guard": "few_events", "model": np.nan, "cohort": "internal_test", "message": "Only 9 events."},
        {"guard": "separation", "model": "nomogram", "cohort": "train", "message": "Its AUC is 1."},
        {"guard": "separation", "model": "volume", "cohort": "train", "message": "Of another model."},
    ]
)


def performance():
    rows = [
        ("nomogram", "train", 4, 1, "auc", 0.8, 0.7, 0.9, ""),
        ("nomogram", "train", 4, 1, "auc_apparent", 0.95, np.nan, np.nan, ""),
        ("nomogram", "train", 4, 1, "auc_optimism_corrected", 0.77, np.nan, np.nan, ""),
        ("nomogram", "train", 4, 1, "calibration_slope", 0.9, 0.5, 1.3, ""),
        ("nomogram", "internal_test", 22, 9, "auc", 0.71, 0.52, 0.88, ""),
        ("nomogram", "internal_test", 22, 9, "sensitivity", 0.6667, 0.3, 0.93, "6/9"),
        ("nomogram", "internal_test", 22, 9, "brier", 0.21, 0.15, 0.27, ""),
        ("volume", "internal_test", 22, 9, "auc", 0.123, 0.1, 0.2, ""),
        ("clinical", "train", 4, 1, "auc", np.nan, np.nan, np.nan, "no model: no variable survived"),
    ]
    columns = ["model", "cohort", "n", "events", "metric", "estimate", "lower", "upper", "note"]
    return pd.DataFrame(rows, columns=columns)


def sealed(model=MODEL, synthetic=True, cohort=COHORT):
    origin = Origin("cem", FRONT_END["sha256"], licences_of(cohort), {"training_split": "e" * 64})
    content = model.to_json() | {"synthetic": synthetic}
    return seal(content, Task("her2", OUTCOME), origin, PREDICTORS, columns_of("participants"), CATALOGUE)


def written(model=MODEL, **changes):
    table = changes.pop("performance", performance())
    return card(sealed(model, **changes), FRONT_END, table, WARNINGS, STUDY)


def section(text, title):
    return text.split(f"## {title}\n")[1].split("\n## ")[0]


def test_a_card_has_every_part_of_mitchells():
    titles = [line[3:] for line in written().splitlines() if line.startswith("## ")]
    assert titles == [
        "Intended use", "Population", "Endpoint", "Predictors", "Images and their settings", "Training",
        "Performance", "Calibration", "Cut-off", "Limits", "Out of range", "How to score patients",
        "Licences", "Versions and hashes",
    ]  # fmt: skip


def test_synthetic_stands_at_the_top_and_only_where_it_is():
    assert written().splitlines()[2].startswith("**SYNTHETIC")
    assert "SYNTHETIC" not in written(synthetic=False)


def test_use_population_and_endpoint_are_the_studys():
    text = written()
    assert "Research only. This is not a medical device" in section(text, "Intended use")
    assert "treat while waiting" in section(text, "Intended use")
    population = section(text, "Population")
    assert "- Eligible: `her2_ihc` is 2+ (excluded: not 2+)" in population
    assert "- Eligible: `age_years` is 18 or more and is below 80 (excluded: too young or old)" in population
    assert "Event: `positive`. No event: `negative`, `0`." in section(text, "Endpoint")


def test_predictors_have_units_and_what_training_was_like():
    rows = section(written(), "Predictors")
    # 40, 50, 60, 70: mean 55, standard deviation 12.9.
    assert "| `age_years` | Age at imaging | years | 55 (12.9) | 0 |" in rows
    assert "| `menopausal_status` | Menopausal status | – | pre: 1, peri: 0, post: 2 | 1 |" in rows
    wanted = f"| `{FEATURE}` | firstorder Mean of itr in rc (original, IBSI Q4LE) | – | 2 (1) | 1 |"
    assert wanted in rows


def test_images_are_named_with_their_settings_where_the_model_uses_one():
    text = section(written(), "Images and their settings")
    assert "`rc`: CEM, series rc, CC; bin width 25; grey values normalised within: tissue" in text
    assert "resampled to: 0.8 x 0.8 mm; filters: Original, Wavelet" in text
    assert FRONT_END["sha256"] in text
    age = FrozenModel(
        "clinical", "clinical", Linear(0.0, ("age_years",), (0.1,), (50.0,), (0.0,), (1.0,)),
        clinical=("age_years",), training=MODEL.training,
    )  # fmt: skip
    assert "The model uses no image." in section(written(age), "Images and their settings")


def test_performance_is_that_of_the_tables_with_intervals():
    text = section(written(), "Performance")
    assert "| Training, out of fold | 4 | 1 | 0.800 (0.700–0.900) | – |" in text
    assert "| Internal test | 22 | 9 | 0.710 (0.520–0.880) | 0.667 (0.300–0.930) |" in text
    assert "corrected for optimism by the bootstrap: AUC 0.770." in text
    assert "which promises too much: 0.950." in text
    assert "0.123" not in text
    calibration = section(written(), "Calibration")
    assert "| Training, out of fold | 4 | 1 | 0.900 (0.500–1.300) |" in calibration
    assert "0.210 (0.150–0.270)" in calibration


def test_a_model_that_nobody_else_was_looked_at_with_says_so():
    table = performance()
    text = written(performance=table[table["cohort"] == "train"])
    assert "what the model is worth elsewhere is not known" in section(text, "Performance")
    assert "not known" not in section(written(), "Performance")


def test_cut_off_limits_range_and_licences():
    text = written()
    cut_off = section(text, "Cut-off")
    assert "0.4125 (95 % interval 0.300 to 0.500)" in cut_off and "Youden's J on out-of-fold" in cut_off
    limits = section(text, "Limits")
    assert "- Only 9 events." in limits and "- Its AUC is 1." in limits and "another model" not in limits
    # -0.5 + feature + 0.02 age + 0.3 post; the fourth has no feature (0) and no status (0).
    scores = [-0.5 + 1 + 0.8, -0.5 + 2 + 1.0 + 0.3, -0.5 + 3 + 1.2 + 0.3, -0.5 + 1.4]
    assert f"{min(scores):.3f} to {max(scores):.3f}" in section(text, "Out of range")
    assert "annulus score models/her2/nomogram/model.json" in section(text, "How to score patients")
    licences = section(text, "Licences")
    assert (
        "`simulated`, which may not be handed on: none needed" in licences
        and "simulated by annulus" in licences
    )
    assert "BSD-3-Clause" in licences


def test_hashes_and_versions_are_the_bundles():
    content, text = sealed(), section(written(), "Versions and hashes")
    assert f"- Model: `{content['sha256']}`" in text and "- Training split: `" + "e" * 64 in text
    assert f"numpy {np.__version__}" in text


def test_a_licence_that_nobody_states_is_said_to_be_so():
    text = section(written(cohort={"name": "mine", "redistribution": True}), "Licences")
    assert "`mine`, which may be handed on: not stated" in text


@pytest.mark.parametrize("title", ["Predictors", "Performance", "Out of range", "How to score patients"])
def test_a_model_that_does_not_exist_says_so_everywhere(title):
    absent = FrozenModel("clinical", "clinical", None, "no variable survived")
    text = section(written(absent), title)
    assert "no model" in text
