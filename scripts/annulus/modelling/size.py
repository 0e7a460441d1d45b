"""The lesion's size, a predictor beside the features."""

import numpy as np
import pandas as pd

from annulus.cohort.dictionary import Column
from annulus.modelling.plan import LESION_SIZE

SIZE = Column(
    LESION_SIZE,
    "number",
    "Binary logarithm of the lesion's volume (area in a single-slice image), of its mask",
)


def lesion_size(rois: pd.DataFrame, measure: str) -> pd.Series:
    """Return the size of each patient's lesion, by patient, from ``rois/rois.csv``.

    Of the lesion's own region (tumour, or the whole node where the patient has no tumour outlined), the
    ``measure`` (``volume_mm3``, or ``voxels`` where pixel sizes are not known), averaged over images
    before any therapy, where there are any. No patient's size depends on others.
    """
    lesions = rois[rois["kind"].isin(["tumour", "node"]) & (rois["voxels"] > 0)]
    for column, preferred in (("kind", "tumour"), ("timepoint", "baseline")):
        wanted = lesions[column] == preferred
        has_some = wanted.groupby(lesions["patient_id"]).transform("any").astype(bool)
        lesions = lesions[wanted | ~has_some]
    # A node's cortex is a part of the node.
    whole = lesions.groupby(["patient_id", "timepoint", "image_id"])[measure].max()
    sizes: pd.Series = np.log2(whole.groupby("patient_id").mean()).rename(LESION_SIZE)
    return sizes
