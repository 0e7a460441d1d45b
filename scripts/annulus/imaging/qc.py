"""Quality control of images and masks: each is passed, repaired or excluded, none stops the others."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk

from annulus.cohort.files import listed, size_on_disk
from annulus.cohort.chunks import image_stem
from annulus.errors import StudyError
from annulus.imaging.agreement import agreement_of
from annulus.imaging.duplicates import fingerprint
from annulus.imaging.findings import Checked, Finding, Policy, finding_rows
from annulus.imaging.frame import frame_facts, mask_facts
from annulus.imaging.guard import Died, Guarded
from annulus.imaging.markings import Marks, burned_in, crossing, has_caption
from annulus.imaging.mask_checks import (
    LEAST_KEPT_SHARE,
    Cut,
    Lesion,
    check_lesion,
    largest_diameter,
    resampled_onto,
)
from annulus.imaging.preparing import (
    CannotPrepareError,
    Preparation,
    grey_scale,
    normalised,
    predicted_grey_levels,
    reference_tissue,
)
from annulus.imaging.reading import (
    GIVEN_SPACING,
    KEPT_SPACING,
    Image,
    described_grid,
    on_grid_of,
    read_image,
    read_mask,
    same_grid,
    thinning,
    write_mask,
)
from annulus.imaging.tissue import find_tissue
from annulus.imaging.unreadable import UnreadableError

logger = logging.getLogger(__name__)

Row = Mapping[str, str]

TISSUE_ROLE = "breast"
TUMOUR_ROLES = ("tumour",)
HILUM_ROLE = "node_hilum"
NODE_ROLES = ("node", "node_cortex", HILUM_ROLE)
# A hilum is a part that some nodes have lost: there is no lesion in it alone.
LESION_ROLES = (*TUMOUR_ROLES, "node", "node_cortex")
ROLES_OF = {"tumour": TUMOUR_ROLES, "node": NODE_ROLES}

# One image of one patient; its rows differ in what their masks outline.
IMAGE_KEY = ("patient_id", "timepoint", "image_id")

MASK_COLUMNS = [
    "patient_id", "image_id", "mask_role", "rater", "decision", "reasons", "repairs", "voxels",
    "volume_mm3", "components", "holes", "touches_border", "image_mask_same_grid",
    "largest_diameter_mm", "message", "image", "timepoint", "lesion", "mask_file",
]  # fmt: skip

IMAGE_COLUMNS = [
    "patient_id", "image_id", "timepoint", "modality", "series", "view", "image_path", "mask_path",
    "mask_role", "rater", "spacing_x_mm", "spacing_y_mm", "spacing_z_mm", "spacing_source",
    "image_sha256", "mask_sha256", "image", "dimension", "lesion", "label", "series_uid", "acq_time_s",
    "manufacturer", "field_strength_t", "content_sha256", "fingerprint",
]  # fmt: skip

AGREEMENT_COLUMNS = [
    "patient_id", "image_id", "rater_a", "rater_b", "dice", "hd95_mm", "volume_ratio", "image",
    "timepoint", "mask_role", "lesion", "reason",
]  # fmt: skip


@dataclass
class Report:
    """What quality control learnt: rows of the tables of ``qc/`` and of ``cohort/images.csv``."""

    masks: list[dict[str, object]] = field(default_factory=list)
    images: list[dict[str, object]] = field(default_factory=list)
    findings: list[dict[str, object]] = field(default_factory=list)
    agreement: list[dict[str, object]] = field(default_factory=list)
    frames: list[dict[str, object]] = field(default_factory=list)

    def add(self, other: "Report") -> None:
        """Append another report."""
        self.masks += other.masks
        self.images += other.images
        self.findings += other.findings
        self.agreement += other.agreement
        self.frames += other.frames


@dataclass(frozen=True)
class Control:
    """How a study controls its images: the policy, and the preparation of those that yield features.

    ``lesions`` says by image name whether its regions are built around a tumour or a node, as in ``Plan``
    of the regions; None means a tumour in all of them.
    """

    policy: Policy
    preparations: Mapping[str, Preparation]
    lesions: Mapping[str, str] | None = None

    def lesion(self, image: str) -> str:
        """Return what an image's regions are built around; empty for an image without any."""
        return "tumour" if self.lesions is None else self.lesions.get(image, "")


def check_rows(rows: Iterable[Row], control: Control, folder: Path) -> Report:
    """Check the images and masks of manifest ``rows`` and write the masks to go on with to ``folder``.

    Files are read in a process of its own, so that a damaged one that crashes its reader, or keeps it
    busy, is a finding too. Raises StudyError when the machine, and not a file, ended that process twice:
    a healthy image must not be excluded for that.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report = Report()

    def work(group: list[Row]) -> Report:
        return check_image(group, control, folder)

    groups = image_groups(rows)
    for group, result in zip(groups, Guarded(work, _size).over(groups), strict=True):
        if isinstance(result, Died) and not result.by_file:
            raise StudyError(
                f"{group[0]['image_path']} or its mask could not be checked, twice: {result.reason}. This "
                "looks like the machine, not the file, so the image is not excluded. Run again with fewer "
                "jobs at once or more memory; if it is always this file, take it out of the image manifest."
            )
        if isinstance(result, Died):
            message = f"{group[0]['image_path']} or its mask cannot be read: {result.reason}."
            report.add(_unusable(group, control.policy.found("damaged_file", message)))
        else:
            report.add(result)
    return report


def image_groups(rows: Iterable[Row]) -> list[list[Row]]:
    """Put the manifest rows of each image together, in the order in which they come."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        key = (*(row[name] for name in IMAGE_KEY), row["image_path"], row.get("series_uid", ""))
        groups.setdefault(key, []).append(row)
    return list(groups.values())


def check_image(rows: Sequence[Row], control: Control, folder: Path) -> Report:
    """Check one image and all of its masks, and write the masks to go on with to ``folder``."""
    # Should a bug end the job, the log's last line says on whom.
    logger.info("patient %s: %s", rows[0]["patient_id"], rows[0]["image_path"])
    subject, facts = _read_subject(rows[0], control)
    if isinstance(subject, Finding):
        return _unusable(rows, subject, facts)
    report = Report()
    # The breast first, as lesions are held against it.
    order = sorted(range(len(rows)), key=lambda i: rows[i].get("mask_role") != TISSUE_ROLE)
    checked: dict[int, Checked] = {}
    hashes: dict[int, str | None] = {}
    for i in order:
        checked[i], hashes[i] = subject.check(rows[i])
    report.agreement = _agree(rows, checked, control.policy)
    for i, row in enumerate(rows):
        file = ""
        if checked[i].mask is not None and row.get("mask_path"):
            file = f"{image_stem(row, row['mask_role'], row['rater'], row['lesion'])}.nrrd"
            write_mask(folder / file, checked[i].mask)
        report.masks.append({**row, **checked[i].row(), "mask_file": file})
        report.images.append({**row, **facts, "mask_sha256": hashes[i]})
        report.findings += finding_rows(row, checked[i].findings)
    report.frames = [subject.facts_for_leak_screen(rows, checked, control.lesion(rows[0]["image"]))]
    return report


def chosen_outlines(rows: pd.DataFrame, lesion: str) -> pd.DataFrame:
    """Return the outlines that stand for an image's lesions, the one its regions are built from first.

    ``rows`` are the image's usable rows of ``qc/masks.csv``; ``lesion`` says whether the image is about a
    tumour or a node. Of several raters the first by name counts, of several lesions the largest comes
    first (of equals the first name), and a hilum after everything else; without its node it does not count.
    """
    own = rows[rows["mask_role"].isin(ROLES_OF.get(lesion, ()))]
    own = own[own["lesion"].isin(own.loc[own["mask_role"] != HILUM_ROLE, "lesion"])]
    first = own.sort_values(["rater", "lesion", "mask_role"]).drop_duplicates(["mask_role", "lesion"])
    order = pd.DataFrame({"whole": first["mask_role"] != HILUM_ROLE, "voxels": first["voxels"]})
    return first.loc[order.sort_values(["whole", "voxels"], ascending=False).index]


@dataclass
class Subject:
    """One image that could be read, while its masks are checked against it."""

    image: Image
    policy: Policy
    preparation: Preparation
    needs_mask: bool = False
    findings: tuple[Finding, ...] = ()
    breast: np.ndarray | None = None

    def check(self, row: Row) -> tuple[Checked, str | None]:
        """Check one mask; returns it with its file's hash."""
        if not row.get("mask_path"):
            missing = self.policy.found("missing_mask", "The image manifest gives no mask of this image.")
            return Checked((*self.findings, *([missing] if self.needs_mask else []))), None
        try:
            mask = read_mask(row["mask_path"], self.image, row.get("label", ""))
        except UnreadableError as error:
            # Whatever the policy: there is no mask to repair.
            finding = Finding(_mask_code(error), "exclude", _sentence(error))
            return Checked((*self.findings, finding)), None
        return self.check_mask(mask, row["mask_role"]), mask.sha256

    def check_mask(self, mask: Image, role: str) -> Checked:
        """Check one mask that could be read.

        A breast mask must only lie on the image and not be empty, and a hilum may be: it is then gone.
        """
        findings = list(self.findings)
        measures: dict[str, float | int | None] = {"image_mask_same_grid": 1}
        if not same_grid(mask, self.image):
            measures["image_mask_same_grid"] = 0
            finding, placed = self._placed(mask)
            findings.append(finding)
            if placed is None:
                return Checked(tuple(findings), measures)
            mask = placed
        values = mask.array
        if not (np.isfinite(values.min()) and np.isfinite(values.max())):
            findings.append(self.policy.found("not_finite", "The mask holds values that are not finite."))
            return Checked(tuple(findings), measures)
        if role == HILUM_ROLE:
            return self._part(findings, measures, values != 0)
        if not values.any():
            findings.append(self.policy.found("empty_mask", "The mask has no voxel that is set."))
            return Checked(tuple(findings), measures)
        cut = Cut.of(values)
        if role not in LESION_ROLES:
            checked = self._measured(findings, measures, Cut(cut.inside != 0, cut.corner, cut.shape))
            self.breast = sitk.GetArrayFromImage(checked.mask) > 0 if checked.mask is not None else None
            return checked
        lesion = Lesion(self.image, cut, self.policy, self.preparation)
        check_lesion(lesion)
        self._outside_body(lesion)
        self._marked(lesion)
        self._grey_levels(lesion)
        self._filter_reach(lesion)
        return self._measured([*findings, *lesion.findings], measures | lesion.measures, lesion.cut)

    def _part(
        self, findings: list[Finding], measures: dict[str, float | int | None], inside: np.ndarray
    ) -> Checked:
        voxels = int(inside.sum())
        known = self.image.spacing_source != "unknown"
        size = voxels * float(np.prod(self.image.spacing)) if known else None
        mask = on_grid_of(inside, self.image)
        return Checked(tuple(findings), measures | {"voxels": voxels, "volume_mm3": size}, mask)

    def _measured(
        self, findings: list[Finding], measures: dict[str, float | int | None], cut: Cut
    ) -> Checked:
        known = self.image.spacing_source != "unknown"
        voxels = int(cut.inside.sum())
        measures |= {
            "voxels": voxels,
            "volume_mm3": voxels * float(np.prod(self.image.spacing)) if known else None,
            "largest_diameter_mm": largest_diameter(cut.inside, self.image.spacing) if known else None,
        }
        checked = Checked(tuple(findings), measures)
        if checked.decision == "excluded":
            return checked
        return Checked(checked.findings, measures, on_grid_of(cut.whole(), self.image))

    def _placed(self, mask: Image) -> tuple[Finding, Image | None]:
        message = _grid_message(self.image, mask)
        known = mask.spacing_source == "header" and self.image.spacing_source == "header"
        alike = mask.pixels.GetDimension() == self.image.pixels.GetDimension()
        if not (known and alike):
            advice = "Save the mask on the image's grid."
            return Finding("grid_mismatch", "exclude", f"{message} {advice}"), None
        before = int(np.count_nonzero(mask.array))
        placed, kept = resampled_onto(mask.pixels, self.image.pixels)
        if before and kept < LEAST_KEPT_SHARE:
            message += f" Only {kept:.0%} of the mask lies within the image. Save it on the image's grid."
            return Finding("grid_mismatch", "exclude", message, kept, LEAST_KEPT_SHARE), None
        on_image = Image(placed, mask.spacing_source, mask.sha256)
        after = int(np.count_nonzero(on_image.array))
        repair = f"resampled onto the image's grid: {before} to {after} voxels"
        finding = self.policy.found("grid_mismatch", message, kept, LEAST_KEPT_SHARE, repair)
        return finding, on_image if finding.action != "exclude" else None

    @cached_property
    def _marks(self) -> Marks | None:
        colour = self.image.colour
        if self.image.array.ndim != 2:
            return None
        return burned_in(self.image.array if colour is None else sitk.GetArrayFromImage(colour))

    def caption(self) -> Finding | None:
        """Find text burned into the image, which may carry a name or a date of birth."""
        if self._marks is None or not has_caption(self._marks):
            return None
        return self.policy.found(
            "burned_in_text",
            "There seems to be text burned into the image, which may carry a name or date of birth: look "
            "at it before the image leaves the hospital.",
        )

    def _marked(self, lesion: Lesion) -> None:
        if self._marks is None:
            return
        margin = int(self.policy.thresholds["marking_margin_px"])
        pixels = crossing(self._marks, lesion.cut.whole(), margin)
        if pixels:
            lesion.note(
                "burned_in_marks",
                f"Callipers or text ({pixels} pixels) are burned into the image within {margin} pixels of "
                "the region.",
                pixels,
                0,
            )

    @cached_property
    def _body(self) -> tuple[np.ndarray, tuple[slice, ...]]:
        if self.breast is not None:
            return self.breast, (slice(None),) * self.breast.ndim
        thinned = thinning(self.image.array)
        spacing = tuple(
            length * (step.step or 1) for length, step in zip(self.image.spacing, thinned[::-1], strict=True)
        )
        return find_tissue(self.image.array[thinned], spacing), thinned

    def _outside_body(self, lesion: Lesion) -> None:
        body, thinned = self._body
        inside = lesion.cut.whole()[thinned]
        if not inside.any():
            return
        share = float(body[inside].mean())
        limit = self.policy.thresholds["minimum_body_share"]
        if share < limit:
            where = "the breast mask" if self.breast is not None else "what looks like the body"
            lesion.note(
                "outside_body",
                f"{share:.0%} of the mask lies in {where} ({limit:.0%} needed).",
                share,
                limit,
            )

    def _grey_levels(self, lesion: Lesion) -> None:
        reference = None
        if self.preparation.normalise_within == "tissue" and self.breast is not None:
            reference = reference_tissue(self.breast, lesion.cut.whole())
        try:
            scale = grey_scale([self.image.array], reference, self.preparation)
        except CannotPrepareError:
            # Extraction says so, for the whole image.
            return
        inside = self.image.array[lesion.cut.place][lesion.cut.core]
        levels = predicted_grey_levels(normalised(inside, scale, self.preparation), self.preparation)
        if levels is None:
            return
        few, many = (self.policy.thresholds[f"{end}_grey_levels"] for end in ("minimum", "maximum"))
        if not few <= levels <= many:
            lesion.note(
                "grey_levels",
                f"The region falls into {levels:.0f} grey levels of width {self.preparation.bin_width:g} "
                f"({few:g} to {many:g} are sound). Compare binWidth with the image's normalisation.",
                levels,
                few if levels < few else many,
            )

    def _filter_reach(self, lesion: Lesion) -> None:
        reach = self.preparation.reach_mm
        if not reach or self.image.spacing_source == "unknown":
            return
        room = min(
            min(span.start, total - span.stop) * length
            for span, total, length in zip(
                lesion.cut.place, lesion.cut.shape, self.image.spacing[::-1], strict=True
            )
        )
        if room < reach:
            lesion.note(
                "filter_reach",
                f"The widest filter reaches {reach:g} mm, but the image ends {room:g} mm from the mask: "
                "filtered values there rest on padding.",
                room,
                reach,
            )

    def facts_for_leak_screen(
        self, rows: Sequence[Row], checked: Mapping[int, Checked], lesion: str
    ) -> dict[str, object]:
        """Describe the image's frame and the outline that its regions are built from; see ``frame.py``."""
        usable = {i: row for i, row in enumerate(rows) if checked[i].mask is not None}
        table = pd.DataFrame(
            [{**row, "voxels": checked[i].measures.get("voxels")} for i, row in usable.items()],
            index=list(usable),
            columns=["mask_role", "rater", "lesion", "voxels"],
        )
        chosen = chosen_outlines(table, lesion).index[:1]
        keys = {key: rows[0][key] for key in (*IMAGE_KEY, "image")}
        known = self.image.spacing_source != "unknown"
        frame = frame_facts(self.image.array, self.image.spacing, known)
        outline: dict[str, float] = {}
        for i in chosen:
            inside = sitk.GetArrayFromImage(checked[i].mask) > 0
            outline = mask_facts(Cut.of(inside).core, self.image.spacing, known)
        return {
            **keys,
            **{f"frame_{name}": value for name, value in frame.items()},
            **{f"outline_{name}": value for name, value in outline.items()},
        }


def _read_subject(row: Row, control: Control) -> tuple[Subject | Finding, dict[str, object]]:
    """Read an image; returns what is known of it for ``cohort/images.csv``, or why it is of no use."""
    policy = control.policy
    try:
        image = read_image(row["image_path"], row)
    except UnreadableError as error:
        return Finding(_image_code(error), "exclude", _sentence(error)), {}
    facts: dict[str, object] = {**_spacing_facts(image), "image_sha256": image.sha256}
    facts["dimension"] = len(image.spacing)
    unusable = _unusable_image(image, policy)
    if unusable:
        return unusable, facts
    facts |= {"content_sha256": image.content_sha256, "fingerprint": fingerprint(image.array)}
    extracted = row["image"] in control.preparations
    preparation = control.preparations.get(row["image"], Preparation())
    subject = Subject(image, policy, preparation, needs_mask=extracted)
    found = [_identified(image, policy), subject.caption()]
    subject.findings = tuple(finding for finding in found if finding is not None)
    return subject, facts


def _unusable_image(image: Image, policy: Policy) -> Finding | None:
    if policy.needs_spacing and image.spacing_source == "unknown":
        needed = GIVEN_SPACING[: len(image.spacing)]
        return policy.found(
            "unknown_spacing",
            "The pixel size is unknown, so a ring in mm is refused. Give "
            f"{', '.join(needed[:-1])} and {needed[-1]} in the image manifest, or set regions.unit to px or "
            "fraction.",
        )
    low, high = image.array.min(), image.array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        return policy.found("not_finite", "The image holds values that are not finite.")
    if low == high:
        return policy.found("constant_image", f"Every grey value of the image is {low:g}.")
    return None


def _identified(image: Image, policy: Policy) -> Finding | None:
    if not image.identifiers:
        return None
    return policy.found(
        "identifying_header",
        f"The header may say who the patient is: {', '.join(image.identifiers)}. Remove it at the source; "
        "nothing of it is copied here.",
    )


def _unusable(rows: Sequence[Row], finding: Finding, facts: Mapping[str, object] | None = None) -> Report:
    checked = Checked((finding,))
    return Report(
        masks=[{**row, **checked.row(), "mask_file": ""} for row in rows],
        images=[{**row, **(facts or {})} for row in rows],
        findings=[found for row in rows for found in finding_rows(row, checked.findings)],
    )


def _agree(rows: Sequence[Row], checked: dict[int, Checked], policy: Policy) -> list[dict[str, object]]:
    """Compare the raters of each outline in pairs; too little agreement is a finding on both."""
    compared: list[dict[str, object]] = []
    found: list[tuple[int, Finding]] = []
    for i, j in combinations(range(len(rows)), 2):
        a, b = rows[i], rows[j]
        mask_a, mask_b = checked[i].mask, checked[j].mask
        if (a.get("mask_role"), a["lesion"]) != (b.get("mask_role"), b["lesion"]) or not (mask_a and mask_b):
            continue
        known = checked[i].measures["volume_mm3"] is not None
        array_a, array_b = (sitk.GetArrayFromImage(mask) > 0 for mask in (mask_a, mask_b))
        agreed = agreement_of(array_a, array_b, tuple(mask_a.GetSpacing()) if known else None)
        compared.append({**a, "rater_a": a["rater"], "rater_b": b["rater"], **vars(agreed)})
        least, most = policy.thresholds["minimum_dice"], policy.thresholds["maximum_hd95_mm"]
        if agreed.dice < least or agreed.hd95_mm > most:
            apart = f" and a 95 % Hausdorff distance of {agreed.hd95_mm:.1f} mm ({most:g} allowed)"
            message = (
                f"Raters {a['rater']} and {b['rater']} agree with a Dice of {agreed.dice:.2f} ({least:g} "
                f"expected){apart if known else f'; {agreed.reason}'}."
            )
            value, limit = (agreed.dice, least) if agreed.dice < least else (agreed.hd95_mm, most)
            finding = policy.found("rater_disagreement", message, value, limit)
            found += [(i, finding), (j, finding)]
    # Only now, for a mask that is excluded is compared no more, and the order of rows must not matter.
    for i, finding in found:
        checked[i] = checked[i].with_finding(finding)
    return compared


def _sentence(error: UnreadableError) -> str:
    text = str(error)
    whole = text if text.endswith(".") else f"{text}."
    # A path at the beginning stays as it is.
    return whole[0].upper() + whole[1:] if whole.startswith(("there", "the ")) else whole


def _image_code(error: UnreadableError) -> str:
    return {"": "unreadable_image", "missing_file": "missing_image"}.get(error.code, error.code)


def _mask_code(error: UnreadableError) -> str:
    return {"": "unreadable_mask", "missing_file": "missing_mask"}.get(error.code, error.code)


def _size(rows: Sequence[Row]) -> int:
    paths = {row["image_path"] for row in rows}
    paths |= {path for row in rows for path in listed(row.get("mask_path", ""))}
    return sum(size_on_disk(path) for path in paths)


def _grid_message(image: Image, mask: Image) -> str:
    turned = mask.pixels.GetDimension() == image.pixels.GetDimension() and not np.allclose(
        mask.pixels.GetDirection(), image.pixels.GetDirection(), atol=1e-3
    )
    direction = ", turned against it" if turned else ""
    return f"The image has {described_grid(image)}, the mask {described_grid(mask)}{direction}."


def _spacing_facts(image: Image) -> dict[str, object]:
    known = image.spacing_source != "unknown"
    spacing = [*image.spacing, None][:3] if known else [None] * 3
    return {"spacing_source": image.spacing_source} | dict(zip(KEPT_SPACING, spacing, strict=True))
