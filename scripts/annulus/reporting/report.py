"""The study's report: one HTML file with every figure, caption and main number in it."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined

from annulus.evaluation.smoothing import LEAST_FOR_LOESS
from annulus.evaluation.comparing import UNPAIRED
from annulus.evaluation.leak_screen import SCREENS
from annulus.evaluation.performance import OUT_OF_FOLD
from annulus.evaluation.plan import AT_RISK, at_risk
from annulus.evaluation.warnings import FOLLOWS_VOLUME
from annulus.figures.style import cohort_title, model_title
from annulus.imaging.findings import MEANINGS
from annulus.reporting.comparisons import assumption_rows, published_rows, table_one_parts
from annulus.reporting.odds_ratios import odds_ratio_rows
from annulus.reporting.pathways import pathway_parts
from annulus.reporting.numbers import number, p_value, with_interval
from annulus.tables import read_csv

CAPTIONS = {
    "flowchart": "Flow of patients through the study.",
    "roi_overlay": (
        "Regions of interest over the images of the first three training patients (by id) whose "
        "regions could all be built."
    ),
    "lasso_path": (
        "Coefficients of each signature along the LASSO path; the dashed line is the penalty that was "
        "chosen, numbers along the top count selected features."
    ),
    "lasso_cv": (
        "Cross-validated deviance of each signature with one standard error. Dashed: its minimum; "
        "dotted: the largest penalty within one standard error."
    ),
    "coefficients": (
        "Non-zero coefficients of each frozen signature, per standard deviation of the feature; orange "
        "raises the risk, blue lowers it."
    ),
    "correlation_heatmap": (
        "Spearman correlation, in training patients, of the features that the signatures kept; similar "
        "features stand side by side."
    ),
    "signature_waterfall": (
        "Training patients by rising out-of-fold score of the main model that was fitted; bars that point up "
        "from the frozen cut-off are called positive."
    ),
    "forest_odds_ratios": (
        "Multivariable odds ratios in training patients with 95 % profile-likelihood intervals (Firth's "
        "where the outcome is separated), per unit of each term; an arrow goes on beyond the axis."
    ),
    "habitat_fractions": (
        "Share of each lesion that every habitat takes, by cohort and, in training alone, by outcome; boxes "
        "hold the middle half of the patients."
    ),
    "habitat_map": (
        "Habitats of the first training patients (by id) whose lesion was divided, in the slice with most of "
        "the lesion."
    ),
    "cluster_validity": (
        "Fit of each number of habitats to the voxels of training patients; the number of highest "
        "Calinski-Harabasz index was chosen (orange)."
    ),
    "feature_stability": (
        "Intraclass correlations by class of feature (boxes) and their lower 95 % bounds (dots), in training "
        "patients; dashed: the smallest lower bound of a stable feature."
    ),
    "roc": "ROC curves with AUC and 95 % interval; dots mark the frozen training cut-off.",
    "calibration": (
        "Calibration of frozen probabilities. Dashed: logistic recalibration; solid: loess, drawn "
        f"with at least {LEAST_FOR_LOESS} patients of either outcome. Bands are 95 % intervals."
    ),
    "decision_curve": (
        "Net benefit over the study's stated thresholds, with 95 % bootstrap bands. Grey: thresholds above "
        "every predicted risk, where the model treats nobody and a net benefit of 0 says nothing of it."
    ),
    "forest_subgroups": (
        "AUC with its 95 % interval in subgroups, out of fold in training. Squares grow with the number of "
        "patients; dashed: the whole cohort. One p-value for interaction per variable; none per subgroup."
    ),
    "nomogram": (
        "Nomogram. Add the points of every ruler and read the risk below the total. Rulers are rounded "
        "outwards from the training patients' range; nothing beyond that range is known."
    ),
    "confusion": "Patients by observed and predicted class; shares are of the observed class.",
}

# Figures of no task stand under this name.
WHOLE_STUDY = "study"

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
CASCADE_METRICS = {
    "accuracy": "Accuracy",
    "weighted_kappa": "Weighted kappa",
    "sensitivity": "Sensitivity",
    "ppv": "PPV",
    "auc": "AUC against the rest",
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


@dataclass(frozen=True)
class Study:
    """What a report is made of: tables by name, figures (name, path) and models by task, settings."""

    design: Mapping[str, Any]
    cohort: Mapping[str, Any]
    synthetic: bool
    tables: Mapping[str, pd.DataFrame]
    task_tables: Mapping[str, Mapping[str, pd.DataFrame]]
    cascades: Mapping[str, pd.DataFrame]
    pathways: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]]
    figures: Mapping[str, Sequence[tuple[str, str]]]
    split_sha256: str
    gallery: str
    shown: Mapping[str, Sequence[str]]


def study_of(inputs: Any, params: Any) -> Study:
    """Read a report's inputs (named tables, and lists of one table per task) into a study."""
    tasks = list(params.design["tasks"])
    paths = {Path(p).parts[-2:]: p for p in inputs.figures}
    imaging = ("masks", "findings", "agreement", "rois", "failures", "catalogue")
    names = ("problems", "flow", "published", "assumptions", *(imaging if params.design["images"] else ()))
    lists = (
        "performance",
        "comparisons",
        "supplement",
        "subgroups",
        "sample_size",
        "warnings",
        "selection",
        "odds_ratios",
        "optimism",
        "repeated_splits",
        "volume",
        "table_one",
        *(["leak_screen", "duplicates"] if params.design["images"] else []),
        *(["centres"] if "centre" in params.design else []),
    )
    return Study(
        design=params.design,
        cohort=params.cohort,
        synthetic=params.synthetic,
        tables={name: read_csv(_listed(inputs[name])[0]) for name in (*names, *_of_centres(params.design))},
        task_tables={
            task: {name: read_csv(_listed(inputs[name])[i]) for name in lists} for i, task in enumerate(tasks)
        },
        cascades={
            name: read_csv(path)
            for name, path in zip(params.design["cascades"], _listed(inputs["cascades"]), strict=True)
        },
        pathways={
            name: (read_csv(patients), read_csv(performance))
            for name, patients, performance in zip(
                params.design["pathways"],
                _listed(inputs["pathway_patients"]),
                _listed(inputs["pathways"]),
                strict=True,
            )
        },
        figures={
            name: [(figure, paths[(name, f"{figure}.png")]) for figure in figures]
            for name, figures in params.figures.items()
        },
        split_sha256=Path(inputs.split_sha256).read_text(encoding="utf-8").split()[0],
        gallery=params.gallery,
        shown=params.shown,
    )


def _of_centres(design: Mapping[str, Any]) -> tuple[str, ...]:
    return ("centre_prediction",) if "centre" in design and design["images"] else ()


def render(study: Study) -> str:
    """Render the report as HTML that needs no other file and no network."""
    environment = Environment(undefined=StrictUndefined, autoescape=True, trim_blocks=True)
    template = Path(__file__).with_suffix(".html.jinja").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        study=study,
        tasks={task: _task(study, task) for task in study.design["tasks"]},
        flow=study.tables["flow"].fillna("").to_dict("records"),
        imaging=_imaging(study.tables) if study.design["images"] else None,
        warnings=study.tables["problems"].fillna("").to_dict("records"),
        cascades={name: _cascade(study, name) for name in study.cascades},
        pathways={
            name: pathway_parts(name, study.design["pathways"][name], *tables)
            for name, tables in study.pathways.items()
        },
        study_figures=_figures(study, WHOLE_STUDY) if WHOLE_STUDY in study.figures else [],
        centre_prediction=_centre_prediction_rows(study.tables),
        published=published_rows(study.tables["published"]),
        assumptions=assumption_rows(study.tables["assumptions"]),
        follows_volume=FOLLOWS_VOLUME,
        cohort_title=cohort_title,
        model_title=model_title,
    )


def _task(study: Study, task: str) -> dict[str, Any]:
    tables = study.task_tables[task]
    unpaired = tables["comparisons"]["method"] == UNPAIRED
    paired, between = tables["comparisons"][~unpaired], tables["comparisons"][unpaired]
    return {
        "plan": study.design["tasks"][task],
        "table_one": table_one_parts(
            tables["table_one"], study.design["tasks"][task]["label"], list(study.design["split"]["cohorts"])
        ),
        "figures": _figures(study, task),
        "must_know": _must_know(tables["warnings"]),
        "metrics": METRICS,
        "calibration_metrics": CALIBRATION_METRICS,
        "performance": _performance_rows(tables["performance"], METRICS),
        "calibration": _performance_rows(tables["performance"], CALIBRATION_METRICS),
        "at": _at_risks(tables["performance"], study.design["tasks"][task]["decision"]["at"]),
        "remarks": [
            f"{model_title(model)}: {reason}" for model, reason in _remarks(tables["performance"]).items()
        ],
        "comparisons": _comparison_rows(paired),
        "between_cohorts": _comparison_rows(between),
        "subgroups": _subgroup_rows(tables["subgroups"]),
        "subgroup_notes": _subgroup_notes(tables["subgroups"]),
        "development": _development_rows(tables["sample_size"]),
        "validation": _validation_rows(tables["sample_size"]),
        "goodness_of_fit": _goodness_of_fit_rows(tables["supplement"]),
        "reclassification": _reclassification_rows(tables["supplement"]),
        "supplement_warnings": _must_know(tables["warnings"], supplement=True),
        "odds_ratios": odds_ratio_rows(tables["odds_ratios"]),
        "resampled": _resampled_rows(tables),
        "volume": _volume_rows(tables["volume"]),
        "centres": _centre_rows(tables.get("centres")),
        "signatures": _signature_rows(tables["selection"]),
        "screens": _screens(tables["leak_screen"]) if "leak_screen" in tables else [],
        "rivals": _rivals(tables["leak_screen"]) if "leak_screen" in tables else [],
        "duplicates": _duplicates(tables["duplicates"]) if "duplicates" in tables else "",
    }


def _must_know(warnings: pd.DataFrame, supplement: bool = False) -> list[dict[str, Any]]:
    """Put warnings of the same guard together: the first in full, the others after it."""
    here = warnings[warnings["guard"].isin(OF_SUPPLEMENT) == supplement]
    groups = here.groupby("guard", sort=False)["message"]
    return [{"first": rows.iloc[0], "others": rows.iloc[1:].to_list()} for _, rows in groups]


def _performance_rows(performance: pd.DataFrame, metrics: Mapping[str, str]) -> list[dict[str, Any]]:
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


def _at_risks(performance: pd.DataFrame, risks: Sequence[float]) -> list[dict[str, Any]]:
    """Return performance at the risks that were set in advance, by cohort, model and risk."""
    rows = []
    for risk in risks:
        names = {at_risk(metric, risk): metric for metric in AT_RISK}
        part = performance[performance["metric"].isin(names)]
        rows += [{**row, "risk": f"{risk:g}"} for row in _performance_rows(part, names)]
    cohorts, models = (list(performance[key].drop_duplicates()) for key in ("cohort", "model"))
    return sorted(rows, key=lambda row: (cohorts.index(row["cohort"]), models.index(row["model"])))


def _comparison_rows(comparisons: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            **row,
            "cohort": " vs ".join(cohort_title(cohort) for cohort in row["cohort"].split(" vs ")),
            "difference": with_interval({**row, "estimate": row["difference"]}),
            "p": p_value(row["p"]),
            "p_holm": p_value(row["p_holm"]),
            "status": "declared" if row["declared"] == 1 else "exploratory",
            "note": _text(row["note"]),
        }
        for row in comparisons.to_dict("records")
    ]


def _subgroup_rows(subgroups: pd.DataFrame) -> list[dict[str, Any]]:
    notes = _subgroup_notes(subgroups)
    return [
        {
            **row,
            "level": _text(row["level"]),
            "auc": with_interval({**row, "estimate": row["auc"]}, 2),
            "odds_ratio": _odds_ratio(row),
            "p": p_value(row["p_interaction"]),
            "notes": [notes.index(part) + 1 for part in _parts(row["note"])],
        }
        for row in subgroups.to_dict("records")
    ]


def _subgroup_notes(subgroups: pd.DataFrame) -> list[str]:
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


def _development_rows(sizes: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            **row,
            "auc": number(row["auc"]),
            "cox_snell_r2": number(row["cox_snell_r2"]),
            "parameters": number(row["parameters"], 0),
            "events_per_parameter": number(row["events_per_parameter"], 2),
            "patients_needed": number(row["patients_needed"], 0),
            "shrinkage": "none" if row["expected_shrinkage"] == 0 else number(row["expected_shrinkage"], 2),
            "note": _text(row["note"]),
        }
        for row in sizes[sizes["purpose"] == "development"].to_dict("records")
    ]


def _validation_rows(sizes: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            **row,
            "widths": [
                number(row[f"{name}_width"], 2) for name in ("auc", "calibration_slope", "observed_expected")
            ],
            "note": _text(row["note"]),
        }
        for row in sizes[sizes["purpose"] == "validation"].to_dict("records")
    ]


def _goodness_of_fit_rows(supplement: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            **row,
            "estimate": number(row["estimate"], 2),
            "freedom": number(row["degrees_of_freedom"], 0),
            "p": p_value(row["p"]),
            "note": _text(row["note"]),
        }
        for row in supplement[supplement["measure"] == HOSMER_LEMESHOW].to_dict("records")
    ]


def _reclassification_rows(supplement: pd.DataFrame) -> list[dict[str, Any]]:
    """Return NRI and IDI per comparison and cohort; where there is none, the reason alone."""
    rows = supplement[supplement["measure"] != HOSMER_LEMESHOW]
    found = []
    for (cohort, model, against), group in rows.groupby(["cohort", "model", "against"], sort=False):
        facts = {"cohort": cohort, "model": model, "against": against}
        if group["estimate"].isna().all():
            found.append(
                {**facts, "measure": "", "estimate": "not given", "note": _text(group["note"].iloc[0])}
            )
            continue
        found += [
            {
                **facts,
                "measure": MEASURES[row["measure"]],
                "estimate": with_interval(row),
                "note": "; ".join(
                    part for part in (_text(row["note"]), _categories(row["cut_offs"])) if part
                ),
            }
            for row in group.to_dict("records")
        ]
    return found


def _categories(cut_offs: object) -> str:
    return "" if pd.isna(cut_offs) else f"cut-offs {cut_offs}"


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def _remarks(performance: pd.DataFrame) -> dict[str, str]:
    """Return what the notes of a model's threshold rows say of the model, whatever the cohort."""
    rows = performance[performance["metric"] == "threshold"].dropna(subset="note")
    notes = rows["note"].astype(str).str.removeprefix(OUT_OF_FOLD).str.removeprefix("; ")
    noted = rows.assign(note=notes)[notes != ""].drop_duplicates("model")
    return dict(zip(noted["model"], noted["note"], strict=True))


def _share(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.0%}"


def _cascade(study: Study, name: str) -> dict[str, Any]:
    """Return a cascade's plan, its performance by cohort and class, and its figures."""
    rows = [
        {
            **row,
            "n": number(row["n"], 0),
            "events": number(row["events"], 0),
            "estimate": with_interval(row),
            "metric": CASCADE_METRICS[row["metric"]],
            "note": _text(row["note"]),
        }
        for row in study.cascades[name].to_dict("records")
    ]
    return {"plan": study.design["cascades"][name], "rows": rows, "figures": _figures(study, name)}


def _figures(study: Study, name: str) -> list[dict[str, Any]]:
    return [
        {"name": figure, "caption": _caption(figure), "image": _embedded(path), "width": _width(path)}
        for figure, path in study.figures[name]
    ]


def _resampled_rows(tables: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
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


def _volume_rows(volume: pd.DataFrame) -> list[dict[str, Any]]:
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


def _centre_rows(centres: pd.DataFrame | None) -> list[dict[str, Any]]:
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


def _centre_prediction_rows(tables: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    if "centre_prediction" not in tables:
        return []
    return [
        {**row, "auc": with_interval({**row, "estimate": row["auc"]}, 2), "note": _text(row["note"])}
        for row in tables["centre_prediction"].to_dict("records")
    ]


def _signature_rows(selection: pd.DataFrame) -> list[dict[str, Any]]:
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


def _imaging(tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    return {
        "quality": _quality(tables),
        "rings": _rings(tables["rois"]),
        "features": _features(tables["catalogue"], tables["failures"]),
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


def _screens(table: pd.DataFrame) -> list[dict[str, Any]]:
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


def _rivals(table: pd.DataFrame) -> list[str]:
    return [
        f"{SCREENS[row.screen]} in {cohort_title(row.cohort).lower()} "
        f"(AUC {row.auc:.2f}, model {row.model_auc:.2f})"
        for row in table[table["rivals"] == 1].itertuples()
    ]


def _duplicates(pairs: pd.DataFrame) -> str:
    if pairs.empty:
        return ""
    counts = pairs["kind"].value_counts()
    kinds = " and ".join(f"{count} {kind} pairs" for kind, count in counts.items())
    return (
        f"{kinds}, {int(pairs['across_cohorts'].sum())} of them across cohorts and "
        f"{int(pairs['across_labels'].sum())} across outcomes (tasks/*/duplicates.csv)"
    )


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


# What the report says of a mode of extraction (docs/features.md).
MODES = {
    "shared": "one preparation of an image for all of its regions",
    "compatible": "equal to pyradiomics’ execute() region by region",
}


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


def _caption(name: str) -> str:
    for figure, caption in CAPTIONS.items():
        if name == figure:
            return caption
        if name.startswith(f"{figure}_"):
            return f"{cohort_title(name.removeprefix(f'{figure}_'))}. {caption}"
    raise AssertionError(f"the figure {name} has no caption")


def _embedded(path: str) -> str:
    return base64.b64encode(Path(path).read_bytes()).decode("ascii")


def _width(path: str) -> int:
    """Width in CSS pixels at which a PNG of 300 dots per inch shows its text at reading size."""
    return round(int.from_bytes(Path(path).read_bytes()[16:20], "big") * 0.42)


def _listed(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value
