"""numpy as pyradiomics calls it, without the time that numpy's wrappers take on small arrays.

A region has thousands of sums and means over arrays of a few hundred numbers, where checking arguments
takes longer than adding. What stands in adds the same numbers in the same order.
"""

from collections.abc import Callable
from types import FunctionType, SimpleNamespace
from typing import Any

import numpy as np


def add_up(values: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Sum as ``numpy.sum`` does."""
    reduce: Any = np.add.reduce
    return reduce(values, axis=axis, keepdims=keepdims)


def mean_of_numbers(values: np.ndarray, axis: Any = None, keepdims: bool = False) -> Any:
    """Average as ``numpy.nanmean`` does, which copies the array even where nothing is missing."""
    total = add_up(values, axis, keepdims)
    if add_up(total) != add_up(total):
        return np.nanmean(values, axis=axis, keepdims=keepdims)
    return total / (values.size // max(np.size(total), 1))


LEAN = SimpleNamespace(**{**vars(np), "sum": add_up, "nanmean": mean_of_numbers})


def with_globals(function: Callable[..., Any], **replaced: Any) -> Callable[..., Any]:
    """Return a function that sees other globals under the names given."""
    given: Any = function
    return FunctionType(
        given.__code__,
        {**given.__globals__, **replaced},
        given.__name__,
        given.__defaults__,
        given.__closure__,
    )


def lean(feature_class: type) -> type:
    """Let pyradiomics' own methods of a feature class call the numpy above."""
    for name in dir(feature_class):
        method = getattr(feature_class, name)
        theirs = str(getattr(method, "__module__", "")).startswith("radiomics.")
        computes = name.endswith("FeatureValue") or name == "_calculateCoefficients"
        if theirs and computes and not getattr(method, "_is_deprecated", False):
            setattr(feature_class, name, with_globals(method, numpy=LEAN))
    return feature_class
