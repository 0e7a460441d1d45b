"""The files behind a path of the image manifest.

Used while Snakemake reads the workflow, so it needs the standard library alone.
"""

import os
from collections.abc import Iterable
from pathlib import Path

# Stands between the files of one mask in the manifest.
SEVERAL = ";"

# Headers whose pixels lie in a file of the same name beside them.
DETACHED = {".mhd": (".raw", ".zraw"), ".nhdr": (".raw", ".raw.gz"), ".hdr": (".img", ".img.gz")}


def listed(paths: str) -> list[str]:
    """Return the paths of one manifest cell; a mask may have several, joined by a semicolon."""
    return [path.strip() for path in paths.split(SEVERAL) if path.strip()]


def placed(folder: str, paths: str) -> str:
    """Return the paths of one manifest cell as seen from outside their folder."""
    return SEVERAL.join(f"{folder}/{path}" for path in listed(paths))


def parts_of(path: str | Path) -> list[Path]:
    """Return the files behind an image or mask: its own, its pixels beside a header, or a folder's."""
    place = Path(path)
    if place.is_dir():
        return sorted(file for file in place.iterdir() if file.is_file())
    beside = (place.with_suffix(suffix) for suffix in DETACHED.get(place.suffix.lower(), ()))
    return [place, *(file for file in beside if file.is_file())]


def size_on_disk(path: str | Path) -> int:
    """Return the bytes of all files behind a path; 0 where there are none."""
    return sum(file.stat().st_size for file in parts_of(path) if file.is_file())


def folder_states(paths: Iterable[str]) -> dict[str, str]:
    """Describe the folders among ``paths`` by files, bytes and newest change.

    A folder of DICOM files stands in a job's params with this, in place of thousands of input files.
    """
    states = {}
    for path in sorted(set(paths)):
        if not os.path.isdir(path):  # noqa: PTH112
            continue
        stats = [entry.stat() for entry in os.scandir(path) if entry.is_file()]
        newest = max((stat.st_mtime_ns for stat in stats), default=0)
        states[path] = f"{len(stats)} files, {sum(stat.st_size for stat in stats)} bytes, {newest}"
    return states
