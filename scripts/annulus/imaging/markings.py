"""Callipers, captions and colour that were burned into a picture, found without reading any letter.

Marks are drawn: their strokes are thin, evenly grey and sharply brighter than what lies on either
side. Speckle, calcifications and fascia have at most two of these properties. Grey values are taken
as shares of the picture's own range, because exported pictures are often darker than their format
allows. The glyphs and limits were chosen on pictures of BUS-BRA and BUSI; tests/test_markings.py has
what is found on others of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

# Larger pictures are searched with coarser pixels: marks grow with the screen they are drawn for.
LONGEST_SIDE_PX = 1200

# The colour noise of JPEG stays below; the outline of a Doppler box may be as pale as 40 of 255.
COLOUR_CONTRAST = 24 / 255
# Patches of colour survive an opening of this width; outlines, crosses and digits do not.
COLOUR_AREA_WIDTH_PX = 15

STROKE_WINDOW_PX = 9
STROKE_CONTRAST = 0.06

# A cross's pixels are at least this share as bright as its faintest arm.
CROSS_BODY = 0.7
DOT_CONTRAST = 0.2
DOT_SIZE_PX = 4
DOTS_IN_A_LINE = 6
DOT_STEPS_PX = (3.0, 14.0)
DOT_SLACK_PX = 1.0

LETTER_WINDOW_PX = 31
LETTER_HEIGHTS_PX = (6, 40)
LETTER_CONTRASTS = (0.15, 0.3)
LETTER_BRIGHTNESS = 0.4
LETTER_UNEVENNESS = 0.15
# Gap to the next letter, and step in the baseline, as shares of the letters' height.
LETTER_GAP = 1.8
LETTER_STEP = 0.1
# Share of a text's strokes that are narrow along the row; of tissue it is below a third.
UPRIGHT_SHARE = 0.42
LETTERS_IN_A_ROW = 4
# Neighbours in small print touch and are counted by their width; so many prove a row of few parts.
SEPARATE_PARTS = 3
TOUCHING_LETTERS_IN_A_ROW = 6


@dataclass(frozen=True)
class Marks:
    """What was burned into a picture, as boolean masks of its rows and columns.

    ``colour`` is every coloured pixel and ``colour_area`` the part of it that lies in wide patches,
    such as Doppler or elastography; ``callipers`` are white crosses and dotted lines and outlines
    in colour; ``text`` is the strokes of rows of letters.
    """

    colour: np.ndarray
    colour_area: np.ndarray
    callipers: np.ndarray
    text: np.ndarray

    @property
    def anything(self) -> np.ndarray:
        """Every pixel that is not, or not only, tissue."""
        return self.colour | self.callipers | self.text

    @property
    def any_text(self) -> bool:
        """Whether a row of at least four letters was found."""
        return bool(self.text.any())


@dataclass(frozen=True)
class _Arm:
    """One arm of a cross: a direction, the distances along it, and how far beside it is dark."""

    row: int
    column: int
    distances: range
    beside: int

    def flanks(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Steps from a pixel of the arm to the tissue on its two sides."""
        if self.row and self.column:
            return (-self.row * self.beside, 0), (0, -self.column * self.beside)
        return (self.column * self.beside, self.row * self.beside), (
            -self.column * self.beside,
            -self.row * self.beside,
        )


@dataclass(frozen=True)
class _Glyph:
    """A cross as scanners draw it.

    Every arm is brighter than its flanks by ``contrast``, and the faintest arm less bright than the
    brightest by at most the share ``unevenness``.
    """

    arms: tuple[_Arm, ...]
    contrast: float
    unevenness: float = 0.35

    @property
    def reach(self) -> int:
        return max(arm.distances[-1] for arm in self.arms)

    def footprint(self) -> np.ndarray:
        """Where the strokes may lie, out to two pixels beyond the arms' ends."""
        half = self.reach + 2
        drawn = np.zeros((2 * half + 1, 2 * half + 1), dtype=bool)
        for arm in self.arms:
            for distance in range(half + 1):
                drawn[half + arm.row * distance, half + arm.column * distance] = True
        wide: np.ndarray = ndimage.maximum_filter(drawn, 2 * self.arms[0].beside - 1)
        return wide


_ALONG = ((0, 1), (0, -1), (1, 0), (-1, 0))
_ACROSS = ((1, 1), (1, -1), (-1, 1), (-1, -1))


def _arms(directions: Iterable[tuple[int, int]], first: int, last: int, beside: int) -> tuple[_Arm, ...]:
    return tuple(_Arm(row, column, range(first, last + 1), beside) for row, column in directions)


# The centre is left out, because some scanners leave it open. Stars are x with one bar through it.
_UPRIGHT = (
    _Glyph(_arms(_ALONG, 2, 4, 2), 0.12),
    _Glyph(_arms(_ALONG, 2, 6, 2), 0.12),
    _Glyph(_arms(_ALONG, 2, 6, 3), 0.13),
    _Glyph(_arms(_ALONG, 2, 9, 4), 0.13),
)
_OBLIQUE = (
    _Glyph(_arms(_ACROSS, 2, 5, 2), 0.12),
    _Glyph(_arms(_ACROSS, 3, 6, 3), 0.14),
    _Glyph(_arms(_ACROSS, 4, 5, 2) + _arms(_ALONG[2:], 3, 5, 2), 0.07, 0.45),
    _Glyph(_arms(_ACROSS, 4, 5, 2) + _arms(_ALONG[:2], 3, 5, 2), 0.07, 0.45),
)


def burned_in(pixels: np.ndarray) -> Marks:
    """Find callipers, captions and colour in one picture.

    ``pixels`` is (row, column), or (row, column, channel) with 3 or 4 channels of which a fourth is
    opacity. In a volume nothing is looked for, and the masks are empty. Raises ValueError for
    anything else.
    """
    if pixels.ndim == 3 and pixels.shape[-1] not in (3, 4):
        nothing = np.zeros(pixels.shape, dtype=bool)
        return Marks(nothing, nothing, nothing, nothing)
    if pixels.ndim not in (2, 3):
        raise ValueError(f"a picture of 2 dimensions, or 3 with colour, is needed, not of {pixels.ndim}")
    step = max(1, -(-max(pixels.shape[:2]) // LONGEST_SIDE_PX))
    channels = [_coarser(pixels[..., channel], step) for channel in range(3)] if pixels.ndim == 3 else []
    # A red or blue letter is dark in luminance and bright in its own channel.
    brightest = np.maximum(np.maximum(*channels[:2]), channels[2]) if channels else _coarser(pixels, step)
    coloured, area = _colour(channels, brightest)
    grey = _unit_range(brightest)
    strokes = _narrow(grey, (STROKE_WINDOW_PX, STROKE_WINDOW_PX))
    text, rows = _letters(grey, strokes)
    captions = ndimage.maximum_filter(rows, 7)
    drawn = (_crosses(grey, strokes) | _dotted_lines(strokes)) & ~captions & ~area
    masks = (coloured, area, drawn | (coloured & ~area & ~text), text & ~area)
    return Marks(*(_finer(mask, step, pixels.shape[:2]) for mask in masks))


def crossing(marks: Marks, region: np.ndarray, margin_px: int) -> int:
    """Count the pixels of marks that lie inside a region or within ``margin_px`` of it.

    ``region`` is boolean (row, column); distances are those between pixel centres.
    """
    anything = marks.anything
    if not region.any() or not anything.any():
        return 0
    (box,) = ndimage.find_objects(region.astype(bool).astype(np.uint8))
    around = tuple(slice(max(0, side.start - margin_px), side.stop + margin_px) for side in box)
    near = ndimage.distance_transform_edt(~region[around].astype(bool)) <= margin_px
    return int((anything[around] & near).sum())


def has_caption(marks: Marks) -> bool:
    """Say whether the picture has a row of at least four letters, which may be a name or a date.

    Nothing is read: most captions only name the side or the depth. Rows are missed whose letters
    stand out by less than a seventh of the grey range, are lower than 6 pixels or higher than 40,
    or run slanted or upright; a picture without a finding is not proven to be anonymous.
    """
    return marks.any_text


def _coarser(values: np.ndarray, step: int) -> np.ndarray:
    finite = np.nan_to_num(values.astype(np.float32), posinf=0.0, neginf=0.0)
    if step == 1:
        return finite
    rows, columns = (length - length % step for length in finite.shape)
    blocks = finite[:rows, :columns].reshape(rows // step, step, columns // step, step)
    coarse: np.ndarray = blocks.mean(axis=(1, 3))
    return coarse


def _finer(mask: np.ndarray, step: int, shape: tuple[int, ...]) -> np.ndarray:
    if step == 1:
        return mask
    fine = mask.repeat(step, axis=0).repeat(step, axis=1)
    return np.pad(fine, [(0, length - have) for length, have in zip(shape, fine.shape, strict=True)])


def _unit_range(values: np.ndarray) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _narrow(grey: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """Return how far each pixel stands out of what is wider than ``window`` (white top-hat)."""
    opened = grey
    for extreme in (np.minimum, np.maximum):
        for axis, width in enumerate(window):
            opened = _running(opened, width, axis, extreme)
    return grey - opened


def _running(values: np.ndarray, width: int, axis: int, extreme: np.ufunc) -> np.ndarray:
    """Return the extreme of the odd ``width`` around each pixel, by doubling; edges are repeated."""
    margin = [(0, 0), (0, 0)]
    margin[axis] = (width // 2, width // 2)
    along = np.moveaxis(np.pad(values, margin, mode="edge"), axis, 0)
    have = 1
    while have < width:
        step = min(have, width - have)
        along = extreme(along[:-step], along[step:])
        have += step
    return np.moveaxis(along, 0, axis)


def _colour(channels: list[np.ndarray], brightest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return all coloured pixels, and those in patches."""
    nothing = np.zeros(brightest.shape, dtype=bool)
    if not channels:
        return nothing, nothing
    contrast = COLOUR_CONTRAST * (float(brightest.max()) or 1.0)
    coloured = brightest - np.minimum(np.minimum(*channels[:2]), channels[2]) > contrast
    if coloured.mean() > 0.5:
        # The whole picture is tinted, as some scanners show tissue: only what differs counts.
        apart = np.stack(channels, axis=-1) - _tint(channels, brightest)
        coloured = np.ptp(apart, axis=-1) > contrast
    if not coloured.any():
        return nothing, nothing
    closed = ndimage.maximum_filter(coloured, 3)
    core = ndimage.maximum_filter(
        ndimage.minimum_filter(closed, COLOUR_AREA_WIDTH_PX), COLOUR_AREA_WIDTH_PX + 4
    )
    return coloured, coloured & core


def _tint(channels: list[np.ndarray], brightest: np.ndarray) -> np.ndarray:
    """Return each pixel as it would be in the picture's usual hue."""
    lit = brightest > 0.1 * brightest.max()
    hue = [np.median(values[lit] / brightest[lit]) for values in channels]
    tint: np.ndarray = np.multiply.outer(brightest, np.asarray(hue, dtype=np.float32))
    return tint


def _crosses(grey: np.ndarray, strokes: np.ndarray) -> np.ndarray:
    """Return the strokes of crosses, which may be cut off by the picture's edge if upright."""
    room = max(glyph.reach for glyph in _UPRIGHT + _OBLIQUE)
    margin = room + 4
    padded = np.pad(grey, margin, mode="edge")
    narrow = np.pad(strokes > STROKE_CONTRAST, margin, mode="edge")
    found = np.zeros(padded.shape, dtype=bool)
    # Of makers' logos, which stand in corners, parts look like oblique crosses.
    for directions, glyphs, away in ((_ALONG, _UPRIGHT, margin), (_ACROSS, _OBLIQUE, margin + room)):
        centres = _possible_centres(narrow, directions, away)
        for glyph in glyphs:
            footprint = glyph.footprint()
            near = footprint.shape[0] // 2
            for centre, level in zip(*_matching(padded, centres, glyph), strict=True):
                row, column = divmod(int(centre), padded.shape[1])
                box = slice(row - near, row + near + 1), slice(column - near, column + near + 1)
                found[box] |= footprint & (padded[box] > CROSS_BODY * level)
    inside: np.ndarray = (found & narrow)[margin:-margin, margin:-margin]
    return inside


def _possible_centres(narrow: np.ndarray, directions: Iterable[tuple[int, int]], away: int) -> np.ndarray:
    """Return the flat places whose pixels 3 and 4 steps off are strokes along every direction.

    Places nearer to the edge than ``away`` are left out.
    """
    rows, columns = (max(0, length - 2 * away) for length in narrow.shape)
    possible = np.ones((rows, columns), dtype=bool)
    for row, column in directions:
        for distance in (3, 4):
            top, left = away + row * distance, away + column * distance
            possible &= narrow[top : top + rows, left : left + columns]
    at = np.argwhere(possible) + away
    flat: np.ndarray = at[:, 0] * narrow.shape[1] + at[:, 1]
    return flat


def _matching(grey: np.ndarray, centres: np.ndarray, glyph: _Glyph) -> tuple[np.ndarray, np.ndarray]:
    """Return those of the flat places ``centres`` where the glyph is drawn, and its faintest arm."""
    flat, columns = grey.ravel(), grey.shape[1]
    low = np.full(centres.size, np.inf)
    high = np.full(centres.size, -np.inf)
    for arm in glyph.arms:
        at = centres[:, None] + (arm.row * columns + arm.column) * np.array(arm.distances)
        one, other = (row * columns + column for row, column in arm.flanks())
        level = flat[at].mean(axis=1)
        beside = np.maximum(flat[at + one], flat[at + other]).mean(axis=1)
        kept = level - beside > glyph.contrast
        centres, level = centres[kept], level[kept]
        low, high = np.minimum(low[kept], level), np.maximum(high[kept], level)
    even = high - low < glyph.unevenness * high
    return centres[even], low[even]


def _dotted_lines(strokes: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(strokes > DOT_CONTRAST, structure=np.ones((3, 3)))
    sizes = np.array([[part.stop - part.start for part in box] for box in ndimage.find_objects(labels)])
    dots = np.flatnonzero(sizes.max(axis=1) <= DOT_SIZE_PX) + 1 if count else np.array([], dtype=int)
    if dots.size < DOTS_IN_A_LINE:
        return np.zeros(strokes.shape, dtype=bool)
    places = _centres_of_mass(strokes, labels, count)[dots]
    in_line = np.zeros(count + 1, dtype=bool)
    in_line[dots[_in_even_lines(places)]] = True
    return in_line[labels]


def _centres_of_mass(weights: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    at = np.flatnonzero(labels)
    label, weight = labels.ravel()[at], weights.ravel()[at]
    total = np.bincount(label, weight, count + 1)
    sums = [np.bincount(label, weight * axis, count + 1) for axis in np.divmod(at, labels.shape[1])]
    return np.column_stack(sums) / np.maximum(total, 1e-12)[:, None]


def _in_even_lines(places: np.ndarray) -> np.ndarray:
    """Return the numbers of the dots (row, column) that lie on straight lines of even steps."""
    tree = cKDTree(places)
    pairs = tree.query_pairs(DOT_STEPS_PX[1], output_type="ndarray")
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    steps = places[pairs[:, 1]] - places[pairs[:, 0]]
    apart = np.hypot(*steps.T) >= DOT_STEPS_PX[0]
    pairs, steps = pairs[apart], steps[apart]
    if not len(pairs):
        return np.array([], dtype=int)
    _, third = tree.query(places[pairs[:, 1]] + steps, distance_upper_bound=2 * DOT_SLACK_PX)
    lines = _walks(pairs, third, len(places))
    first, last = places[lines[:, :1]], places[lines[:, -1:]]
    even = first + (last - first) * np.linspace(0, 1, DOTS_IN_A_LINE)[None, :, None]
    off = np.abs(places[lines] - even).max(axis=(1, 2))
    return np.unique(lines[off <= DOT_SLACK_PX])


def _walks(pairs: np.ndarray, third: np.ndarray, count: int) -> np.ndarray:
    """Return every sequence of dots in which each pair is followed by its third dot.

    ``third`` is the dot that follows each of ``pairs``, or ``count`` where there is none.
    """
    codes = pairs[:, 0] * (count + 1) + pairs[:, 1]
    order = np.argsort(codes)
    wanted = pairs[:, 1] * (count + 1) + third
    at = np.minimum(np.searchsorted(codes, wanted, sorter=order), len(codes) - 1)
    onward = np.append(np.where(codes[order[at]] == wanted, order[at], len(codes)), len(codes))
    last = np.append(pairs[:, 1], -1)
    place = np.arange(len(pairs))
    walk = [pairs[:, 0], pairs[:, 1]]
    for _ in range(DOTS_IN_A_LINE - 2):
        place = onward[place]
        walk.append(last[place])
    whole: np.ndarray = np.column_stack(walk)[walk[-1] >= 0]
    return whole


def _letters(grey: np.ndarray, strokes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the strokes of rows of letters, and the boxes of these rows.

    Letters are narrower than the window along the row; fascia is not.
    """
    narrow = np.minimum(strokes, _narrow(grey, (1, LETTER_WINDOW_PX)))
    across = _narrow(grey, (1, STROKE_WINDOW_PX))
    found = np.zeros(grey.shape, dtype=bool)
    boxes = np.zeros(grey.shape, dtype=bool)
    for contrast in LETTER_CONTRASTS:
        bright = (narrow > contrast) & (grey > LETTER_BRIGHTNESS)
        labels, count = ndimage.label(bright, structure=np.ones((3, 3)))
        in_row = np.zeros(count + 1, dtype=bool)
        for members, box in _rows(labels, count, grey, across > contrast):
            in_row[members] = True
            boxes[box] = True
        found |= in_row[labels]
    return found, boxes


def _rows(
    labels: np.ndarray, count: int, grey: np.ndarray, upright: np.ndarray
) -> list[tuple[np.ndarray, tuple[slice, slice]]]:
    """Return, of each row of components on one baseline, the labels and the box.

    ``upright`` marks what is narrow along the row; most of a text's strokes are, little of tissue.
    """
    sides = [[end for side in box for end in (side.start, side.stop)] for box in ndimage.find_objects(labels)]
    at = np.flatnonzero(labels)
    label = labels.ravel()[at]
    sums = [np.bincount(label, values.ravel()[at], count + 1)[1:] for values in (labels > 0, grey, upright)]
    box = np.array(sides, dtype=int).reshape(count, 4)
    letters = np.flatnonzero(_letter_shaped(box, sums[0]))
    if letters.size < SEPARATE_PARTS:
        return []
    box, (area, brightness, slender) = box[letters], (values[letters] for values in sums)
    _, row = connected_components(_neighbours(box, brightness / area), directed=False)
    width, height = box[:, 3] - box[:, 2], box[:, 1] - box[:, 0]
    parts = np.bincount(row)
    counted = np.bincount(row, np.maximum(1, np.round(width / (0.9 * height))))
    enough = (parts >= LETTERS_IN_A_ROW) | (
        (parts >= SEPARATE_PARTS) & (counted >= TOUCHING_LETTERS_IN_A_ROW)
    )
    is_text = enough & (np.bincount(row, slender) >= UPRIGHT_SHARE * np.bincount(row, area))
    rows = [np.flatnonzero(row == number) for number in np.flatnonzero(is_text)]
    return [(letters[some] + 1, _hull(box[some])) for some in rows]


def _hull(box: np.ndarray) -> tuple[slice, slice]:
    top, bottom, left, right = box.T
    return slice(top.min(), bottom.max()), slice(left.min(), right.max())


def _letter_shaped(box: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Say which components (top, bottom, left, right) may be a letter or a few that touch."""
    height, width = box[:, 1] - box[:, 0], box[:, 3] - box[:, 2]
    fill = area / (height * width)
    low, high = LETTER_HEIGHTS_PX
    solid = (fill >= 0.95) & (width > 0.35 * height)
    fits: np.ndarray = (height >= low) & (height <= high) & (width <= 12 * height) & (fill > 0.2) & ~solid
    return fits


def _neighbours(box: np.ndarray, level: np.ndarray) -> coo_array:
    """Return, as a graph, which component is the next letter to the right of which."""
    top, bottom, left, right = box.T
    farthest = LETTER_GAP * LETTER_HEIGHTS_PX[1]
    # Stretched, so that one reach serves for the gap and for the much smaller step in baseline.
    baseline = bottom * farthest / LETTER_STEP / LETTER_HEIGHTS_PX[1]
    ends, starts = cKDTree(np.column_stack([right, baseline])), cKDTree(np.column_stack([left, baseline]))
    pairs = ends.sparse_distance_matrix(starts, farthest, p=np.inf, output_type="ndarray")
    one, other = pairs["i"], pairs["j"]
    height = bottom - top
    taller, lower = np.maximum(height[one], height[other]), np.minimum(height[one], height[other])
    gap = left[other] - right[one]
    fits = (
        (gap >= -1)
        & (gap <= LETTER_GAP * taller)
        & (np.abs(bottom[one] - bottom[other]) <= np.maximum(1, LETTER_STEP * taller))
        & (lower >= 0.6 * taller)
        & (np.abs(level[one] - level[other]) <= LETTER_UNEVENNESS)
    )
    one, other = one[fits], other[fits]
    return coo_array((np.ones(one.size), (one, other)), shape=(len(box), len(box)))
