"""What every job of the workflow does first: open its log."""

import logging
import os
import sys
import traceback
import warnings
from pathlib import Path
from types import TracebackType
from typing import TextIO

from annulus.errors import StudyError


THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)


def log_to(path: str) -> None:
    """Send logging, warnings and uncaught exceptions of this process to ``path``.

    A :class:`StudyError` ends the job with its message alone; anything else is a bug and is
    written with its traceback.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    stream = Path(path).open("w", encoding="utf-8")  # noqa: SIM115 (open until the process ends)
    logging.basicConfig(
        stream=stream,
        level=logging.INFO,
        format="%(levelname)s %(name)s: %(message)s",
        force=True,
    )
    # pyradiomics reports progress per feature class; only its warnings concern a study.
    logging.getLogger("radiomics").setLevel(logging.WARNING)
    threads = {name: os.environ.get(name, "") for name in THREAD_VARIABLES}
    logging.getLogger(__name__).info("threads of this worker: %s", threads)
    logging.captureWarnings(True)
    warnings.simplefilter("default")
    sys.excepthook = lambda kind, error, trace: _report(stream, kind, error, trace)


def _report(
    stream: TextIO,
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
) -> None:
    text = (
        f"{error}\n"
        if isinstance(error, StudyError)
        else "".join(traceback.format_exception(kind, error, trace))
    )
    for target in (stream, sys.stderr):
        target.write(text)
        target.flush()
