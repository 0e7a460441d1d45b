"""pyradiomics' filters, computed where regions lie and as they would be on the whole image.

A filter that looks only so far (wavelets, the gradient) is computed on a window with that much around
it; one that needs a number of the whole image (its largest value) is given it. Values in the window are
then those of the whole image, to the bit. The Laplacian of Gaussian is recursive and sees everything.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pywt
import SimpleITK as sitk

from annulus.features.settings import Settings
from annulus.features.windows import Window

# Central differences look one voxel to each side.
GRADIENT_REACH = 2
LEAST_SIZE_FOR_LOG = 4


@dataclass(frozen=True)
class Extremes:
    """Smallest and largest grey value of the image that filters scale themselves by."""

    low: float
    high: float

    @classmethod
    def of(cls, values: np.ndarray) -> "Extremes":
        """Read them off an image."""
        return cls(float(values.min()), float(values.max()))

    @property
    def magnitude(self) -> float:
        """Largest absolute grey value."""
        return max(abs(self.low), abs(self.high))


@dataclass(frozen=True)
class View:
    """An image, the window of it that is wanted, and how filters treat what lies around.

    ``mirrored`` continues the image beyond its edge by its mirror image for wavelets; without it the
    image repeats itself, as pyradiomics has it, so that an edge sees the opposite side.
    """

    pixels: sitk.Image
    window: Window
    extremes: Extremes
    mirrored: bool

    @property
    def array(self) -> np.ndarray:
        """Grey values of the whole image."""
        return sitk.GetArrayViewFromImage(self.pixels)

    @property
    def cut(self) -> np.ndarray:
        """Grey values in the window, of the image's own type."""
        return self.array[self.window.slices].copy()


@dataclass(frozen=True)
class Filtered:
    """A filtered image in the window, its name and the settings for its features.

    Instead of values there is a sentence where the image is too small for the filter, over which
    pyradiomics would pass in silence.
    """

    name: str
    values: np.ndarray | str
    setting: Mapping[str, Any]


def filtered_images(view: View, settings: Settings) -> Iterator[Filtered]:
    """Yield every filtered image that the settings ask for, one by one, under pyradiomics' own name."""
    for kind in settings.image_types:
        merged = settings.setting_of(kind)
        for name, values in FILTERS[kind](view, merged):
            yield Filtered(name, values, merged)


def _original(view: View, setting: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    yield "original", view.cut


def _laplacian_of_gaussian(view: View, setting: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray | str]]:
    size = np.array(view.pixels.GetSize())
    shown = " x ".join(map(str, size))
    for sigma in setting["sigma"]:
        name = f"log-sigma-{str(sigma).replace('.', '-')}-mm-3D"
        if size.min() < LEAST_SIZE_FOR_LOG:
            yield name, f"LoG needs {LEAST_SIZE_FOR_LOG} voxels along every axis, the image has {shown}"
        elif (size < np.ceil(sigma / np.array(view.pixels.GetSpacing())) + 1).any():
            yield name, f"LoG with sigma {sigma:g} mm is wider than the image ({shown} voxels)"
        else:
            log = sitk.LaplacianRecursiveGaussianImageFilter()
            log.SetNormalizeAcrossScale(True)
            log.SetSigma(sigma)
            yield name, _inner(log.Execute(view.pixels), view.window.slices)


def _wavelet(view: View, setting: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    wavelet = pywt.Wavelet(setting.get("wavelet", "coif1"))
    start, levels = setting.get("start_level", 0), setting.get("level", 1)
    axes = list(range(view.array.ndim - 1, -1, -1))
    if setting.get("force2D", False):
        axes.remove(setting.get("force2Ddimension", 0))
    data, inner = _surrounded(view, axes, wavelet.dec_len * (start + levels))
    plain = "a" * len(axes)
    for _ in range(start):
        data = pywt.swtn(data, wavelet, level=1, start_level=0, axes=tuple(axes))[0][plain]
    for level in range(1, levels + 1):
        bands = pywt.swtn(data, wavelet, level=1, start_level=0, axes=tuple(axes))[0]
        data = bands.pop(plain)
        number = "" if level == 1 else str(level)
        for band, values in bands.items():
            yield f"wavelet{number}-{band.replace('a', 'L').replace('d', 'H')}", values[inner].copy()
    number = "" if levels == 1 else str(levels)
    yield f"wavelet{number}-{'L' * len(axes)}", data[inner].copy()


def _surrounded(view: View, axes: Sequence[int], reach: int) -> tuple[np.ndarray, tuple[slice, ...]]:
    """Return the window with ``reach`` voxels around it along ``axes``, even beyond the edge."""
    places, inner = [], []
    for axis, (low, high, size) in enumerate(
        zip(view.window.low, view.window.high, view.array.shape, strict=True)
    ):
        if axis not in axes:
            places.append(np.arange(low, high))
            inner.append(slice(0, high - low))
            continue
        # Wavelets take even lengths, to which pyradiomics adds the first voxel again.
        even = size + size % 2
        length = high - low + 2 * reach
        if not view.mirrored and (low < reach or high + reach > even):
            # At an edge wavelets add in another order than inside, so the edge must stay one.
            places.append(np.arange(even) % size)
            inner.append(slice(low, high))
            continue
        index = np.arange(low - reach, low - reach + length + length % 2) % (2 * size)
        places.append(np.where(index < size, index, 2 * size - 1 - index))
        inner.append(slice(reach, reach + high - low))
    return view.array[np.ix_(*places)], tuple(inner)


def _square(view: View, setting: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    coefficient = 1 / np.sqrt(view.extremes.magnitude)
    yield "square", (coefficient * view.cut.astype("float64")) ** 2


def _square_root(view: View, setting: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    values = view.cut.astype("float64")
    magnitude = view.extremes.magnitude
    values[values > 0] = np.sqrt(values[values > 0] * magnitude)
    values[values < 0] = -np.sqrt(-values[values < 0] * magnitude)
    yield "squareroot", values


def _logarithm(view: View, setting: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    ends = _signed_logarithm(np.array([view.extremes.low, view.extremes.high]))
    factor = view.extremes.magnitude / np.max(np.abs(ends))
    yield "logarithm", _signed_logarithm(view.cut.astype("float64")) * factor


def _signed_logarithm(values: np.ndarray) -> np.ndarray:
    values = values.copy()
    values[values > 0] = np.log(values[values > 0] + 1)
    values[values < 0] = -np.log(-(values[values < 0] - 1))
    return values


def _exponential(view: View, setting: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    magnitude = np.float64(view.extremes.magnitude)
    yield "exponential", np.exp(np.log(magnitude) / magnitude * view.cut.astype("float64"))


def _gradient(view: View, setting: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    window = view.window.grown((GRADIENT_REACH,) * len(view.window.low), view.array.shape)
    gradient = sitk.GradientMagnitudeImageFilter()
    gradient.SetUseImageSpacing(setting.get("gradientUseSpacing", True))
    yield "gradient", _inner(gradient.Execute(_cut(view.pixels, window)), view.window.within(window).slices)


def _local_binary_pattern(view: View, setting: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    # Only here, since hardly any study asks for it and it takes a while to import.
    from skimage.feature import local_binary_pattern

    def pattern(plane: np.ndarray) -> np.ndarray:
        return local_binary_pattern(  # type: ignore[no-untyped-call]
            plane,
            P=setting.get("lbp2DSamples", 8),
            R=setting.get("lbp2DRadius", 1),
            method=setting.get("lbp2DMethod", "uniform"),
        )

    if view.array.ndim == 2:
        yield "lbp-2D", pattern(view.array.copy())[view.window.slices].copy()
        return
    axis = setting.get("force2Ddimension", 0)
    planes = view.array.swapaxes(0, axis)[view.window.slices[axis]].copy()
    found = np.array([pattern(plane) for plane in planes]).swapaxes(0, axis)
    rest = tuple(slice(None) if a == axis else s for a, s in enumerate(view.window.slices))
    # pyradiomics writes the patterns into the image's own type.
    yield "lbp-2D", found[rest].astype(view.array.dtype)


def _cut(pixels: sitk.Image, window: Window) -> sitk.Image:
    return pixels[tuple(window.slices[::-1])]


def _inner(image: sitk.Image, slices: tuple[slice, ...]) -> np.ndarray:
    # The view dangles once its image is gone, so both end here.
    return sitk.GetArrayViewFromImage(image)[slices].copy()


FILTERS = {
    "Original": _original,
    "LoG": _laplacian_of_gaussian,
    "Wavelet": _wavelet,
    "Square": _square,
    "SquareRoot": _square_root,
    "Logarithm": _logarithm,
    "Exponential": _exponential,
    "Gradient": _gradient,
    "LBP2D": _local_binary_pattern,
}
