"""Columns of the tables of features, wherever the features come from."""

KEYS = ["patient_id", "timepoint"]
CATALOGUE_COLUMNS = [
    "column", "image", "roi", "filter", "class", "feature", "ibsi_code", "settings_sha256",
    "mode", "missing", "constant",
]  # fmt: skip
FAILURE_COLUMNS = ["patient_id", "image_id", "roi", "reason", "timepoint", "image", "feature"]
