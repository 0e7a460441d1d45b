"""Where there is breast or body in an image, for rings to be cut to: found by grey value alone.

The image must have a dark background: mammograms with a bright one are to be inverted first.
"""

import logging

import numpy as np
from scipy.ndimage import (
    binary_fill_holes,
    binary_opening,
    distance_transform_edt,
    gaussian_filter,
    gaussian_filter1d,
    label,
)
from skimage.filters import threshold_otsu

logger = logging.getLogger(__name__)

SMOOTHING_PIXELS = 1.0

# Grey values are compared on a logarithmic scale, which starts at this share of the brightest.
DARKEST_SHARE = 0.02

# There is a background if the histogram falls below this share of its lower peak between the two.
# On 2500 ultrasound images without a frame it seldom does, on mammograms and MRI it always does.
DEEPEST_VALLEY = 0.2

# A lowest value as far below all others as this share of their range is padding, not a measurement.
PADDING_GAP = 0.1

HISTOGRAM_BINS = 128
SAMPLE = 1_000_000


def find_tissue(image: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Return where the breast or body is: the largest connected part above the background, holes filled.

    ``image`` is indexed (row, column) or (slice, row, column); ``spacing`` is along x, y (and z). Holes
    are filled in each slice. The background is what lies below the valley of the histogram of the
    logarithm of the slightly smoothed image (Otsu, IEEE TSMC 1979;9:62-66, sets the two peaks
    apart). Where there is no such valley, as in an ultrasound image without a frame, all of the image is
    tissue. Black ultrasound shadows that reach the frame are taken for frame.
    """
    values = np.where(np.isfinite(image), image, np.min(image, where=np.isfinite(image), initial=np.inf))
    ...


def without_skin(tissue: np.ndarray, skin_rim_mm: float, spacing: tuple[float, ...]) -> np.ndarray:
    ...
