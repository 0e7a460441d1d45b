"""Differences in AUC: between models in the same patients, and of one model between cohorts."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
import pandas as pd
from scipy import stats

from annulus.evaluation.discrimination import compare_aucs, compare_unpaired_aucs
from annulus.evaluation.multiplicity import holm
from annulus.evaluation.predictions import known, side_by_side
from annulus.evaluation.words import UNPAIRED
from annulus.modelling.frozen import FrozenModel
from annulus.modelling.plan import rad_score

COMPARISON_COLUMNS = [
    "model_a", "model_b", "cohort", "metric", "difference", "lower", "upper", "statistic", "p",
    "p_holm", "declared", "method", "note", "synthetic",
]  # fmt: skip

PAIRED = "paired DeLong"
LIKELIHOOD_RATIO = "likelihood ratio"
ONE_OUTCOME = "only one outcome is present"
NOT_HELD_OUT = "no cohort was held out: of out-of-fold predictions, so approximate"
NO_TEST = "no test: the variance of the difference is 0 or not defined"


@dataclass(frozen=True)
class Pair:
    """Two models that are compared, and whether that was declared in advance."""

    first: str
    second: str
    declared: bool


def comparisons(
    predictions: pd.DataFrame, models: Sequence[str], declared: Sequence[Sequence[str]], synthetic: bool
) -> pd.DataFrame:
    """DeLong tests in every cohort but the training one, and of each model between those cohorts.

    Models that share terms are nested in the training data, where the test does not hold
    (Demler et al., Stat Med 2012;31:2577-2587). ``declared`` pairs come first, in their order, also where
    they cannot be tested; where no cohort was held out, out-of-fold predictions are compared, whose folds
    have models of their own. ``p_holm`` adjusts their p-values over all declared pairs and cohorts. Other
    pairs of ``models``, and all differences between cohorts, are exploratory.
    """
    table = known(predictions)
    held_out = table[table["cohort"] != "train"]
    rows = []
    for cohort, group in held_out.groupby("cohort", sort=False):
        rows += [
            {"cohort": cohort, **row} for row in _paired(group, pairs_of(models, declared, group["model"]))
        ]
    if held_out.empty:
        pairs = pairs_of(models, declared, table["model"])
        rows += [{"cohort": "train", **row, "note": _out_of_fold(row)} for row in _paired(table, pairs)]
    rows += _between_cohorts(held_out, models)
    found = pd.DataFrame(rows).reindex(columns=COMPARISON_COLUMNS)
    tested = found.index[found["declared"] == 1]
    adjusted = holm({str(row): float(p) for row, p in found.loc[tested, "p"].items()})
    found.loc[tested, "p_holm"] = [result.adjusted for result in adjusted]
    return found.assign(synthetic=int(synthetic))


def nested_model_tests(models: Sequence[FrozenModel], synthetic: bool) -> pd.DataFrame:
    """Tests of nested models in training, where DeLong's does not hold, by likelihood ratio.

    Of models fitted by maximum likelihood to the same patients, every pair whose terms are nested;
    ``model_a`` is the larger. ``statistic`` is twice the ``difference`` of log-likelihoods. Rad-scores are
    cross-fitted.
    """
    fitted = [model for model in models if model.linear is not None and model.log_likelihood is not None]
    rows = []
    for small, large in permutations(fitted, 2):
        fewer, more = (set(m.linear.terms) for m in (small, large) if m.linear is not None)
        same = small.training["patients_sha256"] == large.training["patients_sha256"]
        if not (fewer < more and same):
            continue
        difference = float(large.log_likelihood or 0.0) - float(small.log_likelihood or 0.0)
        freedom = len(more - fewer)
        rows.append(
            {
                "model_a": large.name,
                "model_b": small.name,
                "cohort": "train",
                "metric": "log_likelihood",
                "difference": difference,
                "statistic": 2.0 * difference,
                "p": float(stats.chi2.sf(max(0.0, 2.0 * difference), freedom)),
                "declared": 0,
                "method": LIKELIHOOD_RATIO,
                "note": _caveats(small.name, more, freedom),
            }
        )
    return pd.DataFrame(rows).reindex(columns=COMPARISON_COLUMNS).assign(synthetic=int(synthetic))


def _out_of_fold(row: Mapping[str, object]) -> str:
    return "; ".join(filter(None, (str(row["note"]), NOT_HELD_OUT)))


def _caveats(smaller: str, terms: Collection[str], freedom: int) -> str:
    notes = [f"{freedom} degree{'s' * (freedom > 1)} of freedom"]
    if any(term.startswith(rad_score("")) for term in terms):
        notes.append("apparent: the Rad-score, though cross-fitted, is of these patients")
    if smaller == "clinical":
        notes.append("after selection of the clinical variables")
    return "; ".join(notes)


def pairs_of(
    models: Sequence[str], declared: Sequence[Sequence[str]], present: pd.Series
) -> tuple[Pair, ...]:
    """Declared pairs as they stand, then every other pair of ``models`` that are present."""
    first = [Pair(a, b, True) for a, b in declared]
    known_pairs = {frozenset((pair.first, pair.second)) for pair in first}
    there = [model for model in models if model in set(present)]
    others = [Pair(a, b, False) for a, b in combinations(there, 2) if frozenset((a, b)) not in known_pairs]
    return (*first, *others)


def _paired(group: pd.DataFrame, pairs: Sequence[Pair]) -> Iterator[dict[str, object]]:
    wide, y = side_by_side(group)
    for pair in pairs:
        row = {
            "model_a": pair.first,
            "model_b": pair.second,
            "metric": "auc",
            "declared": int(pair.declared),
            "method": PAIRED,
        }
        absent = [model for model in (pair.first, pair.second) if model not in wide]
        if absent or len(np.unique(y)) < 2:
            reason = f"no model {' and '.join(absent)}" if absent else ONE_OUTCOME
            yield {**row, "p": np.nan, "note": reason}
            continue
        found = compare_aucs(y, wide[pair.first].to_numpy(), wide[pair.second].to_numpy())
        yield {
            **row,
            "difference": found.difference,
            "lower": found.lower,
            "upper": found.upper,
            "statistic": found.z,
            "p": found.p,
            "note": NO_TEST if np.isnan(found.p) else "",
        }


def _between_cohorts(table: pd.DataFrame, models: Sequence[str]) -> Iterator[dict[str, object]]:
    cohorts = list(table["cohort"].drop_duplicates())
    for model in [model for model in models if model in set(table["model"])]:
        parts = dict(iter(table[table["model"] == model].groupby("cohort")))
        for first, second in combinations([cohort for cohort in cohorts if cohort in parts], 2):
            row = {
                "model_a": model,
                "model_b": model,
                "cohort": f"{first} vs {second}",
                "metric": "auc",
                "declared": 0,
                "method": UNPAIRED,
            }
            a, b = parts[first], parts[second]
            if min(a["y"].nunique(), b["y"].nunique()) < 2:
                yield {**row, "note": ONE_OUTCOME}
                continue
            found = compare_unpaired_aucs(
                a["y"].to_numpy(), a["evaluated"].to_numpy(), b["y"].to_numpy(), b["evaluated"].to_numpy()
            )
            yield {
                **row,
                "difference": found.difference,
                "lower": found.lower,
                "upper": found.upper,
                "statistic": found.t,
                "p": found.p,
                "note": NO_TEST
                if np.isnan(found.p)
                else f"{found.degrees_of_freedom:.1f} degrees of freedom",
            }
