"""Table 1: who the patients are, by outcome in training and by cohort, before any model.

The tests describe how far groups differ. None of them chooses a variable: selection on such p-values
would be selection outside the folds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from annulus.cohort.dictionary import Column, columns_of
from annulus.errors import StudyError
from annulus.evaluation.subgroups import factor_of
from annulus.evaluation.words import DESCRIBES, OUTCOME_GROUPS, PATIENTS

FACTS = ["missing", "p", "test", "smd", "note", "synthetic"]

# Shapiro-Wilk: below this p a group is not taken for normal; the test is defined for 3 to 5000 patients.
NORMAL_FROM = 0.05
SHAPIRO_SIZES = (3, 5000)
# Exact Mann-Whitney below this size of both groups where no value is tied, as R's wilcox.test.
EXACT_BELOW = 50
# Pearson's approximation holds from this expected count on (Cochran, Biometrics 1954;10:417-451).
LEAST_EXPECTED = 5
RANDOM_TABLES = 99_999

# Whole numbers of this many values or fewer, such as grades, are told by level.
MOST_LEVELS = 10


@dataclass(frozen=True)
class Comparison:
    """A test of groups; ``p`` is missing where there is none, for the reason in ``note``."""

    p: float
    test: str
    note: str = ""


@dataclass(frozen=True)
class Described:
    """One variable of the table: a text per level and group, and how the groups differ."""

    texts: Mapping[str, list[str]]
    missing: list[int]
    sizes: list[int]
    comparison: Comparison
    smd: float


def table_one(
    participants: pd.DataFrame,
    split: pd.DataFrame,
    cohorts: Sequence[str],
    outcome: pd.Series,
    columns: Sequence[str],
    seed: int,
    synthetic: bool,
) -> pd.DataFrame:
    """Describe ``columns`` of ``participants`` by outcome in training, then by cohort without outcomes.

    ``split`` is ``split/split.csv`` and ``cohorts`` names its cohorts in the study's order; ``outcome`` is
    1, 0 or missing, by patient and of training patients alone. Rows whose ``comparison`` is ``outcome`` fill
    ``no_event`` and ``event``; rows ``cohorts`` fill a column per cohort, and are there where there are
    several. Numbers are mean (SD) or median (quartiles), by the test that is used; levels are n (% of
    known values). ``missing`` counts patients without a value; ``smd`` is the absolute standardised mean
    difference, the largest of any two cohorts. Raises StudyError for a column that is not there.
    """
    absent = [name for name in columns if name not in participants]
    if absent:
        raise StudyError(
            f"table_one: the participants table has no column {', '.join(absent)}. Give it, or leave it out."
        )
    patients = participants.set_index("patient_id")[list(columns)]
    cohort_of = split.set_index("patient_id")["cohort"]
    known = outcome.dropna()
    by_outcome = [known.index[known == value] for value in (0, 1)]
    by_cohort = {name: cohort_of.index[cohort_of == name] for name in cohorts}
    rows = list(_rows("outcome", patients, dict(zip(OUTCOME_GROUPS, by_outcome, strict=True)), seed))
    if len(cohorts) > 1:
        rows += _rows("cohorts", patients, by_cohort, seed)
    order = ["comparison", "variable", "level", *OUTCOME_GROUPS, *cohorts, *FACTS]
    table = pd.DataFrame(rows).reindex(columns=order).assign(synthetic=int(synthetic))
    return table.astype({"missing": "Int64"})


def compare_numbers(groups: Sequence[np.ndarray]) -> tuple[Comparison, bool]:
    """Compare numbers between groups, and say whether means describe them.

    Means are compared where Shapiro-Wilk has p >= 0.05 in every group: Welch's t-test (which is Student's
    where variances and sizes are equal) for two groups, Welch's analysis of variance for more
    (Biometrika 1951;38:330-336). Else ranks are: Mann-Whitney U, with its exact distribution where values are
    not tied and both groups are below 50, or Kruskal-Wallis. Groups hold no missing values; those that
    hold nothing are left out.
    """
    used = [group for group in groups if len(group)]
    reason = _why_not(used)
    if reason:
        return Comparison(np.nan, "", reason), False
    least = _least_shapiro(used)
    said = (
        "normality not judged, a group is too small, too large or constant: ranks"
        if np.isnan(least)
        else f"least Shapiro-Wilk p {_p(least)}: {'means' if least >= NORMAL_FROM else 'ranks'}"
    )
    means = least >= NORMAL_FROM
    name, p = _compare_means(used) if means else _compare_ranks(used)
    return Comparison(p, name, said), bool(means)


def compare_ordinals(groups: Sequence[np.ndarray]) -> Comparison:
    """Compare the order of levels between groups by Mann-Whitney U or Kruskal-Wallis."""
    used = [group for group in groups if len(group)]
    reason = _why_not(used)
    if reason:
        return Comparison(np.nan, "", reason)
    name, p = _compare_ranks(used)
    return Comparison(p, name)


def compare_levels(counts: np.ndarray, seed: int) -> Comparison:
    """Compare categories between groups; ``counts`` is level x group.

    Pearson's chi-squared without continuity correction where every expected count is 5 or more; else
    Fisher's exact test for a 2 x 2 table, and for larger ones its extension (Freeman & Halton, Biometrika
    1951;38:141-149) over 99,999 random tables with the same margins, drawn with ``seed``.
    """
    table = np.asarray(counts)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:
        return Comparison(np.nan, "", "only one group has a value")
    if table.shape[0] < 2:
        return Comparison(np.nan, "", "it does not vary")
    if stats.contingency.expected_freq(table).min() >= LEAST_EXPECTED:
        return Comparison(
            float(stats.chi2_contingency(table, correction=False).pvalue), "Pearson chi-squared"
        )
    if table.shape == (2, 2):
        return Comparison(float(stats.fisher_exact(table).pvalue), "Fisher exact")
    drawn = stats.MonteCarloMethod(n_resamples=RANDOM_TABLES, rng=np.random.default_rng(seed))
    found = float(stats.fisher_exact(table, method=drawn).pvalue)
    return Comparison(found, "Fisher-Freeman-Halton", f"p over {RANDOM_TABLES} random tables")


def number_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Absolute standardised mean difference of numbers: over the root of the mean of both variances.

    Missing where a group has fewer than two values or neither varies (Austin, Stat Med 2009;28:3083-3107).
    """
    if min(len(first), len(second)) < 2:
        return float("nan")
    spread = np.sqrt((np.var(first, ddof=1) + np.var(second, ddof=1)) / 2)
    return float(abs(np.mean(first) - np.mean(second)) / spread) if spread > 0 else float("nan")


def level_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Standardised difference of categories from the counts per level of two groups.

    Mahalanobis' distance of the shares of all levels but the first (Yang & Dalton, SAS Global Forum 2012,
    335). Missing where a group is empty, and where it is infinite: the groups share no level, or
    nothing varies.
    """
    if not first.sum() or not second.sum():
        return float("nan")
    seen = (first + second) > 0
    p, q = first[seen] / first.sum(), second[seen] / second.sum()
    covariance = (np.diag(p) - np.outer(p, p) + np.diag(q) - np.outer(q, q)) / 2
    reduced, apart = covariance[1:, 1:], (p - q)[1:]
    if not len(apart) or np.linalg.matrix_rank(reduced) < len(apart):
        return float("nan")
    return float(np.sqrt(apart @ np.linalg.solve(reduced, apart)))


def _rows(
    comparison: str,
    patients: pd.DataFrame,
    groups: Mapping[str, pd.Index],
    seed: int,
) -> Iterator[dict[str, object]]:
    counted = {name: str(len(ids)) for name, ids in groups.items()}
    yield {"comparison": comparison, "variable": PATIENTS, **counted}
    for name in patients:
        found = _described(patients[name], groups, columns_of("participants")[str(name)], seed)
        empty = [g for g, n, size in zip(groups, found.missing, found.sizes, strict=True) if n == size]
        texts = dict(found.texts)
        if any(found.missing):
            shares = zip(found.missing, found.sizes, strict=True)
            texts["missing"] = [_counted(count, size) for count, size in shares]
        facts = {
            "comparison": comparison,
            "variable": name,
            "missing": sum(found.missing),
            "p": found.comparison.p,
            "test": found.comparison.test,
            "smd": found.smd,
            "note": _joined(
                found.comparison.note,
                f"no value in {', '.join(empty)}" if empty else "",
                DESCRIBES if found.comparison.test else "",
            ),
        }
        for level, values in texts.items():
            yield {**facts, "level": level, **dict(zip(groups, values, strict=True))}


def _described(values: pd.Series, groups: Mapping[str, pd.Index], column: Column, seed: int) -> Described:
    if column.type == "boolean":
        named = pd.to_numeric(values).map({0: "no", 1: "yes"})
        return _levels(named.astype(pd.CategoricalDtype(["no", "yes"])), groups, False, seed)
    if column.type not in ("number", "integer"):
        return _levels(factor_of(values, None), groups, column.type == "ordinal", seed)
    numbers = pd.to_numeric(values)
    if column.type == "integer" and column.maximum - column.minimum < MOST_LEVELS:
        whole = pd.CategoricalDtype(sorted(numbers.dropna().astype(int).unique()), ordered=True)
        return _levels(numbers.astype("Int64").astype(whole), groups, True, seed)
    return _numbers(numbers, groups)


def _numbers(values: pd.Series, groups: Mapping[str, pd.Index]) -> Described:
    parts = [values.loc[ids] for ids in groups.values()]
    known = [part.dropna().to_numpy(dtype=float) for part in parts]
    comparison, means = compare_numbers(known)
    digits = _digits(np.concatenate(known))
    return Described(
        texts={"": [_mean(part, digits) if means else _median(part, digits) for part in known]},
        missing=[int(part.isna().sum()) for part in parts],
        sizes=[len(part) for part in parts],
        comparison=comparison,
        smd=_largest(number_difference(a, b) for a, b in combinations(known, 2)),
    )


def _levels(factor: pd.Series, groups: Mapping[str, pd.Index], ordinal: bool, seed: int) -> Described:
    names = [str(name) for name in factor.cat.categories]
    parts = [factor.loc[ids] for ids in groups.values()]
    codes = [part.cat.codes.to_numpy()[part.notna().to_numpy()] for part in parts]
    counts = np.array([np.bincount(code, minlength=len(names)) for code in codes]).T
    seen = [i for i in range(len(names)) if counts[i].sum()]
    shares = {
        names[i]: [_counted(n, len(code)) for n, code in zip(counts[i], codes, strict=True)] for i in seen
    }
    return Described(
        texts=shares or {"": [""] * len(codes)},
        missing=[int(part.isna().sum()) for part in parts],
        sizes=[len(part) for part in parts],
        comparison=compare_ordinals(codes) if ordinal else compare_levels(counts, seed),
        smd=_largest(level_difference(a, b) for a, b in combinations(counts.T, 2)),
    )


def _why_not(groups: Sequence[np.ndarray]) -> str:
    """Say why groups cannot be compared."""
    if len(groups) < 2:
        return "only one group has a value" if groups else "no patient has a value"
    return "it does not vary" if np.ptp(np.concatenate(groups)) == 0 else ""


def _compare_means(groups: Sequence[np.ndarray]) -> tuple[str, float]:
    if len(groups) == 2:
        return "Welch t", float(stats.ttest_ind(*groups, equal_var=False).pvalue)
    return "Welch analysis of variance", float(stats.f_oneway(*groups, equal_var=False).pvalue)


def _compare_ranks(groups: Sequence[np.ndarray]) -> tuple[str, float]:
    if len(groups) > 2:
        return "Kruskal-Wallis", float(stats.kruskal(*groups).pvalue)
    together = np.concatenate(groups)
    tied = len(np.unique(together)) < len(together)
    exact = not tied and max(map(len, groups)) < EXACT_BELOW
    found = stats.mannwhitneyu(*groups, method="exact" if exact else "asymptotic")
    return "Mann-Whitney U", float(found.pvalue)


def _least_shapiro(groups: Sequence[np.ndarray]) -> float:
    """Return the smallest p of Shapiro-Wilk in any group; missing where one of them cannot be judged."""
    fewest, most = SHAPIRO_SIZES
    if any(not fewest <= len(group) <= most or np.ptp(group) == 0 for group in groups):
        return float("nan")
    return min(float(stats.shapiro(group).pvalue) for group in groups)


def _largest(differences: Iterator[float]) -> float:
    found = [value for value in differences if not np.isnan(value)]
    return max(found, default=float("nan"))


def _mean(values: np.ndarray, digits: int) -> str:
    if not len(values):
        return ""
    return f"{values.mean():.{digits}f} ({values.std(ddof=1):.{digits}f})"


def _median(values: np.ndarray, digits: int) -> str:
    if not len(values):
        return ""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    between = " to " if low < 0 else "–"
    return f"{middle:.{digits}f} ({low:.{digits}f}{between}{high:.{digits}f})"


def _digits(values: np.ndarray) -> int:
    """Return how many decimals show two digits of the spread, and one at least."""
    if not len(values):
        return 1
    spread = float(np.std(values)) or abs(float(values[0]))
    return max(1, 1 - int(np.floor(np.log10(spread)))) if spread > 0 else 1


def _counted(count: int, size: int) -> str:
    return f"{count} ({100 * count / size:.1f} %)" if size else ""


def _p(value: float) -> str:
    return "below 0.001" if value < 0.001 else f"{value:.3f}"


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
