"""Images that are in a study twice: identical by checksum, or near-identical by a perceptual hash.

Distances were measured on 748 ultrasound images of BUS-BRA and BUSI. An image and its copy that was
compressed (JPEG quality 30 or better), halved, enlarged, brightened, stretched in contrast by 30%
or captioned are at most 30 bits of 256 apart (99% of copies: 22). Images of different patients are
80 or more apart in 279,000 pairs (median 126), the two views of one patient no less, and low-energy
images of different simulated patients 44 or more. What falls between are frames of one lesion a
moment apart: BUSI has such frames under different numbers at 12 to 20 bits, and at 58 to 64 where
the probe had moved.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

import imagehash
import numpy as np
import pandas as pd
from PIL import Image

# 16 x 16 = 256 bits.
HASH_SIZE = 16
# Above every copy that was measured, below every other pair.
MAXIMUM_DISTANCE = 32

DUPLICATE_COLUMNS = [
    "patient_a", "timepoint_a", "image_a", "patient_b", "timepoint_b", "image_b", "kind", "distance",
    "same_patient",
]  # fmt: skip

# What makes one image: its rows differ in what their masks outline only.
_IMAGE_KEY = ["patient_id", "timepoint", "image_id"]

_DIGITS_PER_WORD = 16
_PAIRS_AT_A_TIME = 2**20


def fingerprint(pixels: np.ndarray) -> str:
    """Return an image's 256-bit perceptual hash as 64 hexadecimal digits.

    ``pixels`` is grey (row, column) or (slice, row, column); of a volume the middle slice is taken,
    which is the same whatever mask was drawn on it. The hash is the sign, against their median, of
    the 256 lowest cosine frequencies of the image shrunk to 64 x 64 pixels (``phash`` of ImageHash),
    so that size, compression and brightness hardly matter. A mirrored or turned copy, or one cropped
    by more than 2%, is another image to it. Raises ValueError for other dimensions.
    """
    if pixels.ndim not in (2, 3) or not pixels.size:
        raise ValueError(f"an image of 2 or 3 dimensions is needed, not one of shape {pixels.shape}")
    grey = pixels[pixels.shape[0] // 2] if pixels.ndim == 3 else pixels
    return str(imagehash.phash(Image.fromarray(_eight_bits(grey)), hash_size=HASH_SIZE))


def near_duplicates(
    fingerprints: Sequence[str], maximum_distance: int = MAXIMUM_DISTANCE
) -> list[tuple[int, int, int]]:
    """Return every pair (i, j, distance), i < j, of fingerprints at most so many bits apart.

    All pairs are compared, in blocks of bounded memory. Raises ValueError when fingerprints differ
    in length or are not hexadecimal.
    """
    words = _words(fingerprints)
    return [pair for block in _blocks(words) for pair in _close(words, block, maximum_distance)]


def duplicate_pairs(images: pd.DataFrame, maximum_distance: int = MAXIMUM_DISTANCE) -> pd.DataFrame:
    """Return the pairs of images that are identical or nearly so, of one patient or of two.

    ``images`` has columns patient_id, image_id, timepoint, image_sha256 and fingerprint; rows of one
    image with several masks count once. Of a pair, a comes before b: by patient, baseline before any
    other timepoint, then by id. Where there is a column content_sha256, of the
    pixels alone, it stands for image_sha256, which also changes with a file's header. Images without
    a checksum or a fingerprint (empty or missing) are compared by the other alone. ``kind`` is
    ``identical`` for equal checksums and else ``near``; ``distance`` is in bits, ``same_patient``
    0 or 1.
    """
    once = images.drop_duplicates(_IMAGE_KEY).assign(later=lambda rows: rows["timepoint"] != "baseline")
    once = once.sort_values(["patient_id", "later", *_IMAGE_KEY[1:]], ignore_index=True)
    checksum = "content_sha256" if "content_sha256" in once else "image_sha256"
    checksums = once[checksum].fillna("").astype(str)
    hashes = once["fingerprint"].fillna("").astype(str)
    found = dict.fromkeys(_equal(checksums), 0)
    hashed = np.flatnonzero(hashes != "")
    for i, j, distance in near_duplicates(hashes.iloc[hashed].tolist(), maximum_distance):
        found.setdefault((int(hashed[i]), int(hashed[j])), distance)
    patients, times, names = (once[key].tolist() for key in _IMAGE_KEY)
    rows = [
        {
            "patient_a": patients[i],
            "timepoint_a": times[i],
            "image_a": names[i],
            "patient_b": patients[j],
            "timepoint_b": times[j],
            "image_b": names[j],
            "kind": "identical" if checksums[i] and checksums[i] == checksums[j] else "near",
            "distance": distance,
            "same_patient": int(patients[i] == patients[j]),
        }
        for (i, j), distance in sorted(found.items())
    ]
    return pd.DataFrame(rows, columns=DUPLICATE_COLUMNS)


def _eight_bits(grey: np.ndarray) -> np.ndarray:
    """Scale to 0-255 between the outermost thousandths, so that a stray pixel does not rule."""
    values = np.nan_to_num(grey.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = np.quantile(values, (0.001, 0.999))
    if high <= low:
        low, high = values.min(), values.max()
    if high <= low:
        return np.zeros(values.shape, dtype=np.uint8)
    return np.round(255 * np.clip((values - low) / (high - low), 0, 1)).astype(np.uint8)


def _words(fingerprints: Sequence[str]) -> np.ndarray:
    """Return the fingerprints as rows of 64-bit words."""
    digits = {len(fingerprint) for fingerprint in fingerprints}
    if len(digits) > 1:
        raise ValueError(f"fingerprints of {min(digits)} and of {max(digits)} digits cannot be compared")
    width = -(-max(digits, default=0) // _DIGITS_PER_WORD)
    padded = [fingerprint.zfill(width * _DIGITS_PER_WORD) for fingerprint in fingerprints]
    try:
        raw = bytes.fromhex("".join(padded))
    except ValueError:
        raise ValueError("a fingerprint holds characters that are not hexadecimal digits") from None
    return np.frombuffer(raw, dtype=np.uint64).reshape(len(padded), width)


def _blocks(words: np.ndarray) -> Iterator[range]:
    size = max(1, _PAIRS_AT_A_TIME // max(1, len(words)))
    for first in range(0, len(words), size):
        yield range(first, min(first + size, len(words)))


def _close(words: np.ndarray, block: range, maximum_distance: int) -> Iterator[tuple[int, int, int]]:
    later = words[block.start :]
    distance = np.zeros((len(block), len(later)), dtype=np.uint16)
    for column in range(words.shape[1]):
        distance += np.bitwise_count(words[block.start : block.stop, None, column] ^ later[None, :, column])
    one, other = np.nonzero(distance <= maximum_distance)
    for i, j in zip(one[one < other].tolist(), other[one < other].tolist(), strict=True):
        yield block.start + i, block.start + j, int(distance[i, j])


def _equal(checksums: pd.Series) -> Iterator[tuple[int, int]]:
    for _, group in checksums[checksums != ""].groupby(checksums):
        yield from combinations(group.index.tolist(), 2)
