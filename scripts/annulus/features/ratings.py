"""Features of second raters' outlines and of perturbed images, from which stability is judged.

Only training patients are rated, so that models may one day be kept to stable features; none is yet.
"""

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk

from annulus.errors import StudyError
from annulus.features.extraction import extract_image
from annulus.features.regions import CannotExtract, RegionMask
from annulus.features.settings import Settings
from annulus.features.stability import STABILITY_COLUMNS, icc_table
from annulus.imaging.perturbation import CannotPerturb, Perturbation, move_along, perturb
from annulus.imaging.qc import IMAGE_KEY, ROLES_OF, TISSUE_ROLE
from annulus.imaging.reading import Image, on_grid_of, read_again, read_written
from annulus.imaging.regions import Outlines, Plan, allowed_tissue, build_regions, excluded_breast, status_of
from annulus.imaging.seeds import seed_of

logger = logging.getLogger(__name__)

RATING_KEYS = ["patient_id", "timepoint", "image_id", "image", "source", "rating"]

# The rating that nothing was done to.
AS_IT_IS = "none"

# What stands for other lesions among the outlines, so that they move along with the image.
OTHERS = "other lesions"


@dataclass(frozen=True)
class RatingPlan:
    """How stability is judged; see ``stability`` in the study's schema.

    ``chains`` are perturbations by name; ``patients`` is how many training patients are perturbed.
    """

    chains: Mapping[str, tuple[Perturbation, ...]]
    patients: int

    @classmethod
    def of(cls, stability: Mapping[str, Any]) -> "RatingPlan":
        """Read the ``stability`` part of a study. Raises StudyError for amounts that make no sense."""
        chains = {
            name: tuple(Perturbation(kind, amount) for kind, amount in chain.items())
            for name, chain in stability["perturbations"].items()
        }
        return cls(chains, stability["patients"])


def chosen_patients(training: Iterable[str], count: int, seed: int) -> set[str]:
    """Choose which training patients are perturbed, by a seeded hash of their ids."""
    order = sorted(training, key=lambda p: hashlib.sha256(f"{seed}:stability:{p}".encode()).digest())
    return set(order[:count])


def rate_rows(
    images: pd.DataFrame,
    masks: pd.DataFrame,
    training: set[str],
    perturbed: set[str],
    ratings: RatingPlan,
    plan: Plan,
    settings: Mapping[str, Settings],
    mask_folder: Path,
    seed: int,
) -> pd.DataFrame:
    """Extract a chunk's training patients again, once per rater and once per perturbation.

    ``images`` are the chunk's rows of ``cohort/images.csv``, ``masks`` all of ``qc/masks.csv``. Returns a
    row per image and rating (``RATING_KEYS``) with columns ``<roi>_<filter>_<class>_<feature>``.
    """
    facts = images.drop_duplicates([*IMAGE_KEY]).set_index([*IMAGE_KEY])
    usable = masks[(masks["decision"] != "excluded") & masks["mask_file"].notna()]
    usable = usable[usable["patient_id"].isin(images["patient_id"])]
    rows: list[dict[str, Any]] = []
    for key, own in usable.groupby([*IMAGE_KEY]):
        fact = facts.loc[[key]].iloc[0].fillna("").astype(str).to_dict()
        if key[0] not in training or fact["image"] not in settings:
            continue
        subject = _Subject.read(fact, own, mask_folder, plan.lesion(fact["image"]))
        if subject is None:
            continue
        where = {**dict(zip(IMAGE_KEY, key, strict=True)), "image": fact["image"]}
        unbounded = excluded_breast(masks, key) if subject.breast is None else ""
        if unbounded and plan.tissue != "found":
            logger.warning("patient %s: image %s is not rated, since %s", key[0], key[2], unbounded)
            continue
        rated = [("raters", rater, *pair) for rater, pair in subject.by_rater()]
        if key[0] in perturbed:
            rated += [("perturbation", name, *pair) for name, pair in subject.perturbed(ratings, where, seed)]
        for source, rating, image, outlines in rated:
            logger.info("patient %s: image %s, %s %s", key[0], key[2], source, rating)
            values = _features(image, outlines, {**fact, **where}, plan, settings[fact["image"]])
            if values:
                rows.append({**where, "source": source, "rating": rating, **values})
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=RATING_KEYS)


def stability(ratings: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return ``features/stability.csv``: ICC(2,1) of every feature over raters and over perturbations.

    ``ratings`` are all chunks' rows, ``columns`` the study's feature columns in order. The first image by
    id stands for a patient; a patient without every rating does not count.
    """
    parts = []
    for source, own in ratings.groupby("source", sort=True):
        wide = _wide(own)
        if wide["rating"].nunique() < 2:
            continue
        parts.append(icc_table(wide, "rating", "2,1", str(source)))
    if not parts:
        return pd.DataFrame(columns=STABILITY_COLUMNS)
    table = pd.concat(parts, ignore_index=True)
    order = {column: i for i, column in enumerate(columns)}
    table = table[table["column"].isin(order)]
    return table.sort_values(["source", "column"], key=lambda c: c.map(order) if c.name == "column" else c)


@dataclass(frozen=True)
class _Subject:
    """An image, the outlines of its lesion by rater and role, the breast and other lesions."""

    image: Image
    outlines: Mapping[str, Mapping[str, sitk.Image]]
    breast: sitk.Image | None
    others: sitk.Image | None

    @classmethod
    def read(
        cls, fact: Mapping[str, str], rows: pd.DataFrame, folder: Path, lesion: str
    ) -> "_Subject | None":
        # The lesion that the study's own regions are built around.
        chosen = Outlines.read(rows, folder, lesion)
        if chosen is None:
            return None
        lesions = rows[rows["mask_role"].isin(ROLES_OF[lesion]) & (rows["lesion"] == chosen.lesion)]
        breast = rows[rows["mask_role"] == TISSUE_ROLE].sort_values("rater")
        image = read_again(fact)
        return cls(
            image,
            {
                str(rater): {
                    row.mask_role: read_written(folder / row.mask_file).pixels for row in group.itertuples()
                }
                for rater, group in lesions.groupby("rater")
            },
            read_written(folder / breast.iloc[0]["mask_file"]).pixels if len(breast) else None,
            None if chosen.others is None else on_grid_of(chosen.others, image),
        )

    def by_rater(self) -> Iterator[tuple[str, tuple[Image, dict[str, sitk.Image]]]]:
        """Yield the image with every rater's outlines, where there are several raters."""
        if len(self.outlines) > 1:
            for rater, own in self.outlines.items():
                yield rater, (self.image, self._with_surroundings(dict(own)))

    def perturbed(
        self, plan: RatingPlan, where: Mapping[str, str], seed: int
    ) -> Iterator[tuple[str, tuple[Image, dict[str, sitk.Image]]]]:
        """Yield the image as it is and after every chain of perturbations."""
        if not self.outlines:
            return
        own = dict(next(iter(self.outlines.values())))
        yield AS_IT_IS, (self.image, self._with_surroundings(own))
        base = next((own[role] for role in ("tumour", "node", "node_cortex") if role in own), None)
        for name, chain in plan.chains.items():
            if base is None:
                return
            drawn = seed_of(seed, where["patient_id"], where["image_id"], name)
            try:
                pixels, mask = perturb(self.image.pixels, base, chain, drawn)
                others = {
                    role: move_along(m, base, chain) for role, m in self._with_surroundings(own).items()
                }
            except CannotPerturb as reason:
                logger.warning("patient %s, %s: %s", where["patient_id"], name, reason)
                continue
            role = next(role for role, m in own.items() if m is base)
            yield name, (replace(self.image, pixels=pixels), others | {role: mask})

    def _with_surroundings(self, own: dict[str, sitk.Image]) -> dict[str, sitk.Image]:
        around = {TISSUE_ROLE: self.breast, OTHERS: self.others}
        return own | {role: mask for role, mask in around.items() if mask is not None}


def _features(
    image: Image,
    outlines: Mapping[str, sitk.Image],
    fact: Mapping[str, str],
    plan: Plan,
    settings: Settings,
) -> dict[str, float]:
    masks = {role: sitk.GetArrayFromImage(mask) > 0 for role, mask in outlines.items()}
    if "node" in masks and "node_hilum" in masks:
        masks.setdefault("node_cortex", masks["node"] & ~masks["node_hilum"])
    known = fact["spacing_source"] != "unknown"
    allowed = allowed_tissue(masks.get(TISSUE_ROLE), masks.get(OTHERS), image, plan)
    regions = []
    try:
        for of in plan.bases(fact["image"]):
            if of in masks:
                built = build_regions(masks[of], allowed, image.spacing, known, plan.around(of))
                regions += [
                    RegionMask.of(b.region.name, b.region.kind, b.mask)
                    for b in built
                    if status_of(b, plan)[0] == "ok"
                ]
        tissue = outlines.get(TISSUE_ROLE)
        return extract_image(image, regions, tissue, settings)[0]
    except (CannotExtract, StudyError) as reason:
        logger.warning("%s: %s", fact["image_id"], reason)
        return {}


def _wide(ratings: pd.DataFrame) -> pd.DataFrame:
    """One row per patient and rating, columns prefixed by the image's name."""
    first_time = ratings.groupby(["patient_id", "image"])["timepoint"].transform("min")
    ratings = ratings[ratings["timepoint"] == first_time]
    ids = ratings.groupby(["patient_id", "timepoint", "image"])["image_id"].transform("min")
    first = ratings[ratings["image_id"] == ids]
    parts = []
    for image, own in first.groupby("image"):
        values = own.drop(columns=["image_id", "image", "source", "timepoint"])
        values = values.drop_duplicates(["patient_id", "rating"]).set_index(["patient_id", "rating"])
        parts.append(values.dropna(axis="columns", how="all").add_prefix(f"{image}_"))
    joined = pd.concat(parts, axis=1)
    return joined.replace([np.inf, -np.inf], np.nan).reset_index()
