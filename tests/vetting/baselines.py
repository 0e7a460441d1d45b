"""The values that pyradiomics publishes for its own test cases, in both modes of extraction."""

import ast
import csv
import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from vetting.older_mesh import OLDER_MESH, older_mesh
from vetting.rows import About, Convention, DataAbsent, Row, columns_of, judged

from annulus.features.extraction import extract_image
from annulus.features.ignored import WITHOUT_EFFECT
from annulus.features.regions import RegionMask
from annulus.features.settings import Settings
from annulus.imaging.reading import Image, read_image

for name in ("radiomics", "annulus.features.textures"):
    logging.getLogger(name).setLevel(logging.CRITICAL)

ORACLE = "pyradiomics baseline"
FOLDER = Path(__file__).parents[3] / "shared" / "data" / "pyradiomics"
CASES = ("brain1", "brain2", "breast1")
CLASSES = ("shape", "shape2D", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
MODES = ("shared", "compatible")
RELATIVE, ABSOLUTE = 1e-9, 1e-12

# Shared lays its grid otherwise on purpose (same centre as the image), so its values are others.
COMPATIBLE_ONLY = ("resampling",)


@dataclass(frozen=True)
class Baseline:
    """A column of one class's file: its values by feature, and the settings they were made with."""

    feature_class: str
    values: dict[str, float]
    setting: dict[str, Any]


def rows() -> Iterator[Row]:
    """Yield every class and column of the three cases."""
    for case in CASES:
        image, inside = read_case(case)
        for name, baselines in read_baselines(case).items():
            for mode in MODES:
                if mode == "shared" and name in COMPATIBLE_ONLY:
                    continue
                about = About(ORACLE, case, mode, name, "oracle")
                yield from _compared(about, image, inside, baselines)


def read_case(case: str) -> tuple[Image, np.ndarray]:
    """Read a test case and its region."""
    path = FOLDER / f"{case}_image.nrrd"
    if not path.is_file():
        raise DataAbsent(f"pyradiomics' test case is absent ({path})")
    mask = sitk.ReadImage(str(FOLDER / f"{case}_label.nrrd"))
    return read_image(path), sitk.GetArrayFromImage(mask) == 1


def read_baselines(case: str) -> dict[str, list[Baseline]]:
    """Read the columns of a case by the name of their setting."""
    found: dict[str, list[Baseline]] = defaultdict(list)
    for feature_class in CLASSES:
        path = FOLDER / "baseline" / f"baseline_{feature_class}.csv"
        if not path.is_file():
            raise DataAbsent(f"pyradiomics' baseline is absent ({path})")
        with path.open(encoding="utf-8", newline="") as stream:
            table = {row.pop("featureName"): row for row in csv.DictReader(stream)}
        for column in table["diagnostics_Configuration_Settings"]:
            if column.split("_")[0] == case:
                name = column.partition("_")[2] or "plain"
                found[name].append(_baseline(feature_class, table, column))
    return found


def _baseline(feature_class: str, table: dict[str, dict[str, str]], column: str) -> Baseline:
    used = ast.literal_eval(table["diagnostics_Configuration_Settings"][column])
    setting = {key: value for key, value in used.items() if key not in WITHOUT_EFFECT}
    values = {
        name.split("_")[2]: float(row[column])
        for name, row in table.items()
        if name.startswith("original_") and row[column]
    }
    return Baseline(feature_class, values, setting)


def _compared(about: About, image: Image, inside: np.ndarray, baselines: list[Baseline]) -> Iterator[Row]:
    if about.setting == "shape2D":
        inside = _largest_slice(inside)
    for setting in _distinct(baselines):
        own = [baseline for baseline in baselines if baseline.setting == setting]
        content = {
            "imageType": {"Original": None},
            "featureClass": {one.feature_class: list(one.values) for one in own},
            "setting": setting,
        }
        region = RegionMask.of("roi", "tumour", inside)
        values, failures = extract_image(image, [region], None, Settings.of(content, about.mode))
        if failures:
            raise AssertionError(f"{about}: {failures[0]}")
        found = columns_of(values, "roi")
        older = _as_in_the_older_mesh(found, inside, image.spacing)
        for one in own:
            for feature, expected in one.values.items():
                column = ("original", one.feature_class, feature)
                tolerance = max(RELATIVE * abs(expected), ABSOLUTE)
                yield judged(about, column, expected, found[column], tolerance, older.get(column))


def _as_in_the_older_mesh(
    found: dict[tuple[str, str, str], float], inside: np.ndarray, spacing: tuple[float, ...]
) -> dict[tuple[str, str, str], Convention]:
    """Convert what derives from the mesh to the older one of the baseline."""
    keys = {name: ("original", "shape", name) for name in OLDER_MESH}
    if not set(keys.values()) <= set(found):
        return {}
    converted, cubes = older_mesh({name: found[key] for name, key in keys.items()}, inside, spacing)
    cause = (
        "the baseline is of pyradiomics 2.0.1; its mesh is that of 3.0.1 without one triangle in each of "
        f"{cubes} cubes, which are number 62 in the table of marching cubes"
    )
    return {key: Convention(cause, converted[name]) for name, key in keys.items()}


def _distinct(baselines: list[Baseline]) -> list[dict[str, Any]]:
    settings: list[dict[str, Any]] = []
    for baseline in baselines:
        if baseline.setting not in settings:
            settings.append(baseline.setting)
    return settings


def _largest_slice(inside: np.ndarray) -> np.ndarray:
    flat = np.zeros_like(inside)
    largest = inside.sum((1, 2)).argmax()
    flat[largest] = inside[largest]
    return flat
