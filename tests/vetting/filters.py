"""Wavelets and the Laplacian of Gaussian against convolutions written out, and against a closed form."""

from collections.abc import Iterator, Mapping
from itertools import product

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import correlate1d, gaussian_filter
from vetting.baselines import MODES, read_case
from vetting.rows import About, Convention, Row, columns_of, judged

from annulus.features.extraction import extract_image
from annulus.features.regions import RegionMask
from annulus.features.settings import Settings
from annulus.imaging.reading import Image

WAVELETS, GAUSSIAN, DERICHE = (
    "coiflet 1 written out",
    "Gaussian in closed form",
    "Deriche's kernel written out",
)
STATISTICS = {
    "Mean": np.mean,
    "Variance": np.var,
    "Minimum": np.min,
    "Maximum": np.max,
    "Median": np.median,
}

# Coiflet 1 (Daubechies, SIAM J Math Anal 1993;24:499-519), whose taps are these over 16 sqrt 2.
ROOT = 7**0.5
LOW_PASS = np.array([1 - ROOT, 5 + ROOT, 14 + 2 * ROOT, 14 - 2 * ROOT, 1 - ROOT, ROOT - 3]) / (16 * 2**0.5)
# Conjugate mirror of the low pass.
HIGH_PASS = LOW_PASS[::-1] * [1, -1, 1, -1, 1, -1]
# Six taps have no middle voxel; a band is laid where the third tap stands.
ORIGIN = -1
WAVELET_TOLERANCE = 1e-12

# ITK filters recursively, which is convolution with a kernel of two damped waves on either side, nearly a
# Gaussian (Deriche, INRIA report 1893, 1993, order 4): cosine and sine of the smoothing kernel and of its
# second derivative, then damping and frequency, per sigma.
WAVES = (
    (1.3530, 1.8151, -1.3563, 5.2318, -1.3932, 0.6681),
    (-0.3531, 0.0902, 0.3446, -2.2355, -1.3732, 2.0787),
)
# As shares of the filter's strongest response, of its square for the variance.
LOG_TOLERANCE = 5e-5
DERICHE_TOLERANCE = 5e-5
REACH_SIGMAS = 12
SIGMAS = (1.5, 2.0, 3.0)


def wavelet_rows() -> Iterator[Row]:
    """Yield every band of coiflet 1 in the region of breast1, and in two corners of the image."""
    image, inside = read_case("breast1")
    near, far = np.zeros_like(inside), np.zeros_like(inside)
    near[:4, :9, :7] = True
    far[-4:, -9:, -7:] = True
    regions = {"breast1": inside, "breast1, first corner": near, "breast1, last corner": far}
    for (case, inside), mode in product(regions.items(), MODES):
        about = About(WAVELETS, case, mode, "coif1", "oracle")
        found = _found(image, inside, {"Wavelet": {"wavelet": "coif1"}}, mode)
        for letters in product("LH", repeat=3):
            band = convolved(image.array, letters, mirrored=mode == "shared")
            yield from _judged(about, f"wavelet-{''.join(letters)}", band[inside], found, WAVELET_TOLERANCE)


def convolved(values: np.ndarray, letters: tuple[str, ...], mirrored: bool) -> np.ndarray:
    """Filter an image along x, y and z by the passes in ``letters``, one after the other.

    Beyond its edge the image goes on as its mirror image, or else, as pyradiomics has it, from its other
    end, its first voxel repeated where its length is odd.
    """
    shape = values.shape
    found = values.astype(float)
    if not mirrored:
        found = np.pad(found, [(0, n % 2) for n in shape], mode="wrap")
    for axis, letter in zip((2, 1, 0), letters, strict=True):
        taps = LOW_PASS if letter == "L" else HIGH_PASS
        found = correlate1d(found, taps, axis, mode="reflect" if mirrored else "wrap", origin=ORIGIN)
    return found[tuple(slice(n) for n in shape)]


def log_rows() -> Iterator[Row]:
    """Yield the filtered Gaussian blob against its closed form, and noise against Deriche's kernel."""
    blob, inside = gaussian_blob(BLOB_SIGMA_MM)
    noise = smooth_noise()
    for mode, sigma in product(MODES, SIGMAS):
        name = f"log-sigma-{str(sigma).replace('.', '-')}-mm-3D"
        wanted, setting = {"LoG": {"sigma": [sigma]}}, f"sigma {sigma:g} mm"
        about = About(GAUSSIAN, "Gaussian blob", mode, setting, "oracle")
        found = _found(blob, inside, wanted, mode)
        truth, recursive = filtered_blob(sigma)[inside], laplacian_by_deriche(blob, sigma)[inside]
        yield from _judged(about, name, truth, found, LOG_TOLERANCE, recursive)
        about = About(DERICHE, "smooth noise", mode, setting, "oracle")
        found = _found(noise, inside, wanted, mode)
        yield from _judged(about, name, laplacian_by_deriche(noise, sigma)[inside], found, DERICHE_TOLERANCE)


BLOB_SHAPE, BLOB_SPACING_MM = (48, 64, 68), (0.9, 1.0, 1.4)
BLOB_SIGMA_MM, BLOB_HEIGHT = 4.0, 1000.0


def _squared_distance() -> np.ndarray:
    """Return the squared distance in mm from the middle of the blob's image."""
    axes = [
        (np.arange(n) - (n - 1) / 2) * side for n, side in zip(BLOB_SHAPE, BLOB_SPACING_MM[::-1], strict=True)
    ]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    return z**2 + y**2 + x**2


def gaussian_blob(sigma_mm: float) -> tuple[Image, np.ndarray]:
    """Return an image of a Gaussian, and a ball around its middle as the region."""
    distance = _squared_distance()
    return _image(BLOB_HEIGHT * np.exp(-distance / (2 * sigma_mm**2))), distance <= 10.0**2


def filtered_blob(sigma: float) -> np.ndarray:
    """Return sigma^2 times the Laplacian of the blob convolved with a Gaussian: again a Gaussian's."""
    distance, variance = _squared_distance(), BLOB_SIGMA_MM**2 + sigma**2
    height = BLOB_HEIGHT * (BLOB_SIGMA_MM**2 / variance) ** 1.5
    curvature = distance / variance**2 - 3 / variance
    return sigma**2 * height * curvature * np.exp(-distance / (2 * variance))


def smooth_noise() -> Image:
    """Return noise with a grain of 3 mm."""
    rng = np.random.default_rng(5)
    grain = [3.0 / side for side in BLOB_SPACING_MM[::-1]]
    values = gaussian_filter(rng.normal(size=BLOB_SHAPE), grain)
    return _image(100 + 40 * values / values.std())


def laplacian_by_deriche(image: Image, sigma: float) -> np.ndarray:
    """Convolve with Deriche's kernels, the derivative along one axis and smoothing along the others.

    Beyond its edge the image goes on as its outermost voxels.
    """
    total = np.zeros(image.array.shape)
    for derived in range(3):
        found = image.array.astype(float)
        for axis, side in enumerate(image.spacing[::-1]):
            smooth, second = deriche_kernels(sigma / side)
            taps = second / side**2 if axis == derived else smooth
            found = correlate1d(found, taps, axis, mode="nearest")
        total += found
    return sigma**2 * total


def deriche_kernels(sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the smoothing kernel and its second derivative for a sigma in voxels.

    Scaled so that a constant stays what it is, and the derivative of a constant is 0 and of x^2 / 2 is 1.
    """
    reach = int(np.ceil(REACH_SIGMAS * sigma))
    x = np.arange(-reach, reach + 1)
    t = np.abs(x) / sigma
    smooth, second = np.zeros(len(x)), np.zeros(len(x))
    for cosine, sine, cosine_2, sine_2, damping, frequency in WAVES:
        fade, c, s = np.exp(damping * t), np.cos(frequency * t), np.sin(frequency * t)
        smooth += fade * (cosine * c + sine * s)
        second += fade * (cosine_2 * c + sine_2 * s)
    smooth /= smooth.sum()
    second -= second.sum() * smooth
    return smooth, second / (second * x**2 / 2).sum()


def _image(values: np.ndarray) -> Image:
    pixels = sitk.GetImageFromArray(values)
    pixels.SetSpacing(BLOB_SPACING_MM)
    return Image(pixels, "header", "")


def _found(
    image: Image, inside: np.ndarray, image_types: Mapping[str, Mapping[str, object]], mode: str
) -> dict[tuple[str, str, str], float]:
    content = {
        "imageType": image_types,
        "featureClass": {"firstorder": list(STATISTICS)},
        "setting": {"binWidth": 25},
    }
    region = RegionMask.of("roi", "tumour", inside)
    values, failures = extract_image(image, [region], None, Settings.of(content, mode))
    if failures:
        raise AssertionError(f"filters: {failures[0]}")
    return columns_of(values, "roi")


def _judged(
    about: About,
    name: str,
    truth: np.ndarray,
    found: Mapping[tuple[str, str, str], float],
    share: float,
    recursive: np.ndarray | None = None,
) -> Iterator[Row]:
    """Compare statistics; ``recursive`` is what Deriche's kernel makes of the image."""
    strongest = float(np.abs(truth).max())
    for feature, statistic in STATISTICS.items():
        column = (name, "firstorder", feature)
        scale = strongest**2 if feature == "Variance" else strongest
        expected, convention = float(statistic(truth)), None
        if recursive is not None:
            excess = float(statistic(recursive)) - expected
            convention = Convention(
                "ITK's recursive filter is that of a Gaussian only to 1 % of its strongest response (its "
                "smoothing has 94 % of the variance); converted by the difference that its kernel makes",
                found[column] - excess,
            )
        yield judged(about, column, expected, found[column], share * scale, convention)
