"""Which other unit a column of numbers may be in, told from the range that its values should have."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Factor:
    """What a cohort file's ``factor`` would be, and the unit that the values are in; empty if unknown."""

    text: str
    unit: str = ""

    @property
    def value(self) -> float:
        """What values are multiplied by."""
        above, _, below = self.text.partition("/")
        return float(Fraction(above) / Fraction(below or "1"))

    def __str__(self) -> str:
        """Write it for a message."""
        return f"{self.unit} (factor: {self.text})" if self.unit else f"another unit (factor: {self.text})"


# The units that hospitals use in place of the data dictionary's.
KNOWN = {
    "mm": (Factor("10", "cm"), Factor("25.4", "inches"), Factor("1000", "m"), Factor("0.001", "micrometres")),
    "years": (Factor("1/12", "months"), Factor("1/365.25", "days")),
    "%": (Factor("100", "shares from 0 to 1"),),
    "1e-6 mm2/s": (Factor("1000", "1e-3 mm2/s"), Factor("1000000", "mm2/s")),
}

ANY = tuple(
    map(
        Factor,
        ("10", "0.1", "100", "0.01", "1000", "0.001", "12", "1/12", "365.25", "1/365.25", "25.4", "1/25.4"),
    )
)


def fitting_factors(unit: str, fits: Callable[[float], bool]) -> list[Factor]:
    """Return the factors that fit: of the usual units in place of ``unit``, or else of any."""
    usual = [factor for factor in KNOWN.get(unit, ()) if fits(factor.value)]
    return usual or [factor for factor in ANY if fits(factor.value)]


def in_words(factors: Sequence[Factor]) -> str:
    """Join factors by commas and a last or."""
    *first, last = map(str, factors)
    return f"{', '.join(first)} or {last}" if first else last
