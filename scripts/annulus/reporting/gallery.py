"""The gallery of a cohort: every image with its outlines and findings on one page, the worst first."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined

KEY = ["patient_id", "timepoint", "image_id"]

# Excluded before repaired before warned of; then whoever has more findings, or loses more of a ring.
WORST = {"excluded": 0, "repaired": 1, "warned": 2, "pass": 3}


def cards(
    masks: pd.DataFrame, findings: pd.DataFrame, rois: pd.DataFrame, thumbnails: pd.DataFrame
) -> list[dict[str, Any]]:
    """Return a card per image, the worst first.

    The tables are ``qc/masks.csv``, ``qc/findings.csv``, ``rois/rois.csv`` and the thumbnails' (with their
    paths from the page).
    """
    said = findings.drop_duplicates([*KEY, "code", "message"]).groupby(KEY)
    messages = {key: group[["code", "action", "message", "repair"]] for key, group in said}
    lost = rois.groupby(KEY)["lost_fraction"].max().to_dict()
    pictures = thumbnails.set_index(KEY)["thumbnail"].to_dict()
    found = []
    for key, group in masks.groupby(KEY, sort=True):
        own = messages.get(key)
        rows = [] if own is None else own.fillna("").to_dict("records")
        decisions = set(group["decision"])
        decision = next((d for d in ("excluded", "repaired") if d in decisions), "warned" if rows else "pass")
        share = lost.get(key, 0.0)
        found.append(
            {
                "patient": key[0],
                "image": key[2],
                "decision": decision,
                "findings": rows,
                "lost": 0.0 if pd.isna(share) else float(share),
                "thumbnail": pictures.get(key, ""),
            }
        )
    return sorted(found, key=lambda card: (WORST[card["decision"]], -len(card["findings"]), -card["lost"]))


def render_gallery(
    title: str, found: list[dict[str, Any]], colours: Mapping[str, str], synthetic: bool, redistribution: bool
) -> str:
    """Render the page; its pictures lie beside it and are loaded as they come into view."""
    environment = Environment(undefined=StrictUndefined, autoescape=True, trim_blocks=True)
    template = Path(__file__).with_suffix(".html.jinja").read_text(encoding="utf-8")
    counts = pd.Series([card["decision"] for card in found], dtype=str).value_counts().to_dict()
    codes = sorted({row["code"] for card in found for row in card["findings"]})
    return environment.from_string(template).render(
        title=title,
        cards=found,
        colours=colours,
        counts={name: counts.get(name, 0) for name in WORST},
        codes=codes,
        synthetic=synthetic,
        redistribution=redistribution,
    )
