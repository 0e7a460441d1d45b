"""Kinetic maps of dynamic contrast-enhanced MRI, voxel by voxel, from a phase before contrast and two after.

The phases are called ``pre``, ``early`` (the peak phase, about 60 to 120 s after the injection) and
``late`` (the last phase, 4 min or later). They must lie on one grid and be in the scanner's own units:
register and resample the phases first, and derive the maps after.

A quotient with hardly anything below the line is noise, so a voxel has no value (NaN, never
infinity) where

- the phase it is divided by has less than a tenth of its median over the region (air, a void, a
  metal artefact), or
- for the signal enhancement ratio, the late phase is not above the phase before contrast by at
  least a twentieth of the latter's median over the region: what does not enhance has no ratio.

The region is the lesion, or the whole image where none is given.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite

import numpy as np
import SimpleITK as sitk

from annulus.errors import StudyError

# What a phase must have of its own median over the region before anything is divided by it.
MINIMUM_SIGNAL = 0.1

# Rise from pre to late, as a share of the median before contrast, below which there is no ratio.
MINIMUM_RISE = 0.05

# Change from the early to the late phase beyond which a curve is no plateau: 10 %, as radiologists
# type curves (Kuhl et al., Radiology 1999;211:101-110; BI-RADS, 5th edition).
PLATEAU = 0.10

CURVE_TYPES = {1: "persistent", 2: "plateau", 3: "washout"}

# Enhancement within 2 min of the injection: slow below 50 %, fast above 100 % (BI-RADS, 5th edition).
INITIAL_S = 120.0
SLOW, FAST = 0.5, 1.0


@dataclass(frozen=True)
class TimeCourse:
    """Curve of a lesion or a hot spot: its two changes, relative, and how a radiologist calls them."""

    initial_enhancement: float
    initial: str
    delayed_change: float
    delayed: str


@dataclass(frozen=True)
class KineticMap:
    """A map that can be asked for by name: what it needs and how it is computed.

    ``compute`` takes the phases of ``phases`` in that order, then the minutes between the first and
    the second where ``needs_times``, then the region.
    """

    name: str
    phases: tuple[str, ...]
    needs_times: bool
    unit: str
    formula: str
    compute: Callable[..., np.ndarray]


def early_enhancement(pre: np.ndarray, early: np.ndarray, region: np.ndarray | None = None) -> np.ndarray:
    """Relative enhancement of the early phase, (S_early - S_pre) / S_pre; 1 is a doubling.

    Arrays of one shape; ``region`` is boolean. Also called initial or percent enhancement (Kuhl et
    al., Radiology 1999;211:101-110). Raises StudyError where the region has no signal.
    """
    return _relative_change(pre, early, region, "pre")


def late_enhancement(pre: np.ndarray, late: np.ndarray, region: np.ndarray | None = None) -> np.ndarray:
    """Relative enhancement of the late phase, (S_late - S_pre) / S_pre; 1 is a doubling.

    Arrays of one shape; ``region`` is boolean. Raises StudyError where the region has no signal.
    """
    return _relative_change(pre, late, region, "pre")


def signal_enhancement_ratio(
    pre: np.ndarray, early: np.ndarray, late: np.ndarray, region: np.ndarray | None = None
) -> np.ndarray:
    """Signal enhancement ratio, (S_early - S_pre) / (S_late - S_pre); above 1 is washout.

    Arrays of one shape; ``region`` is boolean. Esserman, Hylton et al., Breast J 1999;5:13-21; some
    software prints its reciprocal under the same name. Non-enhancing tissue (necrosis) has no
    value, so a study that wants it as a habitat takes the late enhancement instead. Raises
    StudyError where the region has no signal.
    """
    _same_shape(pre, early, late)
    before = np.asarray(pre, dtype=float)
    rise = np.asarray(late, dtype=float) - before
    least = MINIMUM_RISE * _median(before, region, "pre")
    return _quotient(np.asarray(early, dtype=float) - before, rise, rise >= least)


def wash_in(
    pre: np.ndarray, early: np.ndarray, minutes: float, region: np.ndarray | None = None
) -> np.ndarray:
    """Early enhancement per minute from the phase before contrast to the early one, in 1/min.

    ``minutes`` lie between the two acquisitions, so that a wait before the injection counts; the
    slope is comparable between patients of one protocol only. Raises StudyError where the region
    has no signal.
    """
    return early_enhancement(pre, early, region) / minutes


def delayed_change(early: np.ndarray, late: np.ndarray, region: np.ndarray | None = None) -> np.ndarray:
    """Relative change from the early (peak) to the late phase, (S_late - S_early) / S_early.

    Arrays of one shape; ``region`` is boolean. Below zero is washout (Kuhl et al., Radiology
    1999;211:101-110). Raises StudyError where the region has no signal.
    """
    return _relative_change(early, late, region, "early")


def wash_out(
    early: np.ndarray, late: np.ndarray, minutes: float, region: np.ndarray | None = None
) -> np.ndarray:
    """Relative change per minute from the early (peak) to the late phase, in 1/min; below zero is washout.

    ``minutes`` lie between the two acquisitions. Raises StudyError where the region has no signal.
    """
    return delayed_change(early, late, region) / minutes


def curve_types(delayed: np.ndarray) -> np.ndarray:
    """Type each voxel's curve by its delayed change: 1 persistent, 2 plateau, 3 washout, 0 no value.

    Beyond +10 % is persistent, beyond -10 % washout, and 10 % itself still a plateau (Kuhl et al.,
    Radiology 1999;211:101-110). Of a voxel that does not enhance the type means nothing.
    """
    change = np.asarray(delayed, dtype=float)
    types = np.select([np.isnan(change), change > PLATEAU, change < -PLATEAU], [0, 1, 3], default=2)
    return types.astype(np.uint8)


def type_time_course(signals: Sequence[float], times_s: Sequence[float]) -> TimeCourse:
    """Type a mean signal's curve: initially slow, medium or fast; delayed persistent, plateau or washout.

    ``times_s`` are seconds after the injection, of which the first phase is before it (0 or less). The
    initial enhancement is that of the highest signal within 2 min, and the delayed change runs from there to
    the last phase; 50 and 100 % are medium, 10 % either way is a plateau (BI-RADS, 5th edition; Kuhl et al.,
    Radiology 1999;211:101-110). Take a hot spot of a few voxels: a whole lesion's mean blunts the worst
    curve. Raises StudyError where the phases do not allow it.
    """
    before, *after = zip(signals, times_s, strict=True)
    early = [signal for signal, time in after if 0 < time <= INITIAL_S]
    rising = all(first < second for first, second in pairwise(times_s))
    if not early or not rising or before[1] > 0 or times_s[-1] <= INITIAL_S:
        raise StudyError(
            f"A curve cannot be typed from phases at {', '.join(f'{time:g}' for time in times_s)} s after "
            "the injection: it takes one before it, one within 120 s and one later, in this order."
        )
    if not all(isfinite(signal) and signal > 0 for signal in signals):
        raise StudyError("A curve cannot be typed: every phase needs a signal above zero.")
    enhancement = (max(early) - before[0]) / before[0]
    change = (signals[-1] - max(early)) / max(early)
    speed = "slow" if enhancement < SLOW else "fast" if enhancement > FAST else "medium"
    return TimeCourse(enhancement, speed, change, CURVE_TYPES[int(curve_types(np.array(change)))])


KINETIC_MAPS: Mapping[str, KineticMap] = {
    entry.name: entry
    for entry in (
        KineticMap(
            "early_enhancement", ("pre", "early"), False, "1", "(S_early - S_pre) / S_pre", early_enhancement
        ),
        KineticMap(
            "late_enhancement", ("pre", "late"), False, "1", "(S_late - S_pre) / S_pre", late_enhancement
        ),
        KineticMap(
            "signal_enhancement_ratio",
            ("pre", "early", "late"),
            False,
            "1",
            "(S_early - S_pre) / (S_late - S_pre)",
            signal_enhancement_ratio,
        ),
        KineticMap("wash_in", ("pre", "early"), True, "1/min", "(S_early - S_pre) / S_pre / min", wash_in),
        KineticMap(
            "delayed_change", ("early", "late"), False, "1", "(S_late - S_early) / S_early", delayed_change
        ),
        KineticMap(
            "wash_out", ("early", "late"), True, "1/min", "(S_late - S_early) / S_early / min", wash_out
        ),
    )
}


def kinetic_map(
    name: str,
    phases: Mapping[str, np.ndarray],
    times_s: Mapping[str, float] | None = None,
    region: np.ndarray | None = None,
) -> np.ndarray:
    """Compute a map of :data:`KINETIC_MAPS` from arrays of one shape, keyed ``pre``, ``early``, ``late``.

    ``times_s`` are the acquisition times of the phases in seconds. They are checked wherever they
    are given, as times that do not rise mean that phases were swapped. Returns double precision,
    NaN where the map has no value. Raises StudyError on an unknown map, a missing phase or time,
    times that do not rise, shapes that differ and a region without signal.
    """
    wanted = _wanted(name, phases)
    times = dict(times_s or {})
    _refuse_times_that_do_not_rise(times)
    span: tuple[float, ...] = ()
    if wanted.needs_times:
        first, second = wanted.phases
        span = (_minutes(name, times, first, second),)
    return wanted.compute(*(np.asarray(phases[phase]) for phase in wanted.phases), *span, region)


def kinetic_image(
    name: str,
    phases: Mapping[str, sitk.Image],
    times_s: Mapping[str, float] | None = None,
    region: sitk.Image | None = None,
) -> sitk.Image:
    """Compute a map as :func:`kinetic_map` does, from images of one grid, in single precision.

    ``region`` is a mask on the same grid. Raises StudyError as :func:`kinetic_map` does, and where
    the grids differ.
    """
    used = {phase: phases[phase] for phase in _wanted(name, phases).phases}
    reference = next(iter(used.values()))
    for phase, image in {**used, **({} if region is None else {"region": region})}.items():
        if not image.IsSameImageGeometryAs(reference):
            raise StudyError(
                f"Kinetic map {name}: {phase} does not lie on the grid of {next(iter(used))}. Resample the "
                "phases and the region onto one grid first."
            )
    arrays = {phase: sitk.GetArrayFromImage(image) for phase, image in used.items()}
    inside = None if region is None else sitk.GetArrayFromImage(region) != 0
    values = kinetic_map(name, arrays, times_s, inside).astype(np.float32)
    result = sitk.GetImageFromArray(values)
    result.CopyInformation(reference)
    return result


def _wanted(name: str, phases: Mapping[str, object]) -> KineticMap:
    if name not in KINETIC_MAPS:
        raise StudyError(f"There is no kinetic map {name}; there are {', '.join(KINETIC_MAPS)}.")
    wanted = KINETIC_MAPS[name]
    missing = [phase for phase in wanted.phases if phase not in phases]
    if missing:
        raise StudyError(
            f"Kinetic map {name} needs the phases {', '.join(wanted.phases)}; {', '.join(missing)} is "
            "missing. Name the phase among the study's images, or leave the map out."
        )
    return wanted


def _refuse_times_that_do_not_rise(times_s: Mapping[str, float]) -> None:
    given = [(phase, times_s[phase]) for phase in ("pre", "early", "late") if phase in times_s]
    for (first, start), (second, end) in pairwise(given):
        if not (isfinite(start) and isfinite(end) and start < end):
            raise StudyError(
                f"Acquisition times must rise from pre to early to late: {first} is at {start:g} s and "
                f"{second} at {end:g} s. Were the phases swapped?"
            )


def _minutes(name: str, times_s: Mapping[str, float], first: str, second: str) -> float:
    missing = [phase for phase in (first, second) if phase not in times_s]
    if missing:
        raise StudyError(
            f"Kinetic map {name} is per minute, and the acquisition time of {' and '.join(missing)} is not "
            "known. Give it in seconds, or choose a map that needs no times (early_enhancement, "
            "delayed_change)."
        )
    return (times_s[second] - times_s[first]) / 60.0


def _relative_change(
    base: np.ndarray, signal: np.ndarray, region: np.ndarray | None, phase: str
) -> np.ndarray:
    _same_shape(base, signal)
    below = np.asarray(base, dtype=float)
    least = MINIMUM_SIGNAL * _median(below, region, phase)
    return _quotient(np.asarray(signal, dtype=float) - below, below, below >= least)


def _quotient(above: np.ndarray, below: np.ndarray, reliable: np.ndarray) -> np.ndarray:
    usable = reliable & np.isfinite(above) & np.isfinite(below)
    result = np.full(above.shape, np.nan)
    np.divide(above, below, out=result, where=usable)
    return result


def _median(base: np.ndarray, region: np.ndarray | None, phase: str) -> float:
    """Median of the phase over the region; the yardstick of what counts as no signal."""
    if region is not None:
        _same_shape(base, region)
    values = base if region is None else base[np.asarray(region, dtype=bool)]
    values = values[np.isfinite(values)]
    median = float(np.median(values)) if values.size else 0.0
    if median <= 0:
        raise StudyError(
            f"The {phase} phase has no signal in the region (median {median:g} over {values.size} voxels), "
            "so nothing can be relative to it. Take the images as the scanner gave them, not normalised or "
            "subtracted ones, and check that the mask lies on the lesion."
        )
    return median


def _same_shape(*arrays: np.ndarray) -> None:
    shapes = {np.shape(array) for array in arrays}
    if len(shapes) > 1:
        sizes = ", ".join(" x ".join(map(str, shape)) for shape in sorted(shapes))
        raise StudyError(
            f"The phases and the region differ in size ({sizes} voxels). Resample them onto one grid first."
        )
