"""Texture features of a whole class at once, from the matrices that pyradiomics' classes set up.

pyradiomics evaluates every definition over the whole matrix. Most depend on a margin, a diagonal or a
product with two vectors, and are taken from there; definitions and conventions (the small number added
before logarithms, the average over directions) are pyradiomics' own, so values differ by rounding alone.
"""

import numpy as np

EPSILON = np.spacing(1)

Features = dict[str, float]


def entropy(shares: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """Return the entropy in bits."""
    return -(shares * np.log2(shares + EPSILON)).sum(axis)


def cooccurrence_features(
    matrix: np.ndarray, levels: np.ndarray, sums: np.ndarray, differences: np.ndarray
) -> Features:
    """Return GLCM features, averaged over directions (Haralick 1973, in pyradiomics' definitions).

    ``matrix`` is (n, n, directions) with every direction's sum 1, ``levels`` (n,) the grey levels,
    ``sums`` (2 g - 1, directions) and ``differences`` (g, directions) its sums over diagonals, of i + j
    from 2 and of \\|i - j\\| from 0, where g is the highest grey level.
    """
    p = np.ascontiguousarray(np.moveaxis(matrix, -1, 0))
    i, k, d = levels.astype(float), np.arange(2.0, len(sums) + 2), np.arange(0.0, len(differences))
    rows, columns = p.sum(2), p.sum(1)
    mean_i, mean_j = rows @ i, columns @ i
    from_i, from_j = i - mean_i[:, None], i - mean_j[:, None]
    spread = np.sqrt((rows * from_i**2).sum(1)) * np.sqrt((columns * from_j**2).sum(1))
    together = np.matmul(from_i[:, None, :], np.matmul(p, from_j[:, :, None]))[:, 0, 0]
    correlation = np.where(spread == 0, 1.0, together / (spread + EPSILON))
    joint = entropy(p, (1, 2))
    independent = rows[:, :, None] * columns[:, None, :]
    logarithm = np.log2(independent + EPSILON)
    joint_1, joint_2 = -(p * logarithm).sum((1, 2)), -(independent * logarithm).sum((1, 2))
    widest = np.fmax(entropy(rows, 1), entropy(columns, 1))
    surplus = joint_2 - joint
    from_centre = k[:, None] - mean_i - mean_j
    squared = from_centre**2
    difference = d @ differences
    g = float(len(differences))
    by_direction = {
        "Autocorrelation": np.matmul(p, i) @ i,
        "JointAverage": mean_i,
        "ClusterProminence": (sums * squared * squared).sum(0),
        "ClusterShade": (sums * squared * from_centre).sum(0),
        "ClusterTendency": (sums * squared).sum(0),
        "Contrast": d**2 @ differences,
        "Correlation": correlation,
        "DifferenceAverage": difference,
        "DifferenceEntropy": entropy(differences, 0),
        "DifferenceVariance": (differences * (d[:, None] - difference) ** 2).sum(0),
        "JointEnergy": (p * p).sum((1, 2)),
        "JointEntropy": joint,
        "Imc1": np.divide(joint - joint_1, widest, out=np.zeros_like(joint), where=widest != 0),
        "Imc2": np.where(surplus == 0, 0.0, _root(1 - np.exp(-2 * surplus))),
        "Idm": 1 / (1 + d**2) @ differences,
        "Idmn": 1 / (1 + d**2 / g**2) @ differences,
        "Id": 1 / (1 + d) @ differences,
        "Idn": 1 / (1 + d / g) @ differences,
        "InverseVariance": 1 / d[1:] ** 2 @ differences[1:],
        "MaximumProbability": p.max((1, 2)),
        "SumAverage": k @ sums,
        "SumEntropy": entropy(sums, 0),
        "SumSquares": (rows * from_i**2).sum(1),
    }
    return {name: float(_mean_of_numbers(values)) for name, values in by_direction.items()}


def _root(values: np.ndarray) -> np.ndarray:
    # Of a negative number, as rounding yields it, there is none; that direction does not count.
    return np.sqrt(values, out=np.full_like(values, np.nan), where=values >= 0)


def _mean_of_numbers(values: np.ndarray) -> np.floating | float:
    total = values.sum()
    if total == total:
        return total / len(values)
    numbers = values[~np.isnan(values)]
    return numbers.mean() if len(numbers) else np.nan


def maximal_correlation(matrix: np.ndarray, symmetric: bool) -> float:
    """Return the maximal correlation coefficient, averaged over directions.

    The second largest singular value of the matrix scaled by its margins, S = D_x^-1/2 P D_y^-1/2:
    pyradiomics' Q is similar to S S^T. ``matrix`` is (n, n, directions).
    """
    if len(matrix) < 2:
        return 1.0
    p = np.ascontiguousarray(np.moveaxis(matrix, -1, 0))
    divisor = np.sqrt(p.sum(2)[:, :, None] * p.sum(1)[:, None, :])
    scaled = np.divide(p, divisor, out=np.zeros_like(p), where=divisor > 0)
    values = np.abs(np.linalg.eigvalsh(scaled)) if symmetric else np.linalg.svd(scaled, compute_uv=False)
    return float(np.sort(values, axis=1)[:, -2].mean())


def size_features(matrix: np.ndarray, levels: np.ndarray, sizes: np.ndarray) -> Features:
    """Return what run lengths, zones and dependences have in common, averaged over directions.

    ``matrix`` is (n, m, directions), counts by grey ``levels`` (n,) and ``sizes`` (m,) of runs, zones or
    dependences (Galloway 1975; Thibault 2013; Sun & Wee 1983, in pyradiomics' definitions).
    """
    count = matrix.sum((0, 1))
    by_level, by_size = matrix.sum(1), matrix.sum(0)
    i, j = levels.astype(float), sizes.astype(float)
    level_weights = np.array([1 / i**2, np.ones_like(i), i**2])
    size_weights = np.array([1 / j**2, np.ones_like(j), j**2])
    # Low, all and high levels (m, directions) each, then short, all and long sizes of each.
    by_weight = (level_weights @ matrix.reshape(len(i), -1)).reshape(3, len(j), -1)
    emphasis = np.stack([size_weights @ own for own in by_weight], axis=1) / count
    by_direction = {
        "short": emphasis[0, 1],
        "long": emphasis[2, 1],
        "low": emphasis[1, 0],
        "high": emphasis[1, 2],
        "short low": emphasis[0, 0],
        "short high": emphasis[0, 2],
        "long low": emphasis[2, 0],
        "long high": emphasis[2, 2],
        "level nonuniformity": (by_level**2).sum(0) / count,
        "level nonuniformity normalised": (by_level**2).sum(0) / count**2,
        "size nonuniformity": (by_size**2).sum(0) / count,
        "size nonuniformity normalised": (by_size**2).sum(0) / count**2,
        "level variance": _variance(by_level / count, i),
        "size variance": _variance(by_size / count, j),
        "entropy": entropy(matrix / count, (0, 1)),
        "percentage": count / (j @ by_size),
    }
    return {name: float(_mean_of_numbers(values)) for name, values in by_direction.items()}


def _variance(shares: np.ndarray, values: np.ndarray) -> np.ndarray:
    mean = values @ shares
    return (shares * (values[:, None] - mean) ** 2).sum(0)
