"""IBSI codes of pyradiomics features, where both define the same quantity."""

from functools import cache
from pathlib import Path

import yaml


def ibsi_code(class_name: str, feature: str) -> str:
    """Return the four-character IBSI code of a pyradiomics feature, or an empty string."""
    return _codes().get(f"{class_name}_{feature}", "")


@cache
def _codes() -> dict[str, str]:
    text = Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
    codes: dict[str, str] = yaml.safe_load(text)
    return codes
