"""Whether a new cohort's values can mean what they meant in training: coding, units and patients.

Everything here compares with frozen training summaries, and outcomes are looked at only where they are
handed over, after all models are frozen.
"""

import math
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from annulus.cohort.checks import Problem
from annulus.cohort.dictionary import columns_of
from annulus.cohort.units import Factor, fitting_factors, in_words

# Rows with their line in the file in _row; other cells as text or as read by the data dictionary.
Rows = Sequence[Mapping[str, Any]]

# Smallest, 5 % quantile, median, 95 % quantile and largest of a column's training values.
Summary = tuple[float, float, float, float, float]

# An event share that chance makes so rare has another reason.
SWAPPED_P = 1e-6

# Fewer values between 0 and 1 do not tell that percentages are given as shares.
FEWEST_SHARES = 10


def endpoint_problems(
    file: str,
    rows: Rows,
    outcome: str,
    positive: Collection[object],
    negative: Collection[object],
    share_in_training: float | None = None,
    others: Collection[object] = (),
) -> list[Problem]:
    """Return what is wrong with the coding of an outcome, such as 1 for alive or yes for 1.

    A value is ``positive``, ``negative``, missing, or one of the ``others`` that leave a patient out of
    the task; another one is an error. Where all are allowed and ``share_in_training`` is the training
    share of events, a share of events that differs from it beyond chance (exact two-sided binomial test,
    p < 1e-6) and is closer to that of the reversed coding is a warning.
    """
    events, without = set(map(_text, positive)), set(map(_text, negative))
    left_out = set(map(_text, others)) | {""}
    allowed = ", ".join(sorted(events | without))
    found = [(str(row["_row"]), _text(row.get(outcome))) for row in rows]
    wrong = [
        Problem(
            file, row, outcome, value, "outcome_coding", "error",
            f"The study has {allowed} here ({', '.join(sorted(events))} is the event). Say what the value "
            f"means in the cohort file (columns.{outcome}.values).",
        )
        for row, value in found
        if value not in events | without | left_out
    ]  # fmt: skip
    if wrong or share_in_training is None:
        return wrong
    known = [(row, value) for row, value in found if value in events | without]
    return _swapped(file, outcome, known, events, share_in_training)


def binomial_p(events: int, n: int, share: float) -> float:
    """Return the two-sided p-value of the exact binomial test, adding up outcomes that are no likelier.

    ``share`` lies between 0 and 1. As R's binom.test.
    """
    log_odds, log_rest = math.log(share) - math.log1p(-share), n * math.log1p(-share)
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * log_odds + log_rest
        for k in range(n + 1)
    ]
    limit = logs[events] + 1e-7
    return min(1.0, math.fsum(math.exp(log) for log in logs if log <= limit))


def unit_problems(file: str, rows: Rows, training: Mapping[str, Summary]) -> list[Problem]:
    """Return the columns whose values are in another unit than in training, as one factor proves.

    ``training`` has the smallest value, 5 % quantile, median, 95 % quantile and largest value of each
    column of numbers, in the data dictionary's units. A median beyond training's range that fits it once
    multiplied is an error; one beyond the quantiles, or percentages that all lie between 0 and 1, a warning.
    """
    return [
        problem for name, summary in training.items() for problem in _unit_problem(file, rows, name, summary)
    ]


def known_patients_problems(
    file: str, rows: Rows, hashed: Collection[str], hash_of: Callable[[str], str]
) -> list[Problem]:
    """Return the patients whose id was in training; ``hashed`` are the frozen hashes of training's ids."""
    problems, seen = [], set[str]()
    for row in rows:
        patient = str(row["patient_id"])
        if patient in seen or hash_of(patient) not in hashed:
            continue
        seen.add(patient)
        problems.append(
            Problem(
                file, str(row["_row"]), "patient_id", patient, "patient_in_training", "error",
                "The models were trained on a patient of this id. Leave the patient out (leave_out in the "
                "cohort file), or set own_ids: true there if ids of this cohort are its own numbers.",
            )
        )  # fmt: skip
    return problems


def known_images_problems(file: str, images: Rows, hashed: Collection[str]) -> list[Problem]:
    """Return the patients with an image that was in training, whatever their id.

    ``images`` have patient_id, image_id, image_sha256, and _row where the file has
    rows; ``hashed`` are the frozen checksums of training's images.
    """
    problems, seen = [], set[tuple[str, str]]()
    for image in images:
        key = (str(image["patient_id"]), str(image["image_id"]))
        if key in seen or not image["image_sha256"] or image["image_sha256"] not in hashed:
            continue
        seen.add(key)
        problems.append(
            Problem(
                file, str(image.get("_row", "")), "image_id", key[1], "image_in_training", "error",
                f"Patient {key[0]}: the models were trained on the same image, so on this "
                "patient, whatever the id. Leave the patient out (leave_out in the cohort file).",
            )
        )  # fmt: skip
    return problems


def _swapped(
    file: str, outcome: str, known: Sequence[tuple[str, str]], events: set[str], training: float
) -> list[Problem]:
    if not known or not 0 < training < 1:
        return []
    count = sum(value in events for _, value in known)
    here = count / len(known)
    if (
        abs(here - (1 - training)) >= abs(here - training)
        or binomial_p(count, len(known), training) >= SWAPPED_P
    ):
        return []
    row, value = known[0]
    return [
        Problem(
            file, row, outcome, value, "outcome_swapped", "warning",
            f"{count} of {len(known)} patients ({here:.0%}) have the event ({', '.join(sorted(events))}), "
            f"but {training:.0%} did in training: the coding may be the other way round here, such as 1 for "
            f"alive. If so, say what each value means in the cohort file (columns.{outcome}.values).",
        )
    ]  # fmt: skip


def _unit_problem(file: str, rows: Rows, name: str, summary: Summary) -> list[Problem]:
    found = [(str(row["_row"]), number) for row in rows if (number := _number(row.get(name))) is not None]
    if not found:
        return []
    numbers = [number for _, number in found]
    smallest, low, usual, high, largest = summary
    known = columns_of("participants")
    unit = known[name].unit if name in known else ""
    median, severity = statistics.median(numbers), "error"
    factors = _factors(unit, median, (smallest, largest), usual)
    if not factors:
        severity, factors = "warning", _factors(unit, median, (low, high), usual)
    if not factors and unit == "%" and high > 1:
        factors = [Factor("100", "shares from 0 to 1")] if _are_shares(numbers) else []
    if not factors:
        return []
    row, value = found[0]
    return [
        Problem(
            file, row, name, f"{value:g}", "unit", severity,
            f"The column's median is {median:g}, but {usual:g}{f' {unit}' if unit else ''} in training "
            f"(range {smallest:g} to {largest:g}). It seems to be in {in_words(factors[:1])}: set "
            f"columns.{name}.factor: {factors[0].text} in the cohort file.",
        )
    ]  # fmt: skip


def _factors(unit: str, median: float, within: tuple[float, float], usual: float) -> list[Factor]:
    """Return the factors that bring a median back within limits, that nearest to the usual median first."""
    lower, upper = within
    if lower <= median <= upper or not median:
        return []
    fitting = fitting_factors(unit, lambda by: lower <= by * median <= upper)
    if usual * median <= 0:
        return sorted(fitting, key=lambda factor: abs(factor.value * median - usual))
    return sorted(fitting, key=lambda factor: abs(math.log(factor.value * median / usual)))


def _are_shares(numbers: Sequence[float]) -> bool:
    inside = all(0 <= number <= 1 for number in numbers)
    return inside and len(numbers) >= FEWEST_SHARES and any(0 < number < 1 for number in numbers)


def _number(value: object) -> float | None:
    try:
        number = float(_text(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _text(value: object) -> str:
    """Write 1, 1.0, True and '1' alike, and every missing value as nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(int(value))
    text = str(value).strip()
    return text.removesuffix(".0") if text.removesuffix(".0").lstrip("-").isdecimal() else text
