"""Everything in a study's configuration that decides how predictors are made, with a hash per section.

A frozen model holds for patients whose predictors are made in the same way. Used while Snakemake reads the
workflow, so it needs nothing beyond the standard library.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from annulus.canonical import canonical, sha256_of
from annulus.features.ignored import WITHOUT_EFFECT

# Keys of a study that decide how predictors are made, beside the imaging settings of its images.
SECTIONS = (
    "images", "regions", "qc", "extraction", "timepoints", "changes", "instruments", "variables",
    "feature_groups",
)  # fmt: skip

# What is told to readers, wherever it stands.
TOLD = ("description", "what", "citation")

# Of images, the name of their settings (these count themselves); of qc, when the whole study is stopped; of
# extraction, where features are kept.
ELSEWHERE: Mapping[str, tuple[str, ...]] = {"qc": ("maximum_lost_share",), "extraction": ("store",)}

ABSENT = "absent"


def front_end(
    design: Mapping[str, Any],
    imaging: Mapping[str, Mapping[str, Any]],
    habitats_sha256: str | None = None,
) -> dict[str, Any]:
    """Return ``models/front_end.json``: the content and hash of every section, and ``sha256`` over all.

    ``design`` is a study's configuration (of which :data:`SECTIONS` and ``seed`` are read), ``imaging`` the
    content of its imaging settings by name. ``habitats_sha256`` is that of the frozen habitats.
    """
    content = {name: _section(name, design) for name in SECTIONS}
    content["imaging"] = {
        image: _settings(imaging[plan["settings"]])
        for image, plan in design.get("images", {}).items()
        if "settings" in plan
    }
    # Where nothing is drawn at random the seed changes no predictor.
    if content["extraction"].get("controls") or "habitats" in content["regions"]:
        content["seed"] = {"seed": design["seed"]}
    if habitats_sha256 is not None:
        content["habitats"] = {"sha256": habitats_sha256}
    sections = {name: {"sha256": sha256_of(part), "content": part} for name, part in content.items()}
    return {"format": 1, "sections": sections, "sha256": _of_sections(sections)}


def front_end_sha256(frozen: Mapping[str, Any]) -> str:
    """Work out the hash of a front end from what it says, whatever hashes stand in it."""
    sections = {name: {"sha256": sha256_of(part["content"])} for name, part in frozen["sections"].items()}
    return _of_sections(sections)


def differences(frozen: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Say where two front ends differ: the key, its frozen value and its value now; empty where nowhere."""
    before, after = frozen["sections"], now["sections"]
    lines: list[str] = []
    for name in dict.fromkeys([*before, *after]):
        old = before.get(name, {}).get("content", {})
        new = after.get(name, {}).get("content", {})
        lines += _changes(name, old, new)
    return lines


def _of_sections(sections: Mapping[str, Mapping[str, Any]]) -> str:
    return sha256_of({name: part["sha256"] for name, part in sections.items()})


def _section(name: str, design: Mapping[str, Any]) -> dict[str, Any]:
    section: dict[str, Any] = _without(design.get(name) or {}, TOLD)
    if name == "images":
        return {image: _without(plan, ("settings",)) for image, plan in section.items()}
    section = {key: value for key, value in section.items() if key not in ELSEWHERE.get(name, ())}
    if name == "extraction" and not any((section.get("controls") or {}).values()):
        section.pop("controls", None)
    return section


def _settings(content: Mapping[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = _without(content, TOLD)
    return settings | {"setting": _without(content["setting"], WITHOUT_EFFECT)}


def _without(content: Any, keys: tuple[str, ...]) -> Any:
    if isinstance(content, Mapping):
        return {key: _without(value, keys) for key, value in content.items() if key not in keys}
    return content


def _changes(path: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from _changes(f"{path}.{key}", old.get(key, _MISSING), new.get(key, _MISSING))
    elif _shown(old) != _shown(new):
        yield f"{path}: frozen {_shown(old)}, now {_shown(new)}"


class _Missing:
    """A key that is not there, which is not the same as one that is null."""


_MISSING = _Missing()


def _shown(value: Any) -> str:
    return ABSENT if value is _MISSING else canonical(value)
