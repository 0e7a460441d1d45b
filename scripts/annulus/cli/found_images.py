"""Which files of a folder are images, which are masks, and how a mask's name follows from its image's."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from annulus.cohort.listing import Folder
from annulus.errors import StudyError

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
MEDICAL = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd", ".dcm")

WORD = "mask|seg|segmentation|label|gt|roi|lesion|annotation|outline"
MASK_FIRST = re.compile(rf"((?:{WORD})s?[_ -])(.+)", re.IGNORECASE)
MASK_LAST = re.compile(rf"(.+?)([_ -](?:{WORD})s?)([_ -]?\d+)?", re.IGNORECASE)
MASK_FOLDER = re.compile(rf"(?:{WORD})s?(?:tr|ts)?|ground.?truth", re.IGNORECASE)
IMAGE_FIRST = re.compile(r"((?:image|img|scan|us|bus|mri|cem)[_ -])(.+)", re.IGNORECASE)
IMAGE_LAST = re.compile(r"(.+?)([_ -](?:image|img|scan|0000))", re.IGNORECASE)

# What part of an image's name may be the patient, as a regular expression of the part, the likeliest first.
PATIENT_PARTS = (
    r"(?P<patient>[^/]+)",
    r"(?P<patient>[^/_-]+)[^/]*",
    r"(?P<patient>[^/_-]+[_-][^/_-]+)[^/]*",
    r"\D*0*(?P<patient>[1-9]\d*)(?!\d)[^/]*",
)


@dataclass(frozen=True)
class Rule:
    """How a mask's path follows from its image's.

    ``image_folder`` and ``mask_folder`` are the one folder name that differs (both empty where they lie
    together; only the mask's where masks are in a folder below). ``several`` says that masks are numbered.
    """

    image_folder: str
    mask_folder: str
    image_first: str
    image_last: str
    image_type: str
    mask_first: str
    mask_last: str
    mask_type: str
    several: bool = field(default=False, compare=False)

    @property
    def pattern(self) -> str:
        """Regular expression over an image's path, for ``mask_path`` of a cohort file."""
        above = r"((?:.*/)?)"
        folders = f"{above}{re.escape(self.image_folder)}/{above}" if self.image_folder else above
        ends = re.escape(f"{self.image_last}{self.image_type}")
        return f"{folders}{re.escape(self.image_first)}([^/]+){ends}"

    @property
    def replacement(self) -> str:
        """What the pattern becomes; a glob where one image has several masks."""
        ends = f"{self.mask_last}{'*' if self.several else ''}{self.mask_type}"
        if self.image_folder:
            return rf"\g<1>{self.mask_folder}/\g<2>{self.mask_first}\g<3>{ends}"
        below = f"{self.mask_folder}/" if self.mask_folder else ""
        return rf"\g<1>{below}{self.mask_first}\g<2>{ends}"

    def files(self, part: str, folders: Sequence[str] = ()) -> str:
        """Regular expression over all files that fits the images, with groups image, patient and folder."""
        above = r"(?:.*/)?"
        start = f"{above}{re.escape(self.image_folder)}/{above}" if self.image_folder else above
        if folders:
            start += f"(?P<folder>{'|'.join(map(re.escape, folders))})/"
        together = not self.image_folder and not self.mask_folder
        without = (
            rf"(?!{re.escape(self.mask_first)}[^/]+{re.escape(self.mask_last)}[^/]*$)" if together else ""
        )
        below = (
            rf"(?!(?:.*/)?{re.escape(self.mask_folder)}/)"
            if self.mask_folder and not self.image_folder
            else ""
        )
        first, ends = re.escape(self.image_first), re.escape(f"{self.image_last}{self.image_type}")
        return f"{below}{start}{without}{first}(?P<image>{part}){ends}"


@dataclass(frozen=True)
class FoundImages:
    """The images of a folder: their paths, those without a mask, and the rule that finds masks."""

    folder: Path
    rule: Rule
    images: tuple[str, ...]
    without_mask: tuple[str, ...]

    @property
    def pictures(self) -> bool:
        """Whether they are pictures such as PNG, whose pixel size is unknown."""
        return self.rule.image_type.lower() in PICTURES

    def folders(self) -> list[str]:
        """Return the names of the folders that images lie directly in, other than that of all images."""
        names = {PurePosixPath(path).parent.name for path in self.images}
        return sorted(names - {"", self.rule.image_folder})

    def within(self, folders: Sequence[str]) -> "FoundImages":
        """Return the images that lie directly in folders of these names."""
        kept = [
            {p for p in paths if PurePosixPath(p).parent.name in folders}
            for paths in (self.images, self.without_mask)
        ]
        return replace(self, images=tuple(sorted(kept[0])), without_mask=tuple(sorted(kept[1])))

    def matched(self, part: str, folders: Sequence[str] = ()) -> list[dict[str, str]]:
        """Return the named groups of every image that ``Rule.files`` fits."""
        expression = re.compile(self.rule.files(part, folders), re.DOTALL)
        return [found.groupdict() for found in map(expression.fullmatch, self.images) if found]


def find_images(folder: Path) -> FoundImages:
    """Find images and their masks below a folder by their names.

    Raises StudyError when there are no images, or no masks whose names follow from images'.
    """
    if not folder.is_dir():
        raise StudyError(f"{folder}: there is no such folder.")
    files = [path for path in Folder(str(folder)).everything[0] if _type_of(path)]
    masks = {path for path in files if _is_mask(path)}
    others = [path for path in files if path not in masks]
    if not others:
        raise StudyError(
            f"{folder}: there are no images below it (PNG, JPEG, TIFF, BMP, NIfTI, NRRD, MetaImage, .dcm). "
            "For folders of DICOM series write the cohort file after config/cohorts/duke_breast_mri.yaml."
        )
    found: dict[Rule, set[str]] = defaultdict(set)
    numbered: set[Rule] = set()
    for rule, image, several in _pairs(others, masks):
        found[rule].add(image)
        numbered |= {rule} if several else set()
    if not found:
        example = sorted(others)[0]
        raise StudyError(
            f"{folder}: no mask's name follows from an image's, such as {example}. Masks are expected as "
            "NAME_mask.png or mask_NAME.png beside the image, or in a folder masks. For other names write "
            "the cohort file after one in config/cohorts/."
        )
    rule = min(found, key=lambda r: (-len(found[r]), len(r.image_first + r.image_last), str(r)))
    whole = re.compile(rule.files(PATIENT_PARTS[0]), re.DOTALL)
    images = tuple(path for path in others if whole.fullmatch(path))
    without = tuple(path for path in images if path not in found[rule])
    return FoundImages(folder, replace(rule, several=rule in numbered), images, without)


def patient_part(found: FoundImages, ids: Iterable[str]) -> str:
    """Return which part of images' names is the patient's id, of those that the participants table has.

    Raises StudyError when no part of the names is an id of most images.
    """
    known = set(ids)
    counts = {part: sum(row["patient"] in known for row in found.matched(part)) for part in PATIENT_PARTS}
    best = max(PATIENT_PARTS, key=lambda part: counts[part])
    if counts[best] < len(found.images) / 2:
        raise StudyError(
            f"{found.folder}: no part of the images' names, such as {found.images[0]}, is an id "
            f"of the participants table, such as {', '.join(sorted(known)[:3])}. Choose its column with "
            "--patient, or write the cohort file after config/cohorts/bus_bra.yaml."
        )
    return best


def _pairs(images: Iterable[str], masks: Iterable[str]) -> Iterator[tuple[Rule, str, bool]]:
    """Yield every rule by which a mask may follow from an image, with the image."""
    by_core: dict[str, list[tuple[PurePosixPath, str, str, str]]] = defaultdict(list)
    for image in images:
        path, kind = PurePosixPath(image), _type_of(image)
        stem = path.name.removesuffix(kind)
        for first, core, last in _image_cores(stem):
            by_core[core].append((path.parent, first, last, kind))
    for mask in masks:
        path, kind = PurePosixPath(mask), _type_of(mask)
        for first, core, last, several in _mask_cores(path.name.removesuffix(kind)):
            for folder, image_first, image_last, image_type in by_core.get(core, ()):
                differing = _differing(folder, path.parent)
                if differing is None or (differing == ("", "") and not first and not last):
                    continue
                rule = Rule(*differing, image_first, image_last, image_type, first, last, kind)
                image = str(folder / f"{image_first}{core}{image_last}{image_type}")
                yield rule, image, several


def _image_cores(stem: str) -> Iterator[tuple[str, str, str]]:
    yield "", stem, ""
    if found := IMAGE_FIRST.fullmatch(stem):
        yield found[1], found[2], ""
    if found := IMAGE_LAST.fullmatch(stem):
        yield "", found[1], found[2]


def _mask_cores(stem: str) -> Iterator[tuple[str, str, str, bool]]:
    yield "", stem, "", False
    if found := MASK_FIRST.fullmatch(stem):
        yield found[1], found[2], "", False
    if found := MASK_LAST.fullmatch(stem):
        yield "", found[1], found[2], found[3] is not None


def _differing(image: PurePosixPath, mask: PurePosixPath) -> tuple[str, str] | None:
    """Return the one folder name by which two folders differ; None where they differ by more."""
    ours, theirs = image.parts, mask.parts
    if ours == theirs:
        return "", ""
    if theirs[:-1] == ours:
        return "", theirs[-1]
    places = [at for at, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]]
    return (ours[places[0]], theirs[places[0]]) if len(ours) == len(theirs) and len(places) == 1 else None


def _is_mask(path: str) -> bool:
    parts = PurePosixPath(path)
    stem = parts.name.removesuffix(_type_of(path))
    named = MASK_FIRST.fullmatch(stem) or MASK_LAST.fullmatch(stem)
    return bool(named) or any(MASK_FOLDER.fullmatch(part) for part in parts.parent.parts)


def _type_of(path: str) -> str:
    """Return the end of a file's name that says its type, as it is written; empty for other files."""
    low = path.lower()
    return next((path[-len(end) :] for end in (*MEDICAL, *PICTURES) if low.endswith(end)), "")
