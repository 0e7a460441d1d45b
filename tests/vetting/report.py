"""Write docs/vetting.md from the registry."""

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from vetting.rows import CONVERTED, Row

WIDTH = 120
RESULTS = ("pass", "convention", "miss")

HEAD = """\
# Vetting of the features

Written by `python tests/vetting/registry.py` from `tests/vetting/registry.csv`, which has a row for every
feature under every setting against every oracle: what is known, what is found, how far apart they may be, and
what came of it. `tests/test_vetting.py` computes all rows anew and fails when one differs from its record.

- **pass**: the value found is within the tolerance of the value known.
- **convention**: it is not, since the definition differs from the oracle's; converted to the oracle's
  definition it is. The conversion is computed, not assumed.
- **miss**: it is not, and no conversion makes up for it.

`mode` is the mode of extraction, `shared` or `compatible`. Counts are of rows: a feature counts once per
setting.

Published data are read in place and are no part of the project: `../shared/data/pyradiomics` is the folder
`data` of github.com/AIM-Harvard/pyradiomics, `../shared/data/ibsi` holds the phantoms of
github.com/theibsi/data_sets and, as `reference_values`, the tables of IBSI-1 by which github.com/oncoray/mirp
is tested. What is absent is skipped, and the tests say so.
"""

ORACLES: Mapping[str, str] = {
    "pyradiomics baseline": (
        "values that pyradiomics publishes for its own test cases, made by versions 1.3 to 2.1. Relative "
        "tolerance 1e-9. The mode shared lays the grid of resampling otherwise on purpose: left out there."
    ),
    "pyradiomics 3.0.1 itself": (
        "the unmodified `execute()` on breast1, every filter and class. No tolerance: the same bits."
    ),
    "IBSI-1 digital phantom": (
        "consensus values of the Image Biomarker Standardisation Initiative (Zwanenburg et al., Radiology "
        "2020;295:328-338), to their three digits. GLCM and GLRLM features are means over directions in 3-D."
    ),
    "IBSI-1 CT phantom": (
        "the same for a lung tumour, with IBSI's own preparation (2 mm grid, rounding, re-segmentation, "
        "outliers) written out in `tests/vetting/ibsi_preprocessing.py` before the extraction; it leaves "
        "IBSI's own numbers of voxels. Tolerances are IBSI's, or what its three digits leave open."
    ),
    "coiflet 1 written out": (
        "every wavelet band by convolution with the closed form of the filter's taps. Tolerance: 1e-12 of "
        "the strongest response."
    ),
    "Gaussian in closed form": (
        "the Laplacian of a Gaussian blob, which is known exactly. Tolerance: 5e-5 of the strongest "
        "response, about what sampling and single precision leave."
    ),
    "Deriche's kernel written out": (
        "the kernel that ITK's recursive filter stands for, by convolution. Tolerance: 5e-5 of the strongest "
        "response."
    ),
    "scipy's cubic splines on IBSI's grid": (
        "resampling of the mode shared by another library's splines, on the grid that IBSI prescribes, with "
        "the nearest voxel of the mask. Tolerance: 1e-11 of the largest grey value."
    ),
    "invariants": (
        "changes of image and mask that features must not depend on, or must follow by a known factor. "
        "Relative tolerance 1e-9 (1e-6 for LoG, which yields single precision), or the same bits."
    ),
}


def report(rows: Sequence[Row]) -> str:
    """Return the whole page."""
    parts = [HEAD, _oracles(rows), _summary(rows), _settings(rows)]
    parts += [_listed(rows, result) for result in ("miss", "convention")]
    return "\n".join(parts)


def _oracles(rows: Sequence[Row]) -> str:
    used = dict.fromkeys(row.about.oracle for row in rows)
    return "## Oracles\n\n" + "".join(_bullet(f"**{name}**: {ORACLES[name]}") for name in used)


def _summary(rows: Sequence[Row]) -> str:
    lines = ["oracle | case | mode | compared | pass | convention | miss", "---|---|---|---:|---:|---:|---:"]
    for (oracle, case, mode), own in _grouped(
        rows, lambda row: (row.about.oracle, row.about.case, row.about.mode)
    ):
        lines.append(" | ".join([oracle, case, mode, *_counts(own)]))
    lines.append(" | ".join(["all", "", "", *_counts(rows)]))
    return "## Summary\n\n" + _table(lines)


def _settings(rows: Sequence[Row]) -> str:
    lines = ["oracle | setting | compared | pass | convention | miss", "---|---|---:|---:|---:|---:"]
    for (oracle, setting), own in _grouped(rows, lambda row: (row.about.oracle, row.about.setting)):
        lines.append(" | ".join([oracle, setting, *_counts(own)]))
    return "## By setting\n\n" + _table(lines)


def _counts(rows: Sequence[Row]) -> list[str]:
    results = Counter(row.result for row in rows)
    return [str(len(rows)), *(str(results[name]) for name in RESULTS)]


def _listed(rows: Sequence[Row], result: str) -> str:
    title = {"miss": "## Misses\n", "convention": "## Conventions\n"}[result]
    chosen = [row for row in rows if row.result == result]
    if not chosen:
        return f"{title}\nNone.\n"
    parts = [title]
    for (oracle, case, cause), own in _grouped(chosen, _by_cause):
        parts.append(_wrapped(f"**{oracle}, {case}**: {cause}.") + "\n" + _features(own))
    return "\n".join(parts)


def _by_cause(row: Row) -> tuple[str, str, str]:
    return row.about.oracle, row.about.case, row.cause.partition(CONVERTED)[0]


def _features(rows: Sequence[Row]) -> str:
    """Tell features and numbers, once where both modes have the same."""
    modes: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        name = f"{row.feature_class} {row.feature}"
        if row.image_type != "original":
            name = f"{row.image_type} {name}"
        converted = row.cause.partition(CONVERTED)[2]
        numbers = [f"{value:.6g}" for value in (row.expected, row.found)]
        cells = (row.about.setting, name, *numbers, converted)
        modes.setdefault(cells, []).append(row.about.mode)
    lines = ["setting | feature | mode | known | found | converted", "---|---|---|---:|---:|---:"]
    for (setting, name, *numbers), own in modes.items():
        lines.append(" | ".join([setting, name, ", ".join(own), *numbers]))
    return _table(lines)


def _grouped(
    rows: Iterable[Row], key: Callable[[Row], tuple[str, ...]]
) -> Iterator[tuple[tuple[str, ...], list[Row]]]:
    """Group rows in the order in which a group first comes."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    yield from groups.items()


def _table(lines: Iterable[str]) -> str:
    return "".join(f"| {line} |\n" if not line.startswith("---") else f"|{line}|\n" for line in lines)


def _bullet(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="- ", subsequent_indent="  ") + "\n"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_on_hyphens=False) + "\n"
