"""The simulators by name, and what is common to their cohorts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import SimpleITK as sitk

from annulus.errors import StudyError
from annulus.simulation import (
    cem,
    kaiser_us_alnm,
    mri_habitat_her2,
    us_axilla_post_nst,
    us_nodal_burden,
)
from annulus.simulation.planting import planted_defect, with_defect, with_raters
from annulus.simulation.roster import enrolled

# Columns that no rule of the analysis may read.
HIDDEN = ("latent_", "bayes_", "outcome_", "planted_")


@dataclass(frozen=True)
class Simulator:
    """How a study's SYNTHETIC patients and their images are drawn; no images where there is only a table."""

    shares: Mapping[str, float]
    patients: Callable[[Mapping[str, str], Mapping[str, float], bool, int], pd.DataFrame]
    images: Callable[[Mapping[str, Any], int], dict[str, sitk.Image]] | None


SIMULATORS = {
    "cem": Simulator(cem.SHARES, cem.simulate_patients, cem.simulate_images),
    "us_nodal_burden": Simulator(
        us_nodal_burden.SHARES, us_nodal_burden.simulate_patients, us_nodal_burden.simulate_images
    ),
    "us_axilla_post_nst": Simulator(
        us_axilla_post_nst.SHARES, us_axilla_post_nst.simulate_patients, us_axilla_post_nst.simulate_images
    ),
    "mri_habitat_her2": Simulator(
        mri_habitat_her2.SHARES, mri_habitat_her2.simulate_patients, mri_habitat_her2.simulate_images
    ),
    "kaiser_us_alnm": Simulator(kaiser_us_alnm.SHARES, kaiser_us_alnm.simulate_patients, None),
}


def simulate_cohort(
    simulator: str,
    counts: Mapping[str, int],
    shares: Mapping[str, float] | None,
    null: bool,
    defects: float,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw a simulator's participants, ``counts`` of them per cohort, and their truth apart.

    ``shares`` of outcome classes replace the simulator's own; ``defects`` is the share of patients with a
    planted defect. Raises StudyError where the shares are of other classes or do not add up to 1.
    """
    chosen = SIMULATORS[simulator]
    used = dict(shares or chosen.shares)
    if set(used) != set(chosen.shares):
        raise StudyError(
            f"shares: the simulator {simulator} has the classes {', '.join(chosen.shares) or 'none'}, "
            f"not {', '.join(used)}."
        )
    if used and abs(sum(used.values()) - 1.0) > 1e-9:
        raise StudyError(f"shares: they add up to {sum(used.values()):g}, not 1.")
    table = chosen.patients(enrolled(simulator, counts), used, null, seed)
    table["planted_defect"] = [planted_defect(patient, defects, seed) for patient in table["patient_id"]]
    hidden = [str(column) for column in table if str(column).startswith(HIDDEN)]
    return table.drop(columns=hidden), table[["patient_id", *hidden]]


def draw_images(simulator: str, patient: Mapping[str, Any], raters: int, seed: int) -> dict[str, sitk.Image]:
    """Draw the images and masks of one SYNTHETIC patient, a row of participants and truth together."""
    draw = SIMULATORS[simulator].images
    assert draw is not None, f"{simulator} has no images"
    images = with_raters(draw(patient, seed), simulator, raters, patient["patient_id"], seed)
    defect = patient["planted_defect"]
    return with_defect(images, simulator, defect if isinstance(defect, str) else "")
