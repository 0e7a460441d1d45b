"""The configuration's reference page, generated from the schemas that check it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annulus.cohort.dictionary import Derivation, columns_of
from annulus.config import Settings, read_yaml

FINDINGS = """# What quality control finds

Generated from `scripts/annulus/imaging/findings.yaml` and `workflow/schemas/study.schema.yaml`; do not edit
by hand (`uv run python .ci/config_docs.py` writes it, CI checks it).

Each finding is a row of `qc/findings.csv` with its code, what followed (`repair`, `exclude` or `warn`), the
value measured, the threshold, a sentence, and the repair with the voxels before and after. `qc/masks.csv`
says what became of every mask. Codes with choices are set under `qc` of the study; the default is in bold.
Originals are never changed.

| code | meaning | what follows | threshold |
|---|---|---|---|
"""

DICTIONARY = """# Data dictionary

Generated from `scripts/annulus/cohort/dictionary.yaml`; do not edit by hand
(`uv run python .ci/config_docs.py` writes it, CI checks it).

What the columns of a participants table and of an image manifest may hold. An empty cell is a missing value,
never a number such as -1 or 999; yes and no are 1 and 0. A column `NAME_missing_reason` may say why.

A derived column may be left out: it is worked out where the columns that it takes are there, and so may these
be derived. A cell that is given stands, unless it disagrees with what follows from the others; then the study
ends before an image is read. What cannot be derived stays missing. Cut-offs are under `instruments` of the
study. `_pre` and `_post` are before and after neoadjuvant therapy.

"""

INTRODUCTION = """# Configuration

Generated from `workflow/schemas/`; do not edit by hand
(`uv run python .ci/config_docs.py` writes it, CI checks it).

- `config.yaml` names the study to run. Any key of the study may be laid over there, or with --config:
  `uv run snakemake --cores all --config study=cem_her2 patients=60`.
- `studies/NAME.yaml` is a study's design. `--configfile config/studies/NAME.yaml` runs it directly.
- `cohorts/NAME.yaml` says where patients come from: simulated, or two tables of yours.
- `imaging/NAME.yaml` holds the extraction settings of one kind of image.

A key that is not listed here is refused, and the nearest known one is named.

## A cohort of your own

Write two CSV files in UTF-8 and one small YAML. `participants.csv` has a row per patient; its columns
are named in the [data dictionary](../docs/data_dictionary.md). `images.csv` has a row per image and mask.
An empty cell is a missing value.

```yaml
name: mine
source: table
folder: /data/mine            # paths in the tables are relative to it
chunks: 10                    # about one per 20 patients
participants: {file: participants.csv}
images: {file: images.csv}
```

Then write a study: copy the one in `studies/` that is nearest, or start from this.

```yaml
name: my_study
title: What it is about
cohort: config/cohorts/mine.yaml
seed: 1
images:
  us: {modality: US, series: bmode, settings: us_bmode}
regions:
  unit: mm
  rois: {itr: {kind: tumour}, ptr5: {kind: ring, outer: 5}}
split:
  by: random
  cohorts: {train: 0.7, internal_test: 0.3}
tasks:
  malignancy:
    outcome: malignant
    positive: [1]
    negative: [0]
    signatures: [itr, ptr5]
    combined: {radiomics: {signatures: [itr, ptr5]}}
    decision: {description: biopsy the lesion, thresholds: [0.02, 0.5]}
```

`uv run snakemake --cores all --configfile my_study.yaml` runs it. Tables with other column names are
mapped in the cohort file; `cohorts/bus_bra.yaml` does so. A study of clinical variables alone has neither
images nor regions, and its cohort no image table (`studies/kaiser_us_alnm.yaml`). Patients imaged before and
after therapy have two rows per image, told apart by timepoint (`studies/us_axilla_post_nst.yaml`).
"""


def render(schemas: Path) -> str:
    """Return the whole page as Markdown."""
    parts = [INTRODUCTION]
    for name in ("study", "cohort", "imaging"):
        schema = read_yaml(schemas / f"{name}.schema.yaml")
        parts.append(f"## {schema['title']}\n\n{_line(schema['description'])}\n")
        parts.append("| key | type | default | meaning |\n|---|---|---|---|")
        parts.append("\n".join(_rows(schema, schema, "")) + "\n")
    return "\n".join(parts)


def render_dictionary() -> str:
    """Render the data dictionary, the derived columns with what they take and their rule."""
    parts = []
    for table, title in (("participants", "Participants table"), ("images", "Image manifest")):
        parts.append(f"## {title}\n\n| column | type | allowed | meaning | derived |\n|---|---|---|---|---|")
        parts.append("\n".join(_dictionary_rows(table)) + "\n")
    return DICTIONARY + "\n".join(parts)


def _rows(schema: Settings, root: Settings, prefix: str) -> Iterator[str]:
    required = schema.get("required", [])
    for key, part in schema.get("properties", {}).items():
        resolved = _resolved(part, root)
        name = f"{prefix}{key}"
        default = "required" if key in required else _shown(resolved.get("default"))
        yield f"| `{name}` | {_type(resolved)} | {default} | {_line(resolved.get('description', ''))} |"
        yield from _rows(resolved, root, f"{name}.")
        yield from _rows(_resolved(resolved.get("items", {}), root), root, f"{name}[].")
        yield from _others(resolved, root, f"{name}.")


def _others(schema: Settings, root: Settings, prefix: str) -> Iterator[str]:
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        yield from _rows(_resolved(others, root), root, f"{prefix}NAME.")
        for option in others.get("oneOf", []):
            yield from _rows(option, root, f"{prefix}NAME.")


def _resolved(part: Settings, root: Settings) -> Settings:
    if "$ref" not in part:
        return part
    target: Any = root
    for step in part["$ref"].removeprefix("#/").split("/"):
        target = target[step]
    return {**target, **{key: value for key, value in part.items() if key != "$ref"}}


def _type(part: Settings) -> str:
    if "enum" in part:
        return ", ".join(f"`{value}`" for value in part["enum"])
    kind = part.get("type", "")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _shown(value: object) -> str:
    return "" if value is None or value == {} or value == "" else f"`{value}`"


def _line(text: str) -> str:
    return " ".join(str(text).split())


def _dictionary_rows(table: str) -> Iterator[str]:
    for column in columns_of(table).values():
        if column.levels:
            allowed = ", ".join(column.levels)
        elif column.type == "boolean":
            allowed = "0, 1"
        elif column.type in ("number", "integer") and column.maximum < float("inf"):
            allowed = f"{column.minimum:g} to {column.maximum:g} {column.unit}".strip()
        else:
            allowed = column.unit
        needed = " (required)" if column.required else ""
        meaning = f"{_line(column.description)}{needed}"
        yield f"| `{column.name}` | {column.type} | {allowed} | {meaning} | {_derived(column.derived)} |"


def _derived(derivation: Derivation | None) -> str:
    if derivation is None:
        return ""
    needed = ", ".join(f"`{name}`" for name in derivation.needed)
    optional = ", ".join(f"`{name}`" for name in derivation.optional)
    return f"{derivation.rule}; from {needed}{f', where there {optional}' if optional else ''}"


def render_findings(schemas: Path) -> str:
    """Render the page of quality control's codes, their policies and thresholds."""
    codes = read_yaml(Path(__file__).parent / "imaging" / "findings.yaml")
    qc = read_yaml(schemas / "study.schema.yaml")["properties"]["qc"]["properties"]
    used = {code: _thresholds(code, qc) for code in codes}
    rows = (
        f"| `{code}` | {meaning} | {_policies(qc.get(code))} | {used[code]} |"
        for code, meaning in codes.items()
    )
    return FINDINGS + "\n".join(rows) + "\n"


def _policies(policy: Settings | None) -> str:
    if policy is None:
        return "always excludes"
    return ", ".join(f"**{word}**" if word == policy["default"] else word for word in policy["enum"])


def _thresholds(code: str, qc: Settings) -> str:
    return ", ".join(
        f"`{key}` ({part['default']})"
        for key, part in qc.items()
        if "enum" not in part and code in part["description"].split(".")[0].split(", ")
    )
