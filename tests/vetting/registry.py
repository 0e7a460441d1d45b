"""Compute every row of the vetting registry, and write it with its page.

    uv run python tests/vetting/registry.py

Writes ``tests/vetting/registry.csv`` and ``docs/vetting.md``. Needs the data of pyradiomics and IBSI;
that page says where they lie. Without them it says what is absent and writes nothing.
"""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS="1")
sys.path.insert(0, str(Path(__file__).parents[1]))

from vetting import baselines, equality, filters, ibsi, invariants, resampling
from vetting.ibsi_preprocessing import CONFIGURATIONS
from vetting.report import report
from vetting.rows import DataAbsent, Row, read_rows, write_rows

ROOT = Path(__file__).parents[2]
REGISTRY = Path(__file__).with_suffix(".csv")
PAGE = ROOT / "docs" / "vetting.md"


@dataclass(frozen=True)
class Part:
    """Rows that are computed together: all of their oracles, or one case of one."""

    compute: Callable[[], Iterable[Row]]
    oracles: tuple[str, ...]
    case: str = ""

    def owns(self, row: Row) -> bool:
        """Say whether a row of the registry is one of these."""
        return row.about.oracle in self.oracles and self.case in ("", row.about.case)


PARTS: Mapping[str, Part] = {
    "baselines": Part(baselines.rows, (baselines.ORACLE,)),
    "equality": Part(equality.rows, (equality.ORACLE,)),
    "digital phantom": Part(ibsi.digital_rows, (ibsi.DIGITAL,)),
    **{
        f"CT phantom {one.name}": Part(partial(ibsi.ct_rows, one), (ibsi.CT,), f"configuration {one.name}")
        for one in CONFIGURATIONS
    },
    "wavelets": Part(filters.wavelet_rows, (filters.WAVELETS,)),
    "LoG": Part(filters.log_rows, (filters.GAUSSIAN, filters.DERICHE)),
    "resampling": Part(resampling.rows, (resampling.ORACLE,)),
    "invariants": Part(invariants.rows, (invariants.ORACLE,)),
}


def main() -> None:
    """Write the registry and its page."""
    try:
        rows = [row for part in PARTS.values() for row in part.compute()]
    except DataAbsent as error:
        sys.exit(f"Nothing written: {error}")
    write_rows(rows, REGISTRY)
    PAGE.write_text(report(read_rows(REGISTRY)), encoding="utf-8")
    for result in ("pass", "convention", "miss"):
        print(result, sum(row.result == result for row in rows))


if __name__ == "__main__":
    main()
