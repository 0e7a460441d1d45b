"""What a report says of images and features: quality control, regions, and columns of features."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from annulus.imaging.findings import MEANINGS
from annulus.reporting.numbers import number

# What the report says of a mode of extraction (docs/features.md).
MODES = {
    "shared": "one preparation of an image for all of its regions",
    "compatible": "equal to pyradiomics’ execute() region by region",
}


def imaging_parts(tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Return quality control, regions and features as text."""
    return {
        "quality": _quality(tables),
        "rings": _rings(tables["rois"]),
        "features": _features(tables["catalogue"], tables["failures"]),
    }


def given_parts(tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Return what there is of a feature table: its columns by group, and patients without features."""
    catalogue = tables["catalogue"]
    return {
        "groups": [
            {
                "group": group,
                "columns": len(rows),
                "constant": int(rows["constant"].sum()),
                "missing": int((rows["missing"] > 0).sum()),
            }
            for group, rows in catalogue.groupby("roi", sort=False)
        ],
        "lost": len(tables["failures"]),
    }


def _quality(tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    found = tables["findings"]
    rows = [
        {
            "code": code,
            "meaning": MEANINGS[code],
            "action": action,
            "masks": len(group),
            "patients": group["patient_id"].nunique(),
            "example": group["message"].iloc[0],
        }
        for (code, action), group in found.groupby(["code", "action"])
    ]
    order = {"exclude": 0, "repair": 1, "warn": 2}
    return {
        "decisions": tables["masks"]["decision"].value_counts().to_dict(),
        "findings": sorted(rows, key=lambda row: (order[row["action"]], -row["masks"])),
        "agreement": _agreement(tables["agreement"]),
    }


def _agreement(pairs: pd.DataFrame) -> str:
    if pairs.empty:
        return ""
    dice, far = pairs["dice"], pairs["hd95_mm"].dropna()
    distance = f", 95 % of the outlines within {far.median():.1f} mm (median)" if len(far) else ""
    median, lowest = f"{dice.median():.2f}", f"{dice.min():.2f}"
    return f"{len(pairs)} pairs of outlines, median Dice {median} (lowest {lowest}){distance}."


def _rings(rois: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for (roi, kind), group in rois.groupby(["roi", "kind"], sort=False):
        rows.append(
            {
                "roi": roi,
                "kind": kind,
                "n": len(group),
                "usable": int((group["status"] == "ok").sum()),
                "voxels": f"{group['voxels'].median():.0f}",
                "unit": "" if pd.isna(group["unit"].iloc[0]) else group["unit"].iloc[0],
                "width": "–"
                if group["outer"].isna().all() or not group["outer"].any()
                else f"{group['inner'].iloc[0]:g} to {group['outer'].iloc[0]:g}",
                "achieved": number(group["achieved"].median(), 2),
                "lost": "–"
                if group["lost_fraction"].isna().all()
                else f"{group['lost_fraction'].mean():.1%}",
            }
        )
    return rows


def _features(catalogue: pd.DataFrame, failures: pd.DataFrame) -> dict[str, Any]:
    return {
        "columns": len(catalogue),
        "constant": int(catalogue["constant"].sum()),
        "mode": _mode(catalogue),
        "failures": len(failures),
    }


def _mode(catalogue: pd.DataFrame) -> str:
    mode = str(catalogue["mode"].dropna().iloc[0])
    return f"{mode} ({MODES[mode]})"
