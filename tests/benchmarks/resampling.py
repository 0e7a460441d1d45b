"""What honest performance of a signature costs: nested cross-validation and bootstraps of its whole pipeline.

    uv run python tests/benchmarks/resampling.py [bootstraps] [--share 1.0] [--jobs 2] [--glum 2]
        [--large 1000 20000]

A SYNTHETIC cohort of 84 patients x 5,000 correlated features goes through 10 times 10-fold nested
cross-validation and ``bootstraps`` (1000) resamples; every fit imputes, drops, scales and chooses one of 100
LASSO penalties by 10-fold cross-validation, all of it anew in every fold. With ``--share`` only that share of
fits is run (never less than one 10-fold round), and the time for all is extrapolated from it. ``--glum`` fits
are done over by the obvious alternative, scikit-learn's imputer and scaler before glum's path with the same
folds and tolerances, and must choose the same penalty. The last number is peak memory of one fit on
``--large`` patients x features (0 0 leaves it out).

Prints seconds of processor time, which other work on the machine hardly changes, and those on the clock.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np
import pandas as pd
from glum import GeneralizedLinearRegressor
from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
from nested import fold_auc
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from annulus.modelling import lasso
from annulus.modelling.folds import patient_folds, stratified_folds
from annulus.modelling.optimism import Predict, optimism_rounds, resamples
from annulus.modelling.penalised import PenalisedLogistic
from annulus.modelling.pipeline import build_pipeline

PATIENTS, FEATURES, SOURCES = 84, 5000, 30
FOLDS, REPEATS, PENALTIES, SMALLEST = 10, 10, 100, 0.01
MINUTES = 10


def cohort(patients: int, features: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Features of a few common sources and noise, two in five with a heavy tail; an outcome of the first."""
    rng = np.random.default_rng(1)
    sources = rng.normal(size=(patients, SOURCES))
    table = 0.4 * rng.normal(size=(patients, features))
    for first in range(0, features, 1000):
        part = table[:, first : first + 1000]
        shape = (SOURCES, part.shape[1])
        part += sources @ (rng.normal(size=shape) * (rng.random(shape) < 0.15))
        heavy = rng.random(part.shape[1]) < 0.4
        part[:, heavy] = np.exp(part[:, heavy] / 2.0)
    outcome = (sources[:, 0] + rng.normal(size=patients) > 0.4).astype(int)
    return pd.DataFrame(table, index=[f"P{i}" for i in range(patients)]).add_prefix("f"), outcome


def signature() -> PenalisedLogistic:
    """Return the unfitted pipeline."""
    model = {"lasso": {"folds": FOLDS, "count": PENALTIES, "smallest_ratio": SMALLEST}}
    return build_pipeline({"steps": ["impute", "variance", "scale"], "model": model}, 0)


def seconds(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds of processor time, those of worker processes and their start included, and on the clock."""
    used, begun = _used(), time.perf_counter()
    run()
    on_the_clock = time.perf_counter() - begun
    get_reusable_executor().shutdown(wait=True)
    return _used() - used, on_the_clock


def start_workers(jobs: int) -> None:
    """Start the processes, and have each import what it needs."""
    Parallel(n_jobs=jobs)(delayed(signature)() for _ in range(jobs))


def _used() -> float:
    ours, theirs = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return ours.ru_utime + ours.ru_stime + theirs.ru_utime + theirs.ru_stime


def glum_path(values: np.ndarray, y: np.ndarray, penalties: np.ndarray, tolerance: float) -> lasso.Path:
    """Fit the path by glum."""
    model = GeneralizedLinearRegressor(
        family="binomial",
        l1_ratio=1.0,
        alpha_search=True,
        alpha=list(penalties),
        gradient_tol=tolerance,
        max_iter=1000,
    ).fit(values, y)
    return lasso.Path(penalties, np.asarray(model.coef_path_), np.asarray(model.intercept_path_))


def with_glum(table: pd.DataFrame, outcome: np.ndarray) -> lasso.CrossValidation:
    """Fit as the signature does, by scikit-learn's steps and glum's path."""
    y = outcome.astype(float)
    steps = make_pipeline(SimpleImputer(strategy="median"), VarianceThreshold(), StandardScaler())
    scores = steps.fit_transform(table)
    penalties = lasso.penalties_for(scores, y, PENALTIES, SMALLEST)
    deviances, sizes = [], []
    for train, test in patient_folds(table.index, y, FOLDS, 0):
        values = steps.fit_transform(table.iloc[train])
        path = glum_path(values, y[train], penalties, lasso.RANKING)
        held_out = steps.transform(table.iloc[test])
        deviances.append(lasso.deviance(y[test], path.linear_predictors(held_out)))
        sizes.append(len(test))
    glum_path(scores, y, penalties, lasso.FINAL)
    return lasso.summarise(penalties, np.array(deviances), np.array(sizes))


def compare(table: pd.DataFrame, outcome: np.ndarray, fits: int) -> float:
    """Return how many times the processor time of ours glum takes, on the first resamples."""
    ours = theirs = 0.0
    for rows in resamples(outcome, fits, 2):
        begun = time.process_time()
        fitted = signature().fit(table.iloc[rows], outcome[rows])
        between = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = with_glum(table.iloc[rows], outcome[rows])
        ours, theirs = ours + between - begun, theirs + time.process_time() - between
        if found.minimum != fitted.chosen_:
            raise SystemExit(f"glum chooses penalty {found.minimum}, the signature {fitted.chosen_}")
        apart = float(np.abs(found.mean - fitted.cross_validation_.mean).max())
        print(f"the same penalty, {fitted.chosen_}; deviances differ by {apart:.1e} at most")
    return theirs / ours


def one_fit(patients: int, features: int) -> None:
    """Fit once, and print processor time and this process's peak memory."""
    table, outcome = cohort(patients, features)
    used, _ = seconds(lambda: signature().fit(table, outcome))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    data = table.memory_usage(index=False).sum() / 2**20
    print(
        f"one fit on {patients} x {features}: {used:.0f} s of processor time, peak memory {peak:.0f} MiB, "
        f"of which the table itself {data:.0f} MiB"
    )


def refit(table: pd.DataFrame, outcome: np.ndarray, number: int) -> Predict:
    """Fit the whole pipeline on a resample."""
    fitted = signature().fit(table, outcome)
    return lambda others: {"signature": fitted.predict_proba(others)[:, 1]}


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("bootstraps", type=int, nargs="?", default=1000)
    options.add_argument("--share", type=float, default=1.0)
    options.add_argument("--jobs", type=int, default=2)
    options.add_argument("--glum", type=int, default=2)
    options.add_argument("--large", type=int, nargs=2, default=(1000, 20_000))
    options.add_argument("--one-fit", type=int, nargs=2, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.one_fit:
        one_fit(*given.one_fit)
        return
    table, outcome = cohort(PATIENTS, FEATURES)
    repeats = max(1, round(REPEATS * given.share))
    count = max(1, round(given.bootstraps * given.share))
    rows = resamples(outcome, count, 1)
    # Starting is no part of what a fit costs, and must not be extrapolated with it.
    start, start_clock = seconds(lambda: start_workers(given.jobs))
    nested, nested_clock = seconds(
        lambda: Parallel(given.jobs)(
            delayed(fold_auc)(signature(), table, outcome, *split)
            for repeat in range(repeats)
            for split in stratified_folds(outcome, FOLDS, 1 + repeat)
        )
    )
    bootstrap, bootstrap_clock = seconds(
        lambda: Parallel(given.jobs)(
            delayed(optimism_rounds)(refit, table, outcome, {number: own}) for number, own in enumerate(rows)
        )
    )
    fits = FOLDS * repeats
    print(f"starting {given.jobs} processes: {start:.1f} s, {start_clock:.1f} s on the clock")
    print(
        f"with it, {fits} fits of nested cross-validation: {nested:.1f} s, {nested_clock:.1f} s on the clock"
    )
    print(f"with it, {count} bootstraps: {bootstrap:.1f} s, {bootstrap_clock:.1f} s on the clock")
    per_fit, per_bootstrap = (nested - start) / fits, (bootstrap - start) / count
    whole = start + FOLDS * REPEATS * per_fit + given.bootstraps * per_bootstrap
    print(f"a fit {per_fit:.2f} s, a bootstrap {per_bootstrap:.2f} s")
    print(
        f"{FOLDS * REPEATS} fits and {given.bootstraps} bootstraps"
        f"{' (extrapolated)' if given.share < 1 else ''}: {whole:.0f} s of processor time, "
        f"{whole / given.jobs / 60:.1f} minutes of {given.jobs} cores that do nothing else (goal {MINUTES})"
    )
    if given.glum:
        print(f"glum_over_ours ratio {compare(table, outcome, given.glum):.1f}")
    if all(given.large):
        subprocess.run([sys.executable, __file__, "--one-fit", *map(str, given.large)], check=True)


if __name__ == "__main__":
    main()
