"""Work on files that may be damaged, in a process of its own that may die without harm.

A damaged header can make a reader crash the process, never come back, or ask for all the memory there
is. None of that may cost another patient's result.
"""

import logging
import multiprocessing
import resource
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any, Generic, TypeVar

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

GIBIBYTE = 1024**3

# What any image may take beyond what the process had before it, and how much more per byte of file:
# a compressed file unfolds, and quality control holds a few copies of it.
LEAST_MEMORY = 2 * GIBIBYTE
MEMORY_PER_BYTE = 60

# The slowest healthy file seen took 3 s per 100 MB.
LEAST_SECONDS = 10.0
SECONDS_PER_MEGABYTE = 0.2


class Died:
    """Stands for the result of work whose process died; ``reason`` says how."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Guarded(Generic[Item, Result]):
    """Call ``work`` on items one after another in a child process, started anew when it dies.

    ``size`` gives an item's bytes on disk, which set its limits of time and memory. An exception that
    ``work`` raises is raised here: it is a bug, not a damaged file.
    """

    def __init__(self, work: Callable[[Item], Result], size: Callable[[Item], int]) -> None:
        self._work, self._size = work, size
        self._child: ForkProcess | None = None
        self._pipe: Connection[Any, Any] | None = None

    def over(self, items: Iterable[Item]) -> Iterator[Result | Died]:
        """Yield each item's result, or how its process died."""
        try:
            for item in items:
                yield self._one(item)
        finally:
            self._stop()

    def _one(self, item: Item) -> Result | Died:
        pipe = self._start()
        size = self._size(item)
        seconds = LEAST_SECONDS + SECONDS_PER_MEGABYTE * size / 1e6
        pipe.send((item, size))
        if not pipe.poll(seconds):
            self._stop()
            return Died(f"reading it took longer than {seconds:.0f} s")
        try:
            done, result = pipe.recv()
        except (EOFError, ConnectionResetError):
            child = self._child
            if child is not None:
                child.join()
            code = child.exitcode if child is not None else None
            self._stop()
            return Died(f"reading it crashed the reader ({_exit(code)})")
        if not done:
            raise RuntimeError(f"quality control failed on a file that it could read:\n{result}")
        return result

    def _start(self) -> "Connection[Any, Any]":
        if self._child is not None and self._pipe is not None and self._child.is_alive():
            return self._pipe
        # Forked, so that nothing has to be imported or handed over again.
        context = multiprocessing.get_context("fork")
        self._pipe, end = context.Pipe()
        self._child = context.Process(target=_serve, args=(self._work, end), daemon=True)
        self._child.start()
        end.close()
        return self._pipe

    def _stop(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
        if self._child is not None:
            self._child.kill()
            self._child.join()
        self._child = self._pipe = None


def _serve(work: Callable[[Any], Any], pipe: "Connection[Any, Any]") -> None:
    held = _address_space()
    while True:
        try:
            item, size = pipe.recv()
        except EOFError:
            return
        if held:
            limit = held + LEAST_MEMORY + MEMORY_PER_BYTE * size
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        try:
            message = (True, work(item))
        except MemoryError:
            # To the parent this is the same as a crash.
            return
        except Exception:
            message = (False, traceback.format_exc())
        pipe.send(message)


def _address_space() -> int:
    """Return the bytes of address space in use, or 0 where the system does not tell (not Linux)."""
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[0]) * resource.getpagesize() if pages.is_file() else 0


def _exit(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {-code}"
    return "out of memory"
