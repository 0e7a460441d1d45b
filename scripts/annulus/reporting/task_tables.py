"""Rows of a report's tables of one task: performance, comparisons, resampling, sizes, signatures, screens."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from annulus.evaluation.plan import AT_RISK, at_risk
from annulus.evaluation.words import FOLLOWS_VOLUME, OUT_OF_FOLD, SCREENS
from annulus.figures.style import cohort_title
from annulus.reporting.numbers import number, p_value, text_of, with_interval

HOSMER_LEMESHOW = "hosmer_lemeshow"

# Warnings that stand beside the supplement's own tables.
OF_SUPPLEMENT = (
    "nri_blocked",
    "nri_can_mislead",
    "nri_has_many_categories",
    "hosmer_lemeshow_says_little",
)

METRICS = {
    "auc": "AUC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "accuracy": "Accuracy",
    "ppv": "PPV",
    "npv": "NPV",
}

CALIBRATION_METRICS = {
    "calibration_slope": "Slope",
    "calibration_in_the_large": "In the large",
    "observed_expected": "O:E",
    "brier": "Brier",
    "scaled_brier": "Scaled Brier",
    "ici": "ICI",
    "spiegelhalter_p": "Spiegelhalter p",
}

MEASURES = {
    "nri_events": "NRI, events",
    "nri_non_events": "NRI, non-events",
    "continuous_nri_events": "Continuous NRI, events",
    "continuous_nri_non_events": "Continuous NRI, non-events",
    "idi_events": "Gain in mean risk, events",
    "idi_non_events": "Fall in mean risk, non-events",
    "idi": "IDI",
}


def must_know(warnings: pd.DataFrame, supplement: bool = False) -> list[dict[str, Any]]:
    """Put warnings of the same guard together: the first in full, the others after it."""
    here = warnings[warnings["guard"].isin(OF_SUPPLEMENT) == supplement]
    groups = here.groupby("guard", sort=False)["message"]
    return [{"first": rows.iloc[0], "others": rows.iloc[1:].to_list()} for _, rows in groups]


def performance_rows(performance: pd.DataFrame, metrics: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a row per cohort and model with the values of ``metrics``, or why there is no model."""
    rows = []
    for (cohort, model), group in performance.groupby(["cohort", "model"], sort=False):
        by_metric = group.set_index("metric")
        first = group.iloc[0]
        # A model that there is not has one row, which says why.
        absent = str(first["note"]) if len(group) == 1 and pd.isna(first["estimate"]) else ""
        rows.append(
            {
                "cohort": cohort,
                "model": model,
                "n": int(first["n"]),
                "events": int(first["events"]),
                "absent": absent,
                "values": [
                    _measured(metric, by_metric.loc[metric]) if metric in by_metric.index else "–"
                    for metric in metrics
                ],
            }
        )
    return rows


def _measured(metric: str, row: pd.Series) -> str:
    return p_value(row["estimate"]) if metric == "spiegelhalter_p" else with_interval(row)


def rows_at_risks(performance: pd.DataFrame, risks: Sequence[float]) -> list[dict[str, Any]]:
    """Return performance at the risks that were set in advance, by cohort, model and risk."""
    rows = []
    for risk in risks:
        names = {at_risk(metric, risk): metric for metric in AT_RISK}
        part = performance[performance["metric"].isin(names)]
        rows += [{**row, "risk": f"{risk:g}"} for row in performance_rows(part, names)]
    cohorts, models = (list(performance[key].drop_duplicates()) for key in ("cohort", "model"))
    return sorted(rows, key=lambda row: (cohorts.index(row["cohort"]), models.index(row["model"])))


def remarks_of(performance: pd.DataFrame) -> dict[str, str]:
    """Return what the notes of a model's threshold rows say of the model, whatever the cohort."""
    rows = performance[performance["metric"] == "threshold"].dropna(subset="note")
    notes = rows["note"].astype(str).str.removeprefix(OUT_OF_FOLD).str.removeprefix("; ")
    noted = rows.assign(note=notes)[notes != ""].drop_duplicates("model")
    return dict(zip(noted["model"], noted["note"], strict=True))


def comparison_rows(comparisons: pd.DataFrame) -> list[dict[str, Any]]:
    """Return differences in AUC as text, cohort by cohort."""
    return [
        {
            **row,
            "cohort": " vs ".join(cohort_title(cohort) for cohort in row["cohort"].split(" vs ")),
            "difference": with_interval({**row, "estimate": row["difference"]}),
            "p": p_value(row["p"]),
            "p_holm": p_value(row["p_holm"]),
            "status": "declared" if row["declared"] == 1 else "exploratory",
            "note": text_of(row["note"]),
        }
        for row in comparisons.to_dict("records")
    ]


def subgroup_rows(subgroups: pd.DataFrame) -> list[dict[str, Any]]:
    """Return subgroups as text, with the numbers of their notes."""
    notes = subgroup_notes(subgroups)
    return [
        {
            **row,
            "level": text_of(row["level"]),
            "auc": with_interval({**row, "estimate": row["auc"]}, 2),
            "odds_ratio": _odds_ratio(row),
            "p": p_value(row["p_interaction"]),
            "notes": [notes.index(part) + 1 for part in _parts(row["note"])],
        }
        for row in subgroups.to_dict("records")
    ]


def subgroup_notes(subgroups: pd.DataFrame) -> list[str]:
    """Return every note of the subgroups once, in order."""
    return list(dict.fromkeys(part for note in subgroups["note"] for part in _parts(note)))


def _parts(note: object) -> list[str]:
    return [] if pd.isna(note) else str(note).split("; ")


def _odds_ratio(row: Mapping[str, Any]) -> str:
    """Write an odds ratio with its interval; few patients make numbers of a size that says nothing."""
    if pd.isna(row["odds_ratio"]):
        return "–"
    estimate, lower, upper = (
        "> 1000" if row[key] > 1000 else number(row[key], 2) for key in ("odds_ratio", "or_lower", "or_upper")
    )
    return f"{estimate} ({lower} to {upper})"


def development_rows(sizes: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the sizes that Riley's criteria ask for, by model."""
    return [
        {
            **row,
            "auc": number(row["auc"]),
            "cox_snell_r2": number(row["cox_snell_r2"]),
            "parameters": number(row["parameters"], 0),
            "events_per_parameter": number(row["events_per_parameter"], 2),
            "patients_needed": number(row["patients_needed"], 0),
            "shrinkage": "none" if row["expected_shrinkage"] == 0 else number(row["expected_shrinkage"], 2),
            "note": text_of(row["note"]),
        }
        for row in sizes[sizes["purpose"] == "development"].to_dict("records")
    ]


def validation_rows(sizes: pd.DataFrame) -> list[dict[str, Any]]:
    """Return how wide intervals are expected to be, by cohort."""
    return [
        {
            **row,
            "widths": [
                number(row[f"{name}_width"], 2) for name in ("auc", "calibration_slope", "observed_expected")
            ],
            "note": text_of(row["note"]),
        }
        for row in sizes[sizes["purpose"] == "validation"].to_dict("records")
    ]


def goodness_of_fit_rows(supplement: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the Hosmer-Lemeshow tests of the supplement."""
    return [
        {
            **row,
            "estimate": number(row["estimate"], 2),
            "freedom": number(row["degrees_of_freedom"], 0),
            "p": p_value(row["p"]),
            "note": text_of(row["note"]),
        }
        for row in supplement[supplement["measure"] == HOSMER_LEMESHOW].to_dict("records")
    ]


def reclassification_rows(supplement: pd.DataFrame) -> list[dict[str, Any]]:
    """Return NRI and IDI per comparison and cohort; where there is none, the reason alone."""
    rows = supplement[supplement["measure"] != HOSMER_LEMESHOW]
    found = []
    for (cohort, model, against), group in rows.groupby(["cohort", "model", "against"], sort=False):
        facts = {"cohort": cohort, "model": model, "against": against}
        if group["estimate"].isna().all():
            found.append(
                {**facts, "measure": "", "estimate": "not given", "note": text_of(group["note"].iloc[0])}
            )
            continue
        found += [
            {
                **facts,
                "measure": MEASURES[row["measure"]],
                "estimate": with_interval(row),
                "note": "; ".join(
                    part for part in (text_of(row["note"]), _categories(row["cut_offs"])) if part
                ),
            }
            for row in group.to_dict("records")
        ]
    return found


def _categories(cut_offs: object) -> str:
    return "" if pd.isna(cut_offs) else f"cut-offs {cut_offs}"


def resampled_rows(tables: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """Return, by model, what training results are worth: out of fold, less optimism, and by split."""
    rows = tables["performance"]
    out_of_fold = rows[(rows["cohort"] == "train") & (rows["metric"] == "auc")].set_index("model")
    splits = tables["repeated_splits"].groupby("model")["auc"]
    found = []
    for model, part in tables["optimism"].groupby("model", sort=False):
        by_measure = part.set_index("measure")
        of_splits = splits.get_group(model)
        low, middle, high = of_splits.quantile([0.025, 0.5, 0.975])
        found.append(
            {
                "model": model,
                "apparent": number(by_measure.loc["auc", "apparent"]),
                "out_of_fold": with_interval(out_of_fold.loc[model]),
                "auc": number(by_measure.loc["auc", "corrected"]),
                "slope": number(by_measure.loc["calibration_slope", "corrected"], 2),
                "brier": number(by_measure.loc["brier", "corrected"]),
                "resamples": int(by_measure.loc["auc", "resamples"]),
                "splits": f"{middle:.3f} ({low:.3f}–{high:.3f})",
                "split_count": len(of_splits),
            }
        )
    return found


def volume_rows(volume: pd.DataFrame) -> list[dict[str, Any]]:
    """Return how each Rad-score follows the lesion's size, and which of its features mostly do."""
    rows = []
    for model, group in volume.groupby("model", sort=False):
        score, features = group.iloc[0], group.iloc[1:]
        close = features[features["spearman"].abs() >= FOLLOWS_VOLUME]
        rows.append(
            {
                "model": model,
                "spearman": number(score["spearman"], 2),
                "p_given_size": p_value(score["p_given_size"]),
                "features": len(features),
                "close": close["column"].to_list(),
            }
        )
    return rows


def centre_rows(centres: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Return patients and events by cohort and centre, with every model's AUC."""
    if centres is None:
        return []
    rows = []
    for (cohort, centre), group in centres.groupby(["cohort", "centre"], sort=False):
        first = group.iloc[0]
        rows.append(
            {
                "cohort": cohort,
                "centre": centre,
                "n": int(first["n"]),
                "events": int(first["events"]),
                "prevalence": f"{first['prevalence']:.0%}",
                "p": p_value(first["p_prevalence"]),
                "aucs": [
                    (row["model"], with_interval({**row, "estimate": row["auc"]}, 2))
                    for row in group.to_dict("records")
                    if pd.notna(row["auc"])
                ],
            }
        )
    return rows


def centre_prediction_rows(tables: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """Return how well features tell the centre; none where that was not asked."""
    if "centre_prediction" not in tables:
        return []
    return [
        {**row, "auc": with_interval({**row, "estimate": row["auc"]}, 2), "note": text_of(row["note"])}
        for row in tables["centre_prediction"].to_dict("records")
    ]


def signature_rows(selection: pd.DataFrame) -> list[dict[str, Any]]:
    """Return what every signature selected, with coefficients and how often splits selected it too."""
    kept = selection[selection["model"].str.startswith("signature_")]
    return [
        {
            "model": model,
            "candidates": len(group),
            "constant": int((group["step_removed"] == "variance").sum()),
            "selected": [
                {
                    "column": row.column,
                    "coefficient": number(row.coefficient, 4),
                    "frequency": _share(row.selection_frequency),
                }
                for row in group[group["step_removed"].isna()].itertuples()
            ],
        }
        for model, group in kept.groupby("model", sort=False)
    ]


def _share(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.0%}"


def screen_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return what outlines and frames alone tell, beside the model."""
    return [
        {
            "cohort": row["cohort"],
            "screen": SCREENS[row["screen"]],
            "model": row["model"],
            "auc": with_interval({**row, "estimate": row["auc"]}),
            "model_auc": number(row["model_auc"]),
            "difference": with_interval(
                {
                    "estimate": row["difference"],
                    "lower": row["difference_lower"],
                    "upper": row["difference_upper"],
                }
            ),
            "p": p_value(row["p"]),
        }
        for row in table.to_dict("records")
    ]


def rivals_of(table: pd.DataFrame) -> list[str]:
    """Name the screens that rival the model."""
    return [
        f"{SCREENS[row.screen]} in {cohort_title(row.cohort).lower()} "
        f"(AUC {row.auc:.2f}, model {row.model_auc:.2f})"
        for row in table[table["rivals"] == 1].itertuples()
    ]


def duplicates_text(pairs: pd.DataFrame) -> str:
    """Sum up duplicate images; empty where there are none."""
    if pairs.empty:
        return ""
    counts = pairs["kind"].value_counts()
    kinds = " and ".join(f"{count} {kind} pairs" for kind, count in counts.items())
    return (
        f"{kinds}, {int(pairs['across_cohorts'].sum())} of them across cohorts and "
        f"{int(pairs['across_labels'].sum())} across outcomes (tasks/*/duplicates.csv)"
    )
