"""SYNTHETIC B-mode ultrasound: tissue in layers, what lies in it, and how a scanner shows both.

Tissue is a map of the grey level at which it would appear on average. What a scanner makes of it: fully
developed speckle (complex scatterers under an anisotropic point spread, of which the envelope is shown),
attenuation that time-gain compensation does not wholly undo, electronic noise that the compensation raises
with depth, and a logarithmic scale of 60 dB in 8 bit (Burckhardt, IEEE Trans Sonics Ultrason 1978;25:1-6;
Wagner et al., ibid. 1983;30:156-163).
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, gaussian_filter1d

from annulus.simulation.noise import power_law_texture, unit_within

DYNAMIC_RANGE_DB = 60.0
GREY_PER_DB = 255.0 / DYNAMIC_RANGE_DB
# The mean of a Rayleigh envelope in dB lies below its root mean square by this much.
RAYLEIGH_OFFSET_DB = 2.51
# Standard deviations of the point spread, along and across the beam.
POINT_SPREAD_MM = (0.15, 0.26)

SKIN, FAT, GLAND, FASCIA, MUSCLE = 185.0, 120.0, 150.0, 190.0, 100.0


@dataclass(frozen=True)
class Scanner:
    """What differs between scanners: overall gain in dB, noise in dB above the usual one."""

    gain_db: float = 0.0
    noise_db: float = 0.0


SCANNERS = {"center_1": Scanner(), "center_2": Scanner(gain_db=2.5, noise_db=6.0)}


@dataclass(frozen=True)
class Grid:
    """The pixels of a scan, depth along the rows; all lengths in mm."""

    rows: int
    columns: int
    spacing_mm: float

    @property
    def depth(self) -> np.ndarray:
        """Depth of every row in mm, as a column."""
        return np.arange(self.rows)[:, None] * self.spacing_mm

    @property
    def across(self) -> np.ndarray:
        """Place of every column in mm, as a row."""
        return np.arange(self.columns)[None, :] * self.spacing_mm

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, self.columns

    @property
    def height_mm(self) -> float:
        """Depth of the scan."""
        return self.rows * self.spacing_mm

    @property
    def width_mm(self) -> float:
        """Width of the scan."""
        return self.columns * self.spacing_mm

    def blur(self, values: np.ndarray, sigma_mm: float) -> np.ndarray:
        """Blur by a Gaussian in mm."""
        blurred: np.ndarray = gaussian_filter(values, sigma_mm / self.spacing_mm, truncate=3.0)
        return blurred


@dataclass(frozen=True)
class Outline:
    """A closed outline: an ellipse, turned by ``turn`` radians, with waves of a given amplitude.

    ``irregularity`` is the standard deviation of the waves as a share of the radius. Whatever the waves, the
    largest diameter is ``long_mm``.
    """

    row_mm: float
    column_mm: float
    long_mm: float
    short_mm: float
    turn: float = 0.0
    irregularity: float = 0.0

    def polar(self, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
        """Return every pixel's distance from the centre, 1 on the ellipse, and angle."""
        y, x = grid.depth - self.row_mm, grid.across - self.column_mm
        along = (x * np.cos(self.turn) + y * np.sin(self.turn)) / (self.long_mm / 2)
        over = (y * np.cos(self.turn) - x * np.sin(self.turn)) / (self.short_mm / 2)
        return np.hypot(along, over), np.arctan2(over, along)

    def draw(self, rng: np.random.Generator, grid: Grid) -> np.ndarray:
        """Return the mask, with random waves of 3 to 12 per turn."""
        distance, angle = self.polar(grid)
        modes = np.arange(3, 13)
        weights = rng.standard_normal(len(modes)) / np.sqrt(modes)
        weights *= self.irregularity / np.sqrt((weights**2).sum() / 2)
        # Evaluated on a circle and looked up: ten cosines of every pixel would take longer than all else.
        circle = np.linspace(-np.pi, np.pi, 721)
        phases = rng.uniform(0.0, 2 * np.pi, len(modes))
        edge = 1.0 + (weights[:, None] * np.cos(modes[:, None] * circle + phases[:, None])).sum(axis=0)
        edge *= self.long_mm / self._largest_diameter(edge, circle)
        inside: np.ndarray = distance <= np.interp(angle, circle, edge)
        return inside

    def _largest_diameter(self, edge: np.ndarray, circle: np.ndarray) -> float:
        points = 0.5 * edge * (self.long_mm * np.cos(circle) + 1j * self.short_mm * np.sin(circle))
        some = points[::6]
        return float(np.abs(some[:, None] - some[None, :]).max())


def breast_layers(rng: np.random.Generator, grid: Grid) -> np.ndarray:
    """Return grey levels of skin, fat with ligaments, gland, fat behind it and pectoral muscle."""
    height = grid.height_mm
    skin = 1.4 + 0.3 * _boundary(rng, grid)
    gland = rng.uniform(0.14, 0.24) * height + 1.8 * _boundary(rng, grid)
    behind = rng.uniform(0.62, 0.74) * height + 1.5 * _boundary(rng, grid)
    muscle = behind + rng.uniform(1.5, 4.0) + 0.6 * _boundary(rng, grid)
    depth = grid.depth
    # Lobules and ducts run along the breast.
    lobules = _smooth(rng, grid, (0.7, 2.2))
    level = np.full(grid.shape, FAT) + _ligaments(rng, grid)
    level = np.where(depth > gland, GLAND + 16.0 * lobules, level)
    level = np.where(depth > behind, FAT - 5.0, level)
    level = np.where(depth > muscle, MUSCLE + 9.0 * _smooth(rng, grid, (0.6, 6.0)), level)
    level = np.where(depth < skin, SKIN, level)
    for edge, width in ((muscle, 0.35), (skin, 0.2)):
        level = np.where(np.abs(depth - edge) < width, FASCIA, level)
    return level


def axilla_layers(rng: np.random.Generator, grid: Grid) -> np.ndarray:
    """Return grey levels of skin, axillary fat with septa, and the muscle beneath."""
    height = grid.height_mm
    skin = 1.3 + 0.2 * _boundary(rng, grid)
    muscle = rng.uniform(0.84, 0.93) * height + 0.9 * _boundary(rng, grid)
    depth = grid.depth
    level = FAT + 9.0 * _smooth(rng, grid, (0.5, 1.6)) + _ligaments(rng, grid)
    level = np.where(depth > muscle, MUSCLE - 8.0 + 16.0 * _smooth(rng, grid, (0.2, 4.0)), level)
    level = np.where(depth < skin, SKIN, level)
    for edge, width in ((muscle, 0.3), (skin, 0.15)):
        level = np.where(np.abs(depth - edge) < width, FASCIA, level)
    return level


def embed(level: np.ndarray, mask: np.ndarray, inside: np.ndarray, grid: Grid, blur_mm: float) -> np.ndarray:
    """Put ``inside`` where the mask is, with a margin blurred by ``blur_mm``."""
    edge = grid.blur(mask.astype(float), blur_mm)
    return level * (1.0 - edge) + inside * edge


def texture_within(rng: np.random.Generator, mask: np.ndarray, grid: Grid, length_mm: float) -> np.ndarray:
    """Return a smooth texture of mean 0 and standard deviation 1 within the mask."""
    return unit_within(grid.blur(rng.standard_normal(grid.shape), length_mm), mask)


def posterior_db(mask: np.ndarray, grid: Grid, db_per_mm: float) -> np.ndarray:
    """Return the dB lost behind a lesion, by the path through it; negative ``db_per_mm`` enhances."""
    path = np.cumsum(mask, axis=0) * grid.spacing_mm
    # No echo is lost within the lesion itself that the operator would not have compensated.
    shadow: np.ndarray = gaussian_filter1d(np.where(mask, 0.0, path), 1.0 / grid.spacing_mm, axis=1)
    return np.minimum(np.maximum(db_per_mm * shadow, -8.0), 22.0)


def calcifications(rng: np.random.Generator, mask: np.ndarray, grid: Grid, count: int) -> np.ndarray:
    """Return a mask of ``count`` dots of 0.3 to 0.5 mm well inside a lesion."""
    depth = distance_transform_edt(mask)
    places = np.argwhere(depth > 0.4 * depth.max())
    dots = np.zeros(grid.shape, dtype=bool)
    for row, column in places[rng.integers(len(places), size=count)] * grid.spacing_mm:
        radius = rng.uniform(0.15, 0.25)
        dots |= np.hypot(grid.depth - row, grid.across - column) <= max(radius, 0.6 * grid.spacing_mm)
    return dots


def convergence_lines(rng: np.random.Generator, mask: np.ndarray, outline: Outline, grid: Grid) -> np.ndarray:
    """Return the strength, 0 to 1, of 6 to 14 lines that run radially towards a lesion, outside it."""
    distance, angle = outline.polar(grid)
    outside = np.maximum(distance - 1.0, 0.0) * outline.short_mm / 2
    strength = np.zeros(grid.shape)
    for direction in rng.uniform(-np.pi, np.pi, int(rng.integers(6, 15))):
        turned = np.abs((angle - direction + np.pi) % (2 * np.pi) - np.pi)
        width = turned * distance * outline.short_mm / 2
        length = rng.uniform(4.0, 9.0)
        strength = np.maximum(strength, np.exp(-0.5 * (width / 0.3) ** 2 - outside / length))
    return np.where(mask, 0.0, strength)


def vessels(rng: np.random.Generator, outline: Outline, grid: Grid, punctate: int, long: int) -> np.ndarray:
    """Return a colour-Doppler map: separate dots, and vessels at least as long as the lesion's radius.

    Each has its sector of the lesion, so that an observer who counts them finds as many.
    """
    total = punctate + long
    distance, angle = outline.polar(grid)
    flow = np.zeros(grid.shape, dtype=bool)
    first = rng.uniform(0.0, 2 * np.pi)
    for number in range(total):
        direction = (first + 2 * np.pi * number / total) % (2 * np.pi) - np.pi
        turned = np.abs((angle - direction + np.pi) % (2 * np.pi) - np.pi)
        width = turned * distance * outline.short_mm / 2
        reach = (0.35, 1.45) if number < long else (0.62, 0.74)
        flow |= (width < 0.5) & (distance > reach[0]) & (distance < reach[1])
    return flow


def b_mode(
    rng: np.random.Generator, level: np.ndarray, lost_db: np.ndarray | float, grid: Grid, scanner: Scanner
) -> np.ndarray:
    """Show tissue as a scanner does: grey values 0 to 255, float.

    ``level`` is the mean grey level of the tissue, ``lost_db`` what is lost on the way there and back.
    """
    depth_cm = grid.depth / 10.0
    residual = rng.uniform(-0.4, 1.3) * depth_cm
    focus = 1.2 * np.exp(-0.5 * ((grid.depth - 0.45 * grid.height_mm) / (0.25 * grid.height_mm)) ** 2)
    decibel = level / GREY_PER_DB + RAYLEIGH_OFFSET_DB - lost_db - residual + focus + rng.normal(0.0, 0.7)
    echo = 10.0 ** (decibel / 20.0) * _speckle(rng, grid)
    noise_db = -4.0 + scanner.noise_db + 14.0 * grid.depth / grid.height_mm
    # The receiver passes noise in the same band as echoes.
    noise = 10.0 ** (noise_db / 20.0) * _speckle(rng, grid)
    envelope = np.abs(echo + noise)
    shown = 20.0 * np.log10(np.maximum(envelope, 1e-6)) + scanner.gain_db
    return np.clip(shown * GREY_PER_DB, 0.0, 255.0)


def _speckle(rng: np.random.Generator, grid: Grid) -> np.ndarray:
    """Return complex speckle with a mean power of 1."""
    sigma = [size / grid.spacing_mm for size in POINT_SPREAD_MM]
    scatterers = _complex_normal(rng, grid)
    field = gaussian_filter(scatterers.real, sigma) + 1j * gaussian_filter(scatterers.imag, sigma)
    return field / np.sqrt(np.mean(np.abs(field) ** 2))


def _complex_normal(rng: np.random.Generator, grid: Grid) -> np.ndarray:
    parts = rng.standard_normal((2, *grid.shape)) / np.sqrt(2.0)
    joined: np.ndarray = parts[0] + 1j * parts[1]
    return joined


def _boundary(rng: np.random.Generator, grid: Grid) -> np.ndarray:
    """Return an undulation along the columns, standard deviation 1."""
    wave = gaussian_filter1d(rng.standard_normal(grid.columns + 160), 7.0 / grid.spacing_mm)
    cut = wave[80 : 80 + grid.columns]
    scaled: np.ndarray = (cut - wave.mean()) / wave.std()
    return scaled[None, :]


def _smooth(rng: np.random.Generator, grid: Grid, length_mm: tuple[float, float]) -> np.ndarray:
    """Return a texture of standard deviation 1 with lengths along depth and across, in mm."""
    texture = gaussian_filter(rng.standard_normal(grid.shape), [size / grid.spacing_mm for size in length_mm])
    scaled: np.ndarray = (texture - texture.mean()) / texture.std()
    return scaled


def _ligaments(rng: np.random.Generator, grid: Grid) -> np.ndarray:
    """Return thin bright septa, as crests of a slow texture: grey levels to add to fat."""
    texture = power_law_texture(rng, grid.shape, exponent=3.4)
    crest: np.ndarray = 42.0 * np.exp(-0.5 * (texture / 0.055) ** 2)
    return crest
