"""What an image's frame says of the scanner and the export, and a mask's outline of who drew it.

A model that tells the outcome from the frame alone has found a shortcut, not the tumour; one that
tells it from the outline alone measures the reader. Both descriptions are for such a screen.
"""

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull
from skimage import measure

from annulus.imaging.boxes import spans

# A margin is black where nothing in it exceeds this share of the image's range.
BLACK_SHARE = 0.04

# Roughness is what rolling a ball of this share of the equivalent diameter inside and outside changes.
ROLLING_SHARE = 0.1

# So many pixels at the ceiling, and so many times the mean of the levels just below, are a pile-up.
PILE_UP_PIXELS = 10
PILE_UP_RATIO = 3.0
LEVELS_BELOW = 16


def frame_facts(image: np.ndarray, spacing: tuple[float, ...], spacing_known: bool) -> dict[str, float]:
    """Describe an image by what has nothing to do with tissue.

    ``image`` is (row, column) or (slice, row, column), ``spacing`` is along x, y (and z) in mm and counts
    when ``spacing_known``. The keys are the same for every image of as many dimensions:

    - ``width_px``, ``height_px``, (``slices``), and ``aspect``, width over height in pixels;
    - ``spacing_x_mm``, ``spacing_y_mm``, (``spacing_z_mm``), missing where unknown;
    - ``margin_left``, ``_right``, ``_top``, ``_bottom``: share of columns or rows that are black.

    Grey values are left out: a lesion shines into the tissue around it. What cannot be had is NaN. Raises
    ValueError when the image is not 2-D or 3-D or the spacing is of another dimension.
    """
    if image.ndim not in (2, 3) or not image.size:
        raise ValueError(f"an image of 2 or 3 dimensions is needed, not one of shape {image.shape}")
    if len(spacing) != image.ndim:
        raise ValueError(f"the spacing has {len(spacing)} numbers, the image {image.ndim} dimensions")
    axes = "xyz"[: image.ndim]
    lengths = dict(zip(axes, image.shape[::-1], strict=True))
    facts = {"width_px": float(lengths["x"]), "height_px": float(lengths["y"])}
    if image.ndim == 3:
        facts["slices"] = float(lengths["z"])
    facts["aspect"] = lengths["x"] / lengths["y"]
    facts |= {
        f"spacing_{axis}_mm": float(size) if spacing_known else np.nan
        for axis, size in zip(axes, spacing, strict=True)
    }
    return facts | _margins(image)


def mask_facts(mask: np.ndarray, spacing: tuple[float, ...], spacing_known: bool) -> dict[str, float]:
    """Describe the shape of a mask, and nothing of where it lies or of the image under it.

    ``mask`` is boolean (row, column) or (slice, row, column), ``spacing`` along x, y (and z).
    Lengths are in mm where ``spacing_known`` and else in pixels. In two dimensions:

    - ``area``, ``perimeter`` and ``equivalent_diameter``; ``compactness`` is 4 pi area / perimeter^2;
    - ``elongation``, the square root of the minor over the major eigenvalue of the coordinates'
      covariance (IBSI, arXiv:1612.07003, 3.1): 1 for a disc, b / a for an ellipse;
    - ``orientation_deg``, the angle between the major axis and the image's rows, 0 to 90;
    - ``solidity``, area over that of the convex hull; ``extent``, over that of the bounding box;
    - ``taller_than_wide``, the bounding box's height over its width;
    - ``components``, ``holes``;
    - ``roughness``, the share of the area that changes when a disc of a tenth of the equivalent
      diameter is rolled along the outline, inside and outside.

    In three, ``volume`` and ``surface`` stand for area and perimeter, ``compactness`` is the
    sphericity pi^(1/3) (6 volume)^(2/3) / surface, there is ``flatness`` (least over major) and
    ``deeper_than_wide``, and no orientation. An empty mask has 0 components and all else NaN.
    Raises ValueError for other dimensions.
    """
    if mask.ndim not in (2, 3) or len(spacing) != mask.ndim:
        raise ValueError(f"a mask of 2 or 3 dimensions is needed, not one of shape {mask.shape}")
    step = np.asarray(spacing[::-1] if spacing_known else (1.0,) * mask.ndim, dtype=float)
    names = _MASK_FACTS[mask.ndim]
    if not mask.any():
        return dict.fromkeys(names, np.nan) | {"components": 0.0}
    inside = mask[spans(mask)].astype(bool)
    size = float(inside.sum()) * float(np.prod(step))
    diameter = _equivalent_diameter(size, mask.ndim)
    edge, hull = _outline(inside, step)
    box = np.array(inside.shape) * step
    facts = {
        ("area" if mask.ndim == 2 else "volume"): size,
        ("perimeter" if mask.ndim == 2 else "surface"): edge,
        "equivalent_diameter": diameter,
        "compactness": _compactness(size, edge, mask.ndim),
        **_axes(inside, step),
        # The hull of a rounded corner is a little smaller than the pixels.
        "solidity": min(1.0, size / hull),
        "extent": size / float(np.prod(box)),
        "taller_than_wide": float(box[-2] / box[-1]),
        "components": float(ndimage.label(inside, np.ones((3,) * mask.ndim))[1]),
        "holes": float(ndimage.label(ndimage.binary_fill_holes(inside) & ~inside)[1]),
        "roughness": _roughness(inside, step, ROLLING_SHARE * diameter) * float(np.prod(step)) / size,
    }
    if mask.ndim == 3:
        facts["deeper_than_wide"] = float(box[0] / box[-1])
    return {name: facts[name] for name in names}


def saturated_share(image: np.ndarray, region: np.ndarray) -> float:
    """Return the share of a region's pixels whose grey value was cut off at the image's ceiling.

    The ceiling is the image's largest value, and counts as one only where values pile up on it: at
    least 10 pixels, and more than three times as many as the 16 grey levels below have on average.
    Without a pile-up the share is 0, without finite pixels in the region NaN. Raises ValueError
    when the shapes differ.
    """
    if image.shape != region.shape:
        raise ValueError(f"the image is of shape {image.shape}, the region of shape {region.shape}")
    inside = image[region.astype(bool)]
    inside = inside[np.isfinite(inside)]
    if not inside.size:
        return float("nan")
    # Sorting out the grey levels below takes long in a volume, and most regions do not reach the ceiling.
    if inside.max() < np.max(image, where=np.isfinite(image), initial=inside.max()):
        return 0.0
    finite = image[np.isfinite(image)]
    low, ceiling = float(finite.min()), float(finite.max())
    _, counts = np.unique(finite[finite >= ceiling - (ceiling - low) / 4], return_counts=True)
    below = counts[-1 - LEVELS_BELOW : -1]
    if not below.size or counts[-1] < PILE_UP_PIXELS or counts[-1] <= PILE_UP_RATIO * below.mean():
        return 0.0
    return float((inside == ceiling).mean())


_MASK_FACTS = {
    2: (
        "area", "perimeter", "equivalent_diameter", "compactness", "elongation", "orientation_deg",
        "solidity", "extent", "taller_than_wide", "components", "holes", "roughness",
    ),
    3: (
        "volume", "surface", "equivalent_diameter", "compactness", "elongation", "flatness",
        "solidity", "extent", "taller_than_wide", "deeper_than_wide", "components", "holes", "roughness",
    ),
}  # fmt: skip


def _margins(image: np.ndarray) -> dict[str, float]:
    flat: np.ndarray = image.max(axis=0) if image.ndim == 3 else image
    flat = np.nan_to_num(flat.astype(np.float32), posinf=0.0, neginf=0.0)
    low, high = float(np.nan_to_num(image.min())), float(flat.max())
    lit: np.ndarray = flat > low + BLACK_SHARE * (high - low)
    columns, rows = np.logical_or.reduce(lit, axis=0), np.logical_or.reduce(lit, axis=1)
    return {
        "margin_left": _leading(columns),
        "margin_right": _leading(columns[::-1]),
        "margin_top": _leading(rows),
        "margin_bottom": _leading(rows[::-1]),
    }


def _leading(lit: np.ndarray) -> float:
    """Return the share of places before the first that is lit; all of them where none is."""
    return float(np.argmax(lit)) / lit.size if lit.any() else 1.0


def _equivalent_diameter(size: float, dimension: int) -> float:
    if dimension == 2:
        return 2.0 * float(np.sqrt(size / np.pi))
    return 2.0 * float(np.cbrt(3.0 * size / (4.0 * np.pi)))


def _compactness(size: float, edge: float, dimension: int) -> float:
    if dimension == 2:
        return float(4.0 * np.pi * size / edge**2)
    return float(np.cbrt(np.pi) * np.cbrt(6.0 * size) ** 2 / edge)


def _outline(inside: np.ndarray, step: np.ndarray) -> tuple[float, float]:
    """Return the perimeter or surface, and the area or volume of its convex hull.

    The mask is blurred by one pixel first: the outline of its pixels is a staircase, whose length
    has little to do with that of the outline drawn.
    """
    blurred = ndimage.gaussian_filter(np.pad(inside, 4).astype(np.float32), 1.0)
    # A mask of a few pixels blurs to below one half.
    level = min(0.5, 0.5 * float(blurred.max()))
    if inside.ndim == 3:
        vertices, faces, _, _ = measure.marching_cubes(blurred, level, spacing=tuple(step))  # type: ignore[no-untyped-call]
        edge = float(measure.mesh_surface_area(vertices, faces))  # type: ignore[no-untyped-call]
        return edge, float(ConvexHull(vertices).volume)
    contours = [contour * step for contour in measure.find_contours(blurred, level)]  # type: ignore[no-untyped-call]
    edge = float(sum(np.hypot(*np.diff(contour, axis=0).T).sum() for contour in contours))
    return edge, float(ConvexHull(np.concatenate(contours)).volume)


def _axes(inside: np.ndarray, step: np.ndarray) -> dict[str, float]:
    places = np.argwhere(inside) * step
    # A pixel is a square, not a point: its own second moment is that of a square.
    covariance = np.atleast_2d(np.cov(places.T, bias=True)) if len(places) > 1 else np.zeros((step.size,) * 2)
    values, vectors = np.linalg.eigh(covariance + np.diag(step**2) / 12.0)
    if inside.ndim == 3:
        return {
            "elongation": float(np.sqrt(values[1] / values[2])),
            "flatness": float(np.sqrt(values[0] / values[2])),
        }
    elongation = float(np.sqrt(values[0] / values[1]))
    row, column = np.abs(vectors[:, 1])
    # A disc and a square have no major axis.
    orientation = float(np.degrees(np.arctan2(row, column))) if elongation < 1.0 - 1e-9 else np.nan
    return {"elongation": elongation, "orientation_deg": orientation}


def _roughness(inside: np.ndarray, step: np.ndarray, radius: float) -> float:
    """Count the pixels that closing and then opening by a ball of ``radius`` changes."""
    mask = np.pad(inside, [(int(np.ceil(radius / size)) + 2,) * 2 for size in step])
    closed = ~_grown(~_grown(mask, radius, step), radius, step)
    opened = _grown(~_grown(~closed, radius, step), radius, step)
    return float((opened != mask).sum())


def _grown(mask: np.ndarray, radius: float, step: np.ndarray) -> np.ndarray:
    if not mask.any():
        return mask
    grown: np.ndarray = ndimage.distance_transform_edt(~mask, sampling=step) <= radius
    return grown
