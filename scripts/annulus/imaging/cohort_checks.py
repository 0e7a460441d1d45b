"""Quality control that needs the whole study: duplicates, recorded diameters, and who is lost."""

from collections.abc import Iterable, Mapping

import pandas as pd

from annulus.errors import StudyError
from annulus.imaging.findings import Finding, Policy, finding_rows
from annulus.imaging.qc import IMAGE_KEY, LESION_ROLES, chosen_outlines

# The timepoint at which the diameter of the participants table was measured.
RECORDED_AT = "baseline"


def telling_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """Leave out the pairs of one patient that are merely alike, as the phases of an examination are."""
    return pairs[(pairs["kind"] == "identical") | (pairs["same_patient"] == 0)]


def duplicate_findings(pairs: pd.DataFrame, policy: Policy) -> list[tuple[dict[str, str], Finding]]:
    """Make findings of duplicate images (``qc/duplicates.csv``), on both of every pair.

    Which of two patients an image belongs to cannot be known, so both lose it where the policy excludes;
    of a patient's own duplicates the first (baseline before later, then by id) stays.
    """
    found = []
    for pair in pairs.to_dict("records"):
        code = "duplicate_image" if pair["kind"] == "identical" else "near_duplicate_image"
        ends = [("a", "b"), ("b", "a")] if not pair["same_patient"] else [("b", "a")]
        for own, other in ends:
            alike = "the same as" if pair["kind"] == "identical" else "almost the same as"
            same_time = pair["timepoint_a"] == pair["timepoint_b"]
            when = "" if same_time else f" at timepoint {pair[f'timepoint_{other}']}"
            message = (
                f"The image is {alike} image {pair[f'image_{other}']} of patient "
                f"{pair[f'patient_{other}']}{when}."
            )
            ends_at = (pair[f"{part}_{own}"] for part in ("patient", "timepoint", "image"))
            where = dict(zip(IMAGE_KEY, ends_at, strict=True))
            limit = policy.thresholds["maximum_fingerprint_distance"]
            found.append((where, policy.found(code, message, pair["distance"], limit)))
    return found


def diameter_findings(
    masks: pd.DataFrame, participants: pd.DataFrame, policy: Policy
) -> list[tuple[dict[str, str], Finding]]:
    """Find tumours whose largest diameter does not fit the patient's recorded ``tumor_diameter_mm``.

    That is the diameter of the index lesion at baseline, so each image's largest tumour at baseline, by the
    first rater, is held against it and nothing else. Where no outline is usable the excluded ones count.
    """
    if "tumor_diameter_mm" not in participants:
        return []
    recorded = pd.to_numeric(participants.set_index("patient_id")["tumor_diameter_mm"], errors="coerce")
    limit = policy.thresholds["maximum_diameter_ratio"]
    found = []
    measured = masks[(masks["timepoint"] == RECORDED_AT) & masks["largest_diameter_mm"].notna()]
    for key, rows in measured.groupby([*IMAGE_KEY]):
        usable = rows[rows["decision"] != "excluded"]
        outlines = chosen_outlines(usable if len(usable) else rows, "tumour")
        if outlines.empty:
            continue
        own, told = outlines.iloc[0]["largest_diameter_mm"], recorded.get(key[0])
        if told is None or pd.isna(told) or not own:
            continue
        ratio = max(own / told, told / own)
        if ratio > limit:
            message = (
                f"The mask is {own:.0f} mm across, the recorded diameter {told:g} mm: they differ "
                f"{ratio:.1f} times ({limit:g} allowed). Compare the pixel size, the units and the patient."
            )
            where = dict(zip(IMAGE_KEY, key, strict=True))
            found.append((where, policy.found("diameter_mismatch", message, ratio, limit)))
    return found


def with_findings(
    masks: pd.DataFrame, found: Iterable[tuple[Mapping[str, str], Finding]]
) -> tuple[pd.DataFrame, list[dict[str, object]]]:
    """Lay findings that came later over ``qc/masks.csv``; returns it and rows of ``qc/findings.csv``.

    A duplicate concerns every row of its image, also that of an image without a mask; a diameter concerns
    the masks of lesions.
    """
    masks = masks.astype({"reasons": "object", "message": "object", "decision": "object"})
    rows: list[dict[str, object]] = []
    lesions = masks["mask_role"].isin(LESION_ROLES)
    for where, finding in found:
        own = (masks[[*IMAGE_KEY]] == [where[key] for key in IMAGE_KEY]).all(axis="columns")
        if finding.code == "diameter_mismatch":
            own &= lesions
        for index in masks.index[own]:
            row = masks.loc[index]
            masks.loc[index, "reasons"] = _joined(row["reasons"], finding.code, ";")
            masks.loc[index, "message"] = _joined(row["message"], finding.message, " ")
            if finding.action == "exclude":
                masks.loc[index, "decision"] = "excluded"
            rows += finding_rows(row.fillna("").astype(str).to_dict(), [finding])
    return masks, rows


def lost_patients(masks: pd.DataFrame, patients: Iterable[str], images: Mapping[str, bool]) -> dict[str, str]:
    """Say for each patient who is lost at quality control why.

    ``masks`` is ``qc/masks.csv``; ``images`` says of each of the study's images whether it needs a mask
    of a lesion. A patient is lost when one of the images has nothing usable.
    """
    lost: dict[str, str] = {}
    for name, needs_lesion in images.items():
        rows = masks[masks["image"] == name]
        if needs_lesion:
            rows = rows[rows["mask_role"].isin(LESION_ROLES)]
        excluded = rows["decision"] == "excluded"
        good = set(rows.loc[~excluded, "patient_id"])
        why = rows[excluded].groupby("patient_id")["reasons"].first()
        for patient in sorted(set(patients) - good):
            lost.setdefault(patient, f"{name}: {why.get(patient, 'not_in_manifest')}")
    return lost


def refuse_large_loss(lost: pd.DataFrame, masks: pd.DataFrame, patients: int, maximum_share: float) -> None:
    """Raise StudyError when more than ``maximum_share`` of the patients is in ``qc/lost.csv``, saying why."""
    if len(lost) <= maximum_share * patients:
        return
    counts = lost["reason"].value_counts()
    reasons = "; ".join(f"{reason} ({count})" for reason, count in counts.items())
    excluded = masks[masks["message"].notna() & (masks["decision"] == "excluded")]
    example = (
        f" For example, patient {excluded.iloc[0].patient_id}, image {excluded.iloc[0].image_id}: "
        f"{excluded.iloc[0].message}"
        if len(excluded)
        else ""
    )
    raise StudyError(
        f"Quality control lost {len(lost)} of {patients} patients, more than qc.maximum_lost_share "
        f"({maximum_share:g}) allows: {reasons}.{example} qc/masks.csv and the gallery show all of them. "
        "Mend the files, or raise the share if the loss is right."
    )


def usable_images(masks: pd.DataFrame) -> pd.DataFrame:
    """Return the keys of images with a usable mask of a lesion, as ``qc/masks.csv`` says at the end."""
    good = masks[masks["mask_role"].isin(LESION_ROLES) & (masks["decision"] != "excluded")]
    return good[[*IMAGE_KEY, "image"]].drop_duplicates()


def _joined(old: object, new: str, by: str) -> str:
    return new if pd.isna(old) or old == "" else f"{old}{by}{new}"
