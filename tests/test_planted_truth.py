"""What the simulator plants, the pipeline's own steps find again, and nothing else."""

from multiprocessing import Pool
from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from scipy.stats import spearmanr

from annulus.evaluation.discrimination import auc_interval, delong
from annulus.features.extraction import extract_image
from annulus.features.regions import RegionMask
from annulus.features.settings import Settings
from annulus.imaging.reading import Image
from annulus.imaging.regions import Plan, Region, build_regions
from annulus.modelling.pipeline import build_pipeline
from annulus.simulation import cem
from annulus.simulation.roster import enrolled

TRAINING, TEST = 400, 200
SETTINGS = {
    "normalise_within": "tissue",
    "imageType": {"Original": None},
    # Nothing that grows with the number of voxels: the diameter is informative by design.
    "featureClass": {
        "firstorder": [
            "Mean", "Median", "10Percentile", "90Percentile", "InterquartileRange",
            "MeanAbsoluteDeviation", "RobustMeanAbsoluteDeviation", "Uniformity",
        ],
        "glrlm": ["RunEntropy", "RunPercentage", "ShortRunEmphasis", "LongRunEmphasis"],
    },
    "setting": {"binWidth": 25, "normalizeScale": 100},
}  # fmt: skip
PLAN = Plan(
    unit="mm",
    regions=(
        Region("itr", "tumour"),
        Region("ptr5", "ring", 0.0, 5.0),
        Region("beyond", "ring", 11.0, 14.0),
    ),
    minimum_voxels=20,
    maximum_lost_fraction=0.5,
)


def features_of(patient: dict[str, Any]) -> dict[str, float]:
    """Build the regions of one SYNTHETIC patient and extract them from the recombined image."""
    images = cem.simulate_images(patient, seed=7)
    tumour, breast = (sitk.GetArrayFromImage(images[name]) > 0 for name in ("tumour", "breast"))
    image = Image(images["rc"], "header", "")
    built = build_regions(tumour, breast, image.spacing, True, PLAN)
    regions = [RegionMask.of(b.region.name, b.region.kind, b.mask) for b in built]
    return extract_image(image, regions, images["breast"], Settings.of(SETTINGS))[0]


@pytest.fixture(scope="module")
def cohort() -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """A large SYNTHETIC cohort: patients with their latent scores, features, and outcome."""
    cohorts = {"train": TRAINING, "internal_test": TEST}
    patients = cem.simulate_patients(enrolled("cem", cohorts), cem.SHARES, False, 2)
    with Pool(2) as pool:
        features = pd.DataFrame(pool.map(features_of, patients.to_dict("records"), chunksize=20))
    return patients, features, (patients["her2_ish"] == "positive").to_numpy(dtype=float)


def score_of(cohort: tuple[pd.DataFrame, pd.DataFrame, np.ndarray], roi: str) -> np.ndarray:
    """Fit a region's signature on the training patients and score the test patients."""
    _, features, y = cohort
    columns = [column for column in features if column.startswith(f"{roi}_")]
    signature = {
        "steps": ["impute", "variance", "scale"],
        "model": {"lasso": {"count": 60, "smallest_ratio": 0.02}},
    }
    model = build_pipeline(signature, 1).fit(features[columns][:TRAINING], y[:TRAINING])
    return model.decision_function(features[columns][TRAINING:])


@pytest.mark.parametrize("roi", ["itr", "ptr5"])
def test_a_planted_region_is_as_good_as_its_generator(
    cohort: tuple[pd.DataFrame, pd.DataFrame, np.ndarray], roi: str
) -> None:
    patients, _, y = cohort
    score = score_of(cohort, roi)
    latent = patients[f"latent_{roi}"].to_numpy()[TRAINING:]
    areas, covariance = delong(y[TRAINING:] == 1, np.array([score, latent]))
    assert abs(areas[0] - areas[1]) < 3.0 * np.sqrt(covariance[0, 0])
    assert spearmanr(score, latent).statistic > 0.7


def test_a_region_without_signal_predicts_nothing(
    cohort: tuple[pd.DataFrame, pd.DataFrame, np.ndarray],
) -> None:
    _, _, y = cohort
    score = score_of(cohort, "beyond")
    areas, covariance = delong(y[TRAINING:] == 1, score[None, :])
    assert abs(areas[0] - 0.5) < 3.0 * np.sqrt(covariance[0, 0])
    assert areas[0] < auc_interval(y[TRAINING:], score_of(cohort, "itr")).lower


def test_latent_scores_have_the_planned_separation() -> None:
    patients = cem.simulate_patients(enrolled("cem", {"train": 4000}), cem.SHARES, False, 4)
    positive = patients["her2_ish"] == "positive"
    for latent, separation in zip(cem.LATENTS, cem.SEPARATION, strict=True):
        values = patients[f"latent_{latent}"]
        difference = values[positive].mean() - values[~positive].mean()
        assert difference == pytest.approx(separation, abs=0.12)
    inside = patients.loc[positive, ["latent_itr", "latent_ptr5", "latent_ptr10"]]
    assert inside.corr().to_numpy() == pytest.approx(cem.CORRELATION, abs=0.08)
