"""What features must not depend on, or must follow by a known factor, on SYNTHETIC images."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter
from vetting.baselines import MODES
from vetting.rows import About, Row, columns_of, judged

from annulus.features.extraction import extract_image
from annulus.features.regions import RegionMask
from annulus.features.settings import Settings
from annulus.imaging.reading import Image

ORACLE = "invariants"
TEXTURES = ("glcm", "glrlm", "glszm", "gldm", "ngtdm")
EVERY = ("shape", "firstorder", *TEXTURES)

# Of sums in another order.
ROUNDING = 1e-9

Column = tuple[str, str, str]


@dataclass(frozen=True)
class Scene:
    """An image, its regions by name (the first is looked at), and how features are extracted."""

    values: np.ndarray
    regions: Mapping[str, np.ndarray]
    spacing: Sequence[float] = (1.0, 1.0, 1.0)
    origin: Sequence[float] = (0.0, 0.0, 0.0)
    direction: Sequence[float] = (1, 0, 0, 0, 1, 0, 0, 0, 1)
    classes: Sequence[str] = EVERY
    image_types: Mapping[str, Any] = field(default_factory=lambda: {"Original": {}})
    setting: Mapping[str, Any] = field(default_factory=lambda: {"binWidth": 10})

    def extracted(self, mode: str) -> dict[Column, float]:
        """Return the features of the tumour."""
        pixels = sitk.GetImageFromArray(self.values)
        pixels.SetSpacing(self.spacing)
        pixels.SetOrigin(self.origin)
        pixels.SetDirection(self.direction)
        content = {
            "imageType": dict(self.image_types),
            "featureClass": dict.fromkeys(self.classes),
            "setting": dict(self.setting),
        }
        regions = [
            RegionMask.of(name, "tumour" if name == "itr" else "ring", inside)
            for name, inside in self.regions.items()
        ]
        settings = Settings.of(content, mode)
        values, failures = extract_image(Image(pixels, "header", ""), regions, None, settings)
        if failures:
            raise AssertionError(f"invariants: {failures[0]}")
        return columns_of(values, "itr")

    def moved(self, change: Callable[[np.ndarray], np.ndarray]) -> "Scene":
        """Change image and regions alike."""
        regions = {name: np.ascontiguousarray(change(inside)) for name, inside in self.regions.items()}
        return replace(self, values=np.ascontiguousarray(change(self.values)), regions=regions)


@dataclass(frozen=True)
class Invariant:
    """Two scenes, the factor by which a feature of the second exceeds the first, and the rounding allowed.

    ``factor`` maps a column to that number; columns it does not map are not compared. ``added`` likewise
    is a number on top. ``tolerance`` is relative, 0 for the same bits; ``cause`` says why a value misses.
    """

    name: str
    before: Scene
    after: Scene
    tolerance: float = ROUNDING
    factor: Callable[[Column], float | None] = lambda column: 1.0
    added: Callable[[Column], float] = lambda column: 0.0
    cause: str = "no cause found"


def rows() -> Iterator[Row]:
    """Yield every feature under every change."""
    for invariant in invariants():
        for mode in MODES:
            yield from _rows(invariant, mode)


def _rows(invariant: Invariant, mode: str) -> Iterator[Row]:
    before, after = invariant.before.extracted(mode), invariant.after.extracted(mode)
    about = About(ORACLE, "synthetic volume", mode, invariant.name, "invariant")
    for column, value in before.items():
        factor = invariant.factor(column)
        if factor is None:
            continue
        expected = factor * value + invariant.added(column)
        # A sum that cancels (cluster shade) is as exact as its terms.
        tolerance = invariant.tolerance * max(abs(expected), 1e-3)
        yield judged(about, column, expected, after[column], tolerance, cause=invariant.cause)


def invariants() -> list[Invariant]:
    """List what is vetted."""
    scene = volume()
    lesion = replace(scene, regions={"itr": scene.regions["itr"]})
    wavelet = replace(lesion, image_types={"Original": {}, "Wavelet": {}}, classes=("firstorder", "glcm"))
    counted = {"binCount": 16}
    return [
        Invariant(
            "image and mask moved by whole voxels",
            framed(wavelet, (20, 20, 20)),
            framed(wavelet, (23, 15, 24)),
        ),
        Invariant("grey values outside the region replaced", lesion, with_other_surroundings(lesion), 0.0),
        Invariant("order of the regions reversed", scene, reordered(scene), 0.0),
        Invariant("region alone instead of among others", scene, lesion, 0.0),
        Invariant("image cut to the region", lesion, cut_to_region(lesion), 0.0),
        Invariant("origin and direction of the image changed", lesion, turned_header(lesion), 0.0),
        *(
            Invariant(
                f"origin and direction of the image changed, voxels of 0.8 mm resampled to {side:g} mm",
                resampled(lesion, side),
                turned_header(resampled(lesion, side)),
            )
            for side in (1.0, 1.17)
        ),
        Invariant("whole numbers saved as another type", whole_numbers(lesion), as_short(lesion)),
        *(
            Invariant(
                f"mirrored along {name}",
                lesion,
                lesion.moved(lambda a, axis=axis: np.flip(a, axis)),
                factor=_except_planes,
            )
            for axis, name in enumerate("zyx")
        ),
        Invariant(
            "turned by 90 degrees in the plane",
            lesion,
            lesion.moved(lambda a: np.rot90(a, axes=(1, 2))),
            factor=_except_planes,
        ),
        Invariant(
            "axes exchanged", lesion, lesion.moved(lambda a: a.transpose(2, 0, 1)), factor=_except_planes
        ),
        Invariant(
            "voxels 1.5 times as large",
            lesion,
            replace(lesion, spacing=(1.5, 1.5, 1.5)),
            factor=_by_length(1.5),
        ),
        Invariant(
            "7 bin widths added to every grey value",
            whole_numbers(lesion),
            replace(whole_numbers(lesion), values=whole_numbers(lesion).values + 70),
            factor=_of(*TEXTURES),
        ),
        Invariant(
            "a constant added, fixed number of bins",
            replace(lesion, setting=counted),
            replace(lesion, values=lesion.values + 1000.5, setting=counted),
            factor=_of(*TEXTURES),
        ),
        Invariant(
            "grey values times 4, fixed number of bins",
            replace(lesion, setting=counted),
            replace(lesion, values=lesion.values * 4, setting=counted),
            factor=_by_contrast(4),
        ),
        Invariant(
            "grey values times 3 plus 50, normalised within the image",
            replace(lesion, setting={**counted, "normalize": True, "normalizeScale": 100}),
            replace(
                lesion,
                values=lesion.values * 3 + 50,
                setting={**counted, "normalize": True, "normalizeScale": 100},
            ),
        ),
        Invariant(
            "a constant added before wavelets and LoG",
            replace(lesion, image_types=FILTERED, classes=("firstorder",)),
            replace(lesion, values=lesion.values + 512, image_types=FILTERED, classes=("firstorder",)),
            # LoG yields single precision.
            tolerance=1e-6,
            factor=_but_for_the_low_pass,
        ),
    ]


FILTERED: Mapping[str, Any] = {"Wavelet": {}, "LoG": {"sigma": [2.0]}}


def resampled(scene: Scene, side_mm: float) -> Scene:
    """Have voxels of 0.8 mm resampled to others."""
    setting = {"binWidth": 10, "resampledPixelSpacing": [side_mm] * 3}
    return replace(scene, spacing=(0.8,) * 3, classes=("shape", "firstorder"), setting=setting)


def volume() -> Scene:
    """Return smooth noise with an ellipsoid, a ring around it and another region."""
    shape = (26, 34, 38)
    rng = np.random.default_rng(11)
    smooth = gaussian_filter(rng.normal(size=shape), 1.5)
    values = 120 + 30 * smooth / smooth.std() + rng.normal(0, 4, shape)
    z, y, x = np.ogrid[tuple(slice(n) for n in shape)]
    distance = ((z - 12) / 5) ** 2 + ((y - 16) / 7) ** 2 + ((x - 18) / 8.5) ** 2
    # A bay, so that no mirror image of the region is the region.
    tumour = (distance <= 1) & ~((x > 20) & (y > 17) & (z > 12))
    regions = {"itr": tumour, "ptr": (distance > 1) & (distance <= 1.8), "far": distance > 2.5}
    return Scene(values, regions)


def framed(scene: Scene, before: Sequence[int]) -> Scene:
    """Lay an image into a larger empty one, so many voxels from its corner."""
    widths = [(n, 44 - n) for n in before]
    return scene.moved(lambda values: np.pad(values, widths))


def with_other_surroundings(scene: Scene) -> Scene:
    """Replace what lies outside the region."""
    other = np.random.default_rng(12).uniform(-500, 500, scene.values.shape)
    return replace(scene, values=np.where(scene.regions["itr"], scene.values, other))


def reordered(scene: Scene) -> Scene:
    """Reverse the order of the regions."""
    return replace(scene, regions=dict(reversed(scene.regions.items())))


def cut_to_region(scene: Scene) -> Scene:
    """Cut the image to the box of the region."""
    box = RegionMask.of("itr", "tumour", scene.regions["itr"]).window.slices
    return scene.moved(lambda values: values[box])


def turned_header(scene: Scene) -> Scene:
    """Lie elsewhere and obliquely in the patient."""
    cos, sin = np.cos(0.4), np.sin(0.4)
    return replace(scene, origin=(-31.0, 12.5, 88.0), direction=(cos, -sin, 0, sin, cos, 0, 0, 0, 1))


def whole_numbers(scene: Scene) -> Scene:
    """Round the grey values."""
    return replace(scene, values=np.rint(scene.values))


def as_short(scene: Scene) -> Scene:
    """Save rounded grey values in 16 bits."""
    return replace(scene, values=np.rint(scene.values).astype(np.int16))


def _except_planes(column: Column) -> float | None:
    # These three name a plane of the image.
    return None if column[2].startswith("Maximum2DDiameter") else 1.0


def _of(*classes: str) -> Callable[[Column], float | None]:
    return lambda column: 1.0 if column[1] in classes else None


LENGTHS = {"SurfaceArea": 2, "MeshVolume": 3, "VoxelVolume": 3, "SurfaceVolumeRatio": -1}


def _by_length(scale: float) -> Callable[[Column], float]:
    def factor(column: Column) -> float:
        feature = column[2]
        if feature == "TotalEnergy":
            return scale**3
        if column[1] != "shape":
            return 1.0
        length = "Diameter" in feature or feature.endswith("Length")
        return scale ** LENGTHS.get(feature, int(length))

    return factor


UNCHANGED_BY_CONTRAST = ("Entropy", "Uniformity", "Skewness", "Kurtosis")
SQUARED_BY_CONTRAST = ("Variance", "Energy", "TotalEnergy")


def _by_contrast(scale: float) -> Callable[[Column], float]:
    def factor(column: Column) -> float:
        if column[1] != "firstorder" or column[2] in UNCHANGED_BY_CONTRAST:
            return 1.0
        return scale**2 if column[2] in SQUARED_BY_CONTRAST else scale

    return factor


def _but_for_the_low_pass(column: Column) -> float | None:
    # What depends on where bins begin, or cancels, is left out.
    kept = ("Mean", "Variance", "Minimum", "Maximum", "Median", "Range", "10Percentile", "90Percentile")
    return 1.0 if column[0] != "wavelet-LLL" and column[2] in kept else None
