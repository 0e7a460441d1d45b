"""Adler's grade of a lesion's vessels on colour Doppler ultrasound."""

# From this grade on flow counts as rich.
ADLER_HIGH = 2


def adler_grade(n_punctate: int, n_long: int) -> int:
    """Grade by punctate or thin rod-like vessels and vessels at least as long as the lesion's radius.

    0 no flow; 1 one or two punctate; 2 three or four punctate or one long; 3 five or more punctate or two or
    more long (after Adler et al., Ultrasound Med Biol 1990;16:553-559). Raises ValueError for a negative
    count.
    """
    if n_punctate < 0 or n_long < 0:
        raise ValueError("vessels are counted from 0")
    if n_long >= 2 or n_punctate >= 5:
        return 3
    if n_long == 1 or n_punctate >= 3:
        return 2
    return 1 if n_punctate else 0
