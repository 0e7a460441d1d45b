"""SYNTHETIC ultrasound: speckle as physics has it, and the separations that the two studies plan."""

from functools import cache
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from scipy.ndimage import label
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from annulus.clinical.doppler import adler_grade
from annulus.features.extraction import extract_image
from annulus.features.regions import RegionMask
from annulus.features.settings import Settings
from annulus.imaging.reading import Image
from annulus.simulation import ultrasound, us_axilla_post_nst, us_nodal_burden
from annulus.simulation.roster import enrolled
from annulus.simulation.ultrasound import Grid, Outline, Scanner

PATIENTS = 3000
# What the workflow works out from other columns.
DERIVED = {
    "tumor_gt_20mm", "ki67_high", "nodal_burden", "aln_metastasis", "molecular_subtype", "aln_solbiati",
    "her2_category", "er_status", "pr_status", "axilla_us_class",
}  # fmt: skip
GRID = Grid(rows=256, columns=320, spacing_mm=0.1)


@cache
def drawn(
    module: ModuleType, null: bool = False, patients: int = PATIENTS, lossless: bool = False
) -> pd.DataFrame:
    name = module.__name__.rpartition(".")[2]
    with pytest.MonkeyPatch.context() as patch:
        if lossless:
            patch.setattr(module, "EXTRACTION_LOSS", {"level1": 1.0, "level2": 1.0})
        return module.simulate_patients(enrolled(name, {"all": patients}), module.SHARES, null, 3)


@pytest.fixture(params=[True, False], ids=["as published", "as drawn"])
def burden(request) -> tuple[pd.DataFrame, dict[str, float]]:
    """Patients without and with the allowance for extraction, and the factors it puts on separations."""
    factors = {"level1": 1.0, "level2": 1.0} if request.param else us_nodal_burden.EXTRACTION_LOSS
    return drawn(us_nodal_burden, lossless=request.param), factors


@pytest.fixture
def axilla() -> pd.DataFrame:
    table = drawn(us_axilla_post_nst)
    return table[table["outcome_residual"].notna()].astype({"outcome_residual": int})


def auc(table: pd.DataFrame, outcome: str, score: str) -> float:
    return float(roc_auc_score(table[outcome].astype(int), table[score]))


def without_loss(area: float, factor: float) -> float:
    """Return the AUC of a score whose separation is smaller by ``factor``."""
    return float(norm.cdf(norm.ppf(area) / factor))


def test_latents_have_the_published_areas(burden):
    table, factors = burden
    positive = table[table["outcome_level1"] == 1]
    low = positive["ki67_pct"] < us_nodal_burden.KI67_CUT
    level_1 = without_loss(auc(table, "outcome_level1", "latent_level1"), factors["level1"])
    found = [
        auc(part, "outcome_level2", "latent_level2") for part in (positive, positive[low], positive[~low])
    ]
    assert level_1 == pytest.approx(0.79, abs=0.03)
    by_ki67 = [without_loss(area, factors["level2"]) for area in found]
    assert by_ki67 == pytest.approx([0.74, 0.82, 0.68], abs=0.035)
    # Neither score says anything of the other level.
    assert auc(table, "outcome_level1", "latent_level2") == pytest.approx(0.5, abs=0.04)
    assert auc(positive, "outcome_level2", "latent_level1") == pytest.approx(0.5, abs=0.04)


def test_clinical_columns_add_what_was_published():
    table = drawn(us_nodal_burden, lossless=True)
    positive = table[table["outcome_level1"] == 1]
    assert auc(table, "outcome_level1", "aln_bedi_type") == pytest.approx(0.845, abs=0.02)
    # The published combined model of level 1 is of the signature and the class of the node.
    types = np.log(
        np.array(us_nodal_burden.BEDI["low"]) * 0.25 + np.array(us_nodal_burden.BEDI["high"]) * 0.18
    )
    types -= np.log(us_nodal_burden.BEDI["none"])
    pair = np.column_stack([table["latent_level1"], types[table["aln_bedi_type"] - 1]])
    combined = LogisticRegression(C=1e6).fit(pair, table["outcome_level1"]).decision_function(pair)
    assert roc_auc_score(table["outcome_level1"], combined) == pytest.approx(0.90, abs=0.02)
    assert auc(table, "outcome_level1", "bayes_level1") == pytest.approx(0.915, abs=0.03)
    assert auc(positive, "outcome_level2", "bayes_level2") == pytest.approx(0.78, abs=0.03)


def log_odds_fit(y: np.ndarray, score: np.ndarray) -> list[float]:
    fitted = LogisticRegression(C=1e6).fit(score[:, None], y)
    return [float(fitted.intercept_[0]), float(fitted.coef_[0, 0])]


def test_the_best_observer_gives_true_probabilities(burden, axilla):
    table, _ = burden
    positive = table[table["outcome_level1"] == 1]
    for part, outcome, score in (
        (table, "outcome_level1", "bayes_level1"),
        (positive, "outcome_level2", "bayes_level2"),
        (axilla, "outcome_residual", "bayes_residual"),
    ):
        fitted = log_odds_fit(part[outcome].astype(int).to_numpy(), part[score].to_numpy())
        assert fitted == pytest.approx([0.0, 1.0], abs=0.15), score


def test_nodes_are_counted_as_the_burden_says_and_measured_as_their_type(burden):
    table, _ = burden
    counts = table["n_nodes_positive"]
    assert ((counts > 0) == (table["outcome_level1"] == 1)).all()
    assert ((counts >= 3) == (table["outcome_level2"] == 1).fillna(False)).all()
    assert table["outcome_level2"].isna().equals(counts == 0)
    assert (counts <= table["n_nodes_examined"]).all() and (table["n_nodes_examined"] >= 1).all()
    assert (table["aln_long_axis_mm"] >= table["aln_short_axis_mm"]).all()
    assert (table["aln_cortical_thickness_mm"] <= table["aln_short_axis_mm"]).all()
    cortex, hilum = table["aln_cortical_thickness_mm"], table["aln_hilum"]
    types = table["aln_bedi_type"]
    assert ((hilum == "absent") == (types == 6)).all()
    assert ((cortex == 0) == (types == 1)).all()
    assert cortex[types == 2].between(0.1, 3.0).all() and (cortex[types == 3] > 3.0).all()


def test_after_therapy_the_cut_off_has_its_published_sensitivity(axilla):
    outcome = axilla["outcome_residual"] == 1
    assert outcome.mean() == pytest.approx(0.675, abs=0.03)
    seen = axilla["aln_visible_post"] == 1
    thick = axilla["aln_cortical_thickness_post_mm"] > 2.3
    assert thick[seen & outcome].mean() == pytest.approx(0.74, abs=0.04)
    assert 1 - thick[seen & ~outcome].mean() == pytest.approx(0.52, abs=0.04)
    assert 1 - seen[outcome].mean() == pytest.approx(0.12, abs=0.03)
    assert 1 - seen[~outcome].mean() == pytest.approx(0.25, abs=0.04)
    columns = [f"aln_{name}_post" for name in ("hilum", "shape")]
    assert axilla[columns].notna().all(axis=1).equals(seen)
    for name, separation in zip(
        us_axilla_post_nst.LATENTS, us_axilla_post_nst.TARGET_SEPARATION, strict=True
    ):
        area = auc(axilla, "outcome_residual", f"latent_{name}")
        planned = norm.cdf(separation / np.sqrt(2))
        assert without_loss(area, us_axilla_post_nst.EXTRACTION_LOSS) == pytest.approx(planned, abs=0.03)


def test_response_by_subtype_is_as_published(axilla):
    hormone = axilla["er_pct"] >= 1
    her2 = (axilla["her2_ihc"] == "3+") | (axilla["her2_ish"] == "positive")
    for subtype in us_axilla_post_nst.SUBTYPES:
        chosen = (hormone == subtype.hormone_receptor) & (her2 == subtype.her2)
        assert chosen.mean() == pytest.approx(subtype.share, abs=0.03)
        responded = 1 - axilla.loc[chosen, "outcome_residual"].mean()
        assert responded == pytest.approx(subtype.response, abs=4 * 0.5 / np.sqrt(chosen.sum()))


def test_a_few_patients_are_not_for_the_pathway():
    table = drawn(us_axilla_post_nst)
    excluded = (table["nst_completed"] == 0) | (table["baseline_node_positive"] == 0)
    assert 0.03 < excluded.mean() < 0.07
    assert table["residual_nodal_disease"].isna().equals(excluded)
    assert table.loc[table["baseline_node_positive"] == 0, "cn_stage"].eq("N0").all()
    assert table.loc[table["clip_placed"] == 0, "clip_located"].isna().all()
    assert not (table["node_biopsy_result"].ne("not_done") & (table["aln_visible_post"] == 0)).any()


@pytest.mark.parametrize("module", [us_nodal_burden, us_axilla_post_nst])
def test_without_signal_nothing_in_the_table_depends_on_the_outcome(module):
    table = drawn(module, null=True, patients=1500)
    outcome = "outcome_level1" if module is us_nodal_burden else "outcome_residual"
    table = table[table[outcome].notna()]
    said = {"n_nodes_positive", "n_nodes_examined", "residual_nodal_disease", outcome, "outcome_level2"}
    numbers = [c for c in table.select_dtypes("number") if c not in said]
    assert len(numbers) > 10
    for column in numbers:
        part = table[table[column].notna()]
        assert auc(part, outcome, column) == pytest.approx(0.5, abs=0.065), column


@pytest.mark.parametrize("module", [us_nodal_burden, us_axilla_post_nst])
def test_what_follows_from_other_columns_is_left_to_the_analysis(module):
    assert not DERIVED & set(drawn(module, patients=5))


def test_speckle_is_fully_developed():
    level = np.full(GRID.shape, 130.0)
    quiet = Scanner(noise_db=-80.0)
    shown = ultrasound.b_mode(np.random.default_rng(1), level, 0.0, GRID, quiet)
    # Along a row depth is the same. A Rayleigh envelope has a standard deviation of 5.57 dB; its mean over
    # the root of its mean square is sqrt(pi) / 2.
    row = shown[100:140:8]
    decibel = row / ultrasound.GREY_PER_DB
    assert np.median(decibel.std(axis=1)) == pytest.approx(5.57, abs=0.6)
    envelope = 10 ** (decibel / 20)
    assert envelope.mean() / np.sqrt((envelope**2).mean()) == pytest.approx(np.sqrt(np.pi) / 2, abs=0.03)
    centred = shown - shown.mean(axis=1, keepdims=True)
    along, across = (centred[2:] * centred[:-2]).mean(), (centred[:, 2:] * centred[:, :-2]).mean()
    assert across > along > 0.1 * centred.var()


def test_an_outline_is_as_long_as_said_however_irregular():
    rng = np.random.default_rng(2)
    for irregularity in (0.0, 0.05, 0.15):
        mask = Outline(13.0, 16.0, 14.0, 9.0, 0.3, irregularity).draw(rng, GRID)
        points = np.argwhere(mask)[::5] * GRID.spacing_mm
        longest = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=-1)).max()
        assert longest == pytest.approx(14.0, abs=0.35)
        assert label(mask)[1] == 1


@pytest.mark.parametrize("counts", [(0, 0), (1, 0), (2, 0), (4, 0), (1, 1), (5, 0), (6, 0), (2, 2)])
def test_vessels_can_be_counted_again(counts):
    outline = Outline(13.0, 16.0, 14.0, 10.0)
    rng = np.random.default_rng(3)
    pieces, count = label(ultrasound.vessels(rng, outline, GRID, *counts), np.ones((3, 3)))
    sizes = [np.ptp(np.argwhere(pieces == number) * 0.1, axis=0) for number in range(1, count + 1)]
    long = sum(float(np.hypot(*size)) >= 5.0 for size in sizes)
    assert (count - long, long) == counts
    grades = {(0, 0): 0, (1, 0): 1, (2, 0): 1, (4, 0): 2, (1, 1): 2, (5, 0): 3, (6, 0): 3, (2, 2): 3}
    assert adler_grade(*counts) == grades[counts]


def test_shadows_and_enhancement_lie_behind_a_lesion():
    mask = Outline(8.0, 16.0, 8.0, 6.0).draw(np.random.default_rng(0), GRID)
    for db_per_mm in (0.8, -0.4):
        lost = ultrasound.posterior_db(mask, GRID, db_per_mm)
        assert lost[200, 160] == pytest.approx(db_per_mm * 6.0, rel=0.08)
        assert abs(lost[200, 20]) < 0.01 and lost[20, 160] == 0


def test_a_scanner_with_more_gain_and_noise_shows_it():
    patient = drawn(us_nodal_burden, patients=1).iloc[0].to_dict()
    shown = [
        sitk.GetArrayFromImage(us_nodal_burden.simulate_images({**patient, "center": center}, 1)["us"])
        for center in ("center_1", "center_2")
    ]
    assert shown[1].mean() - shown[0].mean() == pytest.approx(2.5 * ultrasound.GREY_PER_DB, abs=4.0)


def test_tumours_of_every_size_fit_into_the_scan():
    patient = drawn(us_nodal_burden, patients=1).iloc[0].to_dict()
    for number, diameter in enumerate((6.0, 25.0, 60.0)):
        for orientation in ("parallel", "not_parallel"):
            given = {
                **patient,
                "tumor_diameter_mm": diameter,
                "us_orientation": orientation,
                "latent_level2": 2.5,
            }
            mask = sitk.GetArrayFromImage(us_nodal_burden.simulate_images(given, number)["tumour"])
            points = np.argwhere(mask)
            assert min(points.min(axis=0)) > 5
            assert (points.max(axis=0) < np.array(mask.shape) - 5).all()
            extent = max(np.ptp(points, axis=0) + 1) * us_nodal_burden.GRID.spacing_mm
            assert 0.85 * diameter < extent < diameter + 0.5


def measured_cortex(node: np.ndarray, hilum: np.ndarray) -> float:
    """Measure a cortex as a reader does: the thicker side, along the depth, halfway along the hilum."""
    column = int(np.median(np.argwhere(hilum)[:, 1]))
    inside, fat = np.flatnonzero(node[:, column]), np.flatnonzero(hilum[:, column])
    return max(fat[0] - inside[0], inside[-1] - fat[-1]) * us_axilla_post_nst.GRID.spacing_mm


def test_nodes_are_drawn_as_the_table_describes_them():
    table = drawn(us_axilla_post_nst, patients=10)
    errors = []
    for patient in table.to_dict("records"):
        images = us_axilla_post_nst.simulate_images(patient, 3)
        for time in ("pre", "post"):
            node, hilum = (
                sitk.GetArrayFromImage(images[f"{time}_{part}"]).astype(bool) for part in ("node", "hilum")
            )
            seen = time == "pre" or patient["aln_visible_post"] == 1
            absent = not seen or patient[f"aln_hilum_{time}"] == "absent"
            assert (node.any(), hilum.any()) == (seen, not absent)
            assert not (hilum & ~node).any()
            if not absent:
                recorded = patient[f"aln_cortical_thickness_{time}_mm"]
                errors.append(measured_cortex(node, hilum) - recorded)
            if seen:
                shown = sitk.GetArrayFromImage(images[time])
                assert shown[node & ~hilum].mean() < shown[~node].mean()
    assert len(errors) >= 8
    assert abs(np.median(errors)) < 0.2 and np.percentile(np.abs(errors), 90) < 0.8


def features_of(image: sitk.Image, inside: np.ndarray) -> dict[str, float]:
    settings = {
        "normalise_within": "image",
        "imageType": {"Original": None},
        "featureClass": {"shape2D": ["Sphericity"], "firstorder": ["Mean"], "glcm": ["Correlation"]},
        "setting": {"binWidth": 25, "normalizeScale": 100, "removeOutliers": 3, "voxelArrayShift": 300},
    }
    region = RegionMask.of("itr", "tumour", inside)
    return extract_image(Image(image, "header", ""), [region], None, Settings.of(settings))[0]


def cortex_of(images: dict[str, sitk.Image], time: str) -> np.ndarray:
    node, hilum = (sitk.GetArrayFromImage(images[f"{time}_{part}"]) > 0 for part in ("node", "hilum"))
    return node & ~hilum


def rank_correlations(table: pd.DataFrame, features: pd.DataFrame, latent: str) -> pd.Series:
    return features.corrwith(table[latent].reset_index(drop=True), method="spearman")


@pytest.mark.slow
def test_each_latent_drives_its_own_property_of_the_tumour():
    table = drawn(us_nodal_burden, patients=100)
    images = [us_nodal_burden.simulate_images(patient, 3) for patient in table.to_dict("records")]
    inside = [sitk.GetArrayFromImage(drawn["tumour"]) > 0 for drawn in images]
    features = pd.DataFrame(
        [features_of(drawn["us"], mask) for drawn, mask in zip(images, inside, strict=True)]
    )
    level_1, level_2 = (rank_correlations(table, features, f"latent_level{n}") for n in (1, 2))
    assert level_1["itr_original_glcm_Correlation"] > 0.5
    assert level_2["itr_original_firstorder_Mean"] < -0.5
    assert level_2["itr_original_shape2D_Sphericity"] < -0.5
    assert abs(level_1["itr_original_shape2D_Sphericity"]) < 0.35


@pytest.mark.slow
def test_only_the_difference_of_both_images_shows_the_change_well():
    table = drawn(us_axilla_post_nst, patients=110)
    table = table[table["aln_visible_post"] == 1].reset_index(drop=True)
    images = [us_axilla_post_nst.simulate_images(patient, 3) for patient in table.to_dict("records")]
    pre, post = (
        pd.DataFrame([features_of(drawn[time], cortex_of(drawn, time)) for drawn in images])
        for time in ("pre", "post")
    )
    texture = "itr_original_glcm_Correlation"
    change, after, before = (
        rank_correlations(table, part, "latent_delta")[texture] for part in (post - pre, post, pre)
    )
    assert change > 0.4
    assert change > after > before
