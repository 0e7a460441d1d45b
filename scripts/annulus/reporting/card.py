"""A Model Card: what one frozen model is for, whom it was made on, how well it does, and where it ends.

After Mitchell et al., Model cards for model reporting, FAT* 2019:220-229.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from annulus.figures.style import cohort_title, model_title
from annulus.modelling.training_summary import LINEAR_PREDICTOR
from annulus.reporting.card_performance import calibration_lines, discrimination_lines
from annulus.reporting.numbers import text_of

# More predictors than these fill pages; the bundle lists all of them.
MOST_LISTED = 60


@dataclass(frozen=True)
class Described:
    """What a card says of the study itself, from its configuration.

    ``eligibility`` has its conditions, each with the ``reason`` that excludes; ``use`` is the decision that
    predictions are for.
    """

    title: str
    source: str
    eligibility: Sequence[Mapping[str, Any]]
    use: str
    images: Mapping[str, Mapping[str, Any]]
    cohorts: Sequence[str]


def card(
    content: Mapping[str, Any],
    front_end: Mapping[str, Any],
    performance: pd.DataFrame,
    warnings: pd.DataFrame,
    study: Described,
) -> str:
    """Write one model's card as Markdown.

    ``content`` is its sealed ``model.json``, ``front_end`` is ``models/front_end.json``, ``performance`` and
    ``warnings`` are the task's tables.
    """
    own = performance[performance["model"] == content["name"]]
    sections = {
        "Intended use": _use(content, study),
        "Population": _population(study),
        "Endpoint": _endpoint(content),
        "Predictors": _predictors(content),
        "Images and their settings": _images(content, front_end, study),
        "Training": _training(content),
        "Performance": discrimination_lines(own),
        "Calibration": calibration_lines(own),
        "Cut-off": _cut_off(content),
        "Limits": _limits(content, warnings),
        "Out of range": _out_of_range(content),
        "How to score patients": _scoring(content),
        "Licences": _licences(content),
        "Versions and hashes": _hashes(content),
    }
    lines = [f"# Model Card: {model_title(content['name'])}", ""]
    if content["synthetic"]:
        lines += [
            "**SYNTHETIC: fitted on simulated patients. It says nothing of any real patient.**",
            "",
        ]
    lines += [f"{study.title} (study `{content['study']}`, task `{content['task']}`)."]
    for title, body in sections.items():
        lines += ["", f"## {title}", "", *body]
    return "\n".join(lines) + "\n"


def _use(content: Mapping[str, Any], study: Described) -> Iterator[str]:
    yield "Research only. This is not a medical device, and no decision about a patient may rest on it."
    yield ""
    yield f"Predicts the probability of: {content['outcome']['label']}."
    yield f"The decision that the study considers: {study.use}."


def _population(study: Described) -> Iterator[str]:
    yield f"- Study: {study.source or 'no source is stated'}"
    if not study.eligibility:
        yield "- Eligibility: everybody in the cohort"
    for condition in study.eligibility:
        yield f"- Eligible: `{condition['column']}` {_condition(condition)} (excluded: {condition['reason']})"
    yield f"- Cohorts: {', '.join(cohort_title(cohort) for cohort in study.cohorts)}"


def _condition(condition: Mapping[str, Any]) -> str:
    parts = []
    if "values" in condition:
        parts.append(f"is {' or '.join(map(str, condition['values']))}")
    if "minimum" in condition:
        parts.append(f"is {condition['minimum']} or more")
    if "below" in condition:
        parts.append(f"is below {condition['below']}")
    return " and ".join(parts)


def _endpoint(content: Mapping[str, Any]) -> Iterator[str]:
    outcome = content["outcome"]
    yield f"Column `{outcome['outcome']}`. Event: {_values(outcome['positive'])}. No event: " + (
        f"{_values(outcome['negative'])}. Any other value, or none, is an unknown outcome."
    )


def _values(values: Sequence[object]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _predictors(content: Mapping[str, Any]) -> Iterator[str]:
    if not content["fitted"]:
        yield f"There is no model: {content['reason']}."
        return
    yield "| Column | What it is | Unit | Training: mean (SD), or patients per level | Missing |"
    yield "| --- | --- | --- | --- | --- |"
    summary = content["training"]["summary"]
    rows = [(name, entry["description"], entry.get("unit", "")) for name, entry in _variables(content)]
    rows += [(entry["column"], _feature(entry), "") for entry in content["features"]]
    for name, description, unit in rows[:MOST_LISTED]:
        found = summary[name]
        yield f"| `{name}` | {description} | {unit or '–'} | {_typical(found)} | {found['missing']} |"
    if len(rows) > MOST_LISTED:
        yield ""
        yield f"And {len(rows) - MOST_LISTED} more; `features` of model.json lists all."


def _variables(content: Mapping[str, Any]) -> Sequence[tuple[str, Mapping[str, Any]]]:
    return list(content["variables"].items())


def _feature(entry: Mapping[str, str]) -> str:
    if "feature" not in entry:
        return entry.get("description", "–")
    time = f", {entry['time']}" if entry["time"] else ""
    code = f", IBSI {entry['ibsi_code']}" if entry["ibsi_code"] else ""
    return (
        f"{entry['class']} {entry['feature']} of {entry['roi']} in {entry['image']}{time} "
        f"({entry['filter']}{code})"
    )


def _typical(found: Mapping[str, Any]) -> str:
    if "levels" in found:
        return ", ".join(f"{level}: {count}" for level, count in found["levels"].items())
    if found["mean"] is None:
        return "–"
    spread = "" if found["sd"] is None else f" ({found['sd']:.3g})"
    return f"{found['mean']:.3g}{spread}"


def _images(content: Mapping[str, Any], front_end: Mapping[str, Any], study: Described) -> Iterator[str]:
    used = {entry["image"] for entry in content["features"] if "image" in entry}
    sized = any("image" not in entry for entry in content["features"])
    if not study.images or not (used or sized):
        yield "The model uses no image."
        return
    sections = front_end["sections"]
    for name, image in study.images.items():
        settings = sections["imaging"]["content"].get(name)
        if settings is None or (used and name not in used):
            continue
        setting = settings["setting"]
        grey = (
            f"{setting['binCount']} bins" if setting.get("binCount") else f"bin width {setting['binWidth']:g}"
        )
        spacing = setting.get("resampledPixelSpacing")
        view = f", {image['view']}" if "view" in image else ""
        yield (
            f"- `{name}`: {image['modality']}, series {image['series']}{view}; {grey}; grey values "
            f"normalised within: {settings['normalise_within']}; resampled to: "
            f"{'their own pixels' if not spacing else ' x '.join(f'{mm:g}' for mm in spacing) + ' mm'}; "
            f"filters: {', '.join(settings['imageType'])}"
        )
    yield (
        "- All settings are in models/front_end.json, and predictions hold only for features that were "
        f"extracted with them (`{front_end['sha256']}`)."
    )


def _training(content: Mapping[str, Any]) -> Iterator[str]:
    training = content["training"]
    if not content["fitted"]:
        yield "Nothing was fitted."
        return
    yield (
        f"{training['n']} patients, {training['events']} events ({100 * training['prevalence']:.1f} %). "
        "Imputation, scaling, selection and the cut-off were all fitted on them alone."
    )
    if content["reason"]:
        yield ""
        yield f"Note: {content['reason']}."


def _cut_off(content: Mapping[str, Any]) -> Iterator[str]:
    threshold = content["threshold"]
    if threshold is None:
        yield "The model has none."
        return
    interval = threshold["interval"]
    between = f" (95 % interval {interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
    yield f"Positive from a predicted probability of {threshold['value']:.4f}{between}."
    yield f"Rule: {threshold['rule']}."


def _limits(content: Mapping[str, Any], warnings: pd.DataFrame) -> Iterator[str]:
    concerned = warnings["model"].isna() | (warnings["model"] == content["name"])
    messages = [text_of(message) for message in warnings.loc[concerned, "message"].drop_duplicates()]
    for message in messages:
        yield f"- {message}"
    yield "- Nothing is known of patients who would not have been eligible, nor of other equipment."


def _out_of_range(content: Mapping[str, Any]) -> Iterator[str]:
    if not content["fitted"]:
        yield "There is no model."
        return
    score = content["training"]["summary"][LINEAR_PREDICTOR]
    yield (
        "Training ranges of every column are in `training.summary` of model.json. A value below the minimum "
        "or above the maximum, or a level that no training patient had, is extrapolation: say so beside the "
        "prediction, or make none. A missing value is filled in from training, which says less the more are "
        "missing."
    )
    yield (
        f"Linear predictors of training patients were {score['minimum']:.3f} to {score['maximum']:.3f} "
        f"(middle 90 %: {score['q05']:.3f} to {score['q95']:.3f})."
    )


def _scoring(content: Mapping[str, Any]) -> Iterator[str]:
    if not content["fitted"]:
        yield "There is no model to score with."
        return
    yield "```"
    yield f"annulus score models/{content['task']}/{content['name']}/model.json patients.csv"
    yield "```"
    yield "The table has a row per patient, with `patient_id` and the columns above. No other file is needed."


def _licences(content: Mapping[str, Any]) -> Iterator[str]:
    licences = content["licences"]
    data = licences["cohort"]
    may = "may" if data["redistribution"] else "may not"
    yield f"- annulus: {licences['annulus']}"
    yield f"- Training data `{data['name']}`, which {may} be handed on: {data['licence']}"
    yield f"- Cite the data as: {data['citation']}"


def _hashes(content: Mapping[str, Any]) -> Iterator[str]:
    yield f"- Versions: {', '.join(f'{name} {version}' for name, version in content['versions'].items())}"
    yield f"- Model: `{content['sha256']}`"
    yield f"- Front end: `{content['front_end_sha256']}`"
    for name, sha256 in content["hashes"].items():
        yield f"- {name.replace('_', ' ').capitalize()}: `{sha256}`"
