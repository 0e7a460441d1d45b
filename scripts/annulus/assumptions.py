"""What a paper does not state and a study chose: each choice with the configuration key that changes it.

Used while Snakemake reads the workflow, so it needs nothing beyond what Snakemake itself installs.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annulus.errors import nearest


# Keys of a simulated cohort, about which there is nothing to assume where patients are real.
OF_SIMULATION = ("simulator", "shares", "null", "raters", "defects")


@dataclass(frozen=True)
class Sources:
    """Where keys lead: the study design, the cohort's file (``cohort``) and settings (``imaging``)."""

    design: Mapping[str, Any]
    cohort: Mapping[str, Any]
    imaging: Mapping[str, Any]

    def tree(self) -> dict[str, Any]:
        """Return all configuration as one mapping; ``cohort`` and ``imaging`` lead into their files."""
        return {**self.design, "cohort": self.cohort, "imaging": self.imaging}


def assumption_contradictions(sources: Sources) -> Iterator[str]:
    """Yield every assumption whose key leads nowhere, with the nearest key that is there."""
    for place, assumption in enumerate(sources.design["assumptions"]):
        if not _applies(assumption["key"], sources):
            continue
        try:
            value_of(assumption["key"], sources)
        except KeyError as error:
            yield f"assumptions.{place}.key: {error.args[0]}"


def in_force(sources: Sources) -> list[dict[str, str]]:
    """Return ``what``, ``key`` and ``value`` of every assumption, the value as it stands, written as JSON."""
    return [
        {**assumption, "value": _written(value_of(assumption["key"], sources))}
        for assumption in sources.design["assumptions"]
        if _applies(assumption["key"], sources)
    ]


def value_of(key: str, sources: Sources) -> Any:
    """Return the value at a dotted key, whose parts are names, or places in a list from 0 on.

    Raises KeyError, saying which part is not there and what is nearest to it.
    """
    value: Any = sources.tree()
    reached: list[str] = []
    for part in key.split("."):
        below = _below(value)
        if part not in below:
            place = ".".join(reached) or "the configuration"
            near = nearest(part, list(below))
            listed = f"It has: {', '.join(below)}." if below else "It is a value and has no keys."
            raise KeyError(f"{key!r}: {place} has no key {part!r}{near}. {listed}")
        value = below[part]
        reached.append(part)
    return value


def _applies(key: str, sources: Sources) -> bool:
    tree, _, part = key.partition(".")
    return tree != "cohort" or part not in OF_SIMULATION or part in sources.cohort


def _below(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {str(key): below for key, below in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return {str(place): below for place, below in enumerate(value)}
    return {}


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
