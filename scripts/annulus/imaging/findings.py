"""What quality control finds, what is done about it, and how it is written down.

Every finding has a code of its own. What follows from a code (``repair``, ``exclude`` or ``warn``) and
the threshold behind it come from the ``qc`` part of the study; codes that are not in it mean that there
is nothing to go on with, and exclude.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import SimpleITK as sitk
import yaml

# What every code means.
MEANINGS: dict[str, str] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))

FINDING_COLUMNS = [
    "patient_id", "timepoint", "image_id", "mask_role", "rater", "lesion", "code", "action", "value",
    "threshold", "message", "repair",
]  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with an image or mask.

    ``action`` is ``repair``, ``exclude`` or ``warn``; ``value`` was measured and held against
    ``threshold``; ``repair`` says what was done, with the counts before and after.
    """

    code: str
    action: str
    message: str
    value: float | None = None
    threshold: float | None = None
    repair: str = ""

    def __post_init__(self) -> None:
        """Refuse a code that has no meaning written down."""
        if self.code not in MEANINGS:
            raise AssertionError(f"the finding {self.code} is not in findings.yaml")


@dataclass(frozen=True)
class Policy:
    """What quality control does about each code, and from which threshold on; ``qc`` in the study.

    ``needs_spacing`` says that the study measures in mm, so that an image without a pixel size is of
    no use.
    """

    actions: Mapping[str, str]
    thresholds: Mapping[str, float]
    needs_spacing: bool = False

    @classmethod
    def of(cls, qc: Mapping[str, Any], unit: str) -> "Policy":
        """Read the ``qc`` part of a study whose regions are measured in ``unit``."""
        actions = {key: value for key, value in qc.items() if isinstance(value, str)}
        thresholds = {key: float(value) for key, value in qc.items() if not isinstance(value, str)}
        return cls(actions, thresholds, needs_spacing=unit == "mm")

    def action(self, code: str) -> str:
        """Return what a code leads to."""
        return self.actions.get(code, "exclude")

    def repairs(self, code: str) -> bool:
        """Say whether a code is repaired."""
        return self.action(code) == "repair"

    def found(
        self,
        code: str,
        message: str,
        value: float | None = None,
        threshold: float | None = None,
        repair: str = "",
    ) -> Finding:
        """Make a finding; ``repair`` is kept only where the policy repairs."""
        return Finding(
            code, self.action(code), message, value, threshold, repair if self.repairs(code) else ""
        )


@dataclass(frozen=True)
class Checked:
    """One mask after quality control.

    ``mask`` is the mask to go on with, None when it is excluded. ``measures`` are columns of
    ``qc/masks.csv``: sizes are those after repair, ``components`` and ``holes`` those of the original.
    """

    findings: tuple[Finding, ...] = ()
    measures: Mapping[str, float | int | None] = field(default_factory=dict)
    mask: sitk.Image | None = field(default=None, repr=False)

    @property
    def decision(self) -> str:
        """Return ``excluded``, ``repaired`` or ``pass``."""
        actions = {finding.action for finding in self.findings}
        return "excluded" if "exclude" in actions else "repaired" if "repair" in actions else "pass"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return the codes found."""
        return tuple(finding.code for finding in self.findings)

    @property
    def repairs(self) -> tuple[str, ...]:
        """Return what was repaired."""
        return tuple(finding.repair for finding in self.findings if finding.repair)

    @property
    def message(self) -> str:
        """Return what was found, in words."""
        return " ".join(finding.message for finding in self.findings)

    def with_finding(self, finding: Finding) -> "Checked":
        """Return this mask with one more finding, without its mask where that excludes it."""
        mask = None if finding.action == "exclude" else self.mask
        return Checked((*self.findings, finding), self.measures, mask)

    def row(self) -> dict[str, object]:
        """Return the columns of ``qc/masks.csv`` that quality control decides."""
        return {
            **self.measures,
            "decision": self.decision,
            "reasons": ";".join(self.reasons),
            "repairs": ";".join(self.repairs),
            "message": self.message,
        }


def finding_rows(row: Mapping[str, str], findings: Sequence[Finding]) -> list[dict[str, object]]:
    """Return findings as rows of ``qc/findings.csv``, under the manifest row's keys."""
    keys = {key: row.get(key, "") for key in FINDING_COLUMNS[:6]}
    return [
        {
            **keys,
            **vars(finding),
            "value": None if finding.value is None else float(finding.value),
            "threshold": None if finding.threshold is None else float(finding.threshold),
        }
        for finding in findings
    ]
