"""Work on files that may be damaged, in a process of its own that may die without harm.

A damaged header can make a reader crash the process, never come back, or ask for all the memory there
is. None of that may cost another patient's result.
"""

import errno
import math
import multiprocessing
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any, Generic, TypeVar

import SimpleITK as sitk

Item = TypeVar("Item")
Result = TypeVar("Result")

GIBIBYTE = 1024**3

# What any image may take beyond what the process had before it, and how much more per byte of file. A
# healthy volume of 512 x 512 x 300 with a breast mask takes 2.6 GiB, of float64 3.5 GiB; without noise in
# the air it may be compressed to 8 MB.
LEAST_MEMORY = 3 * GIBIBYTE // 2
MEMORY_PER_BYTE = 400

# Of processor time, for a machine or disk that is busy must not make a healthy file a damaged one. That
# volume takes 7 s per mask.
LEAST_SECONDS = 6.0
SECONDS_PER_MEGABYTE = 10.0

# A reader that uses no processor time waits for something: it is given up after so many times as long.
PATIENCE = 3.0

# A child that is through has a moment to end by itself.
SECONDS_TO_END = 2.0

OUT_OF_MEMORY = errno.ENOMEM


class Died:
    """Stands for the result of work whose process died; ``reason`` says how.

    ``by_file`` says that the item is at fault. It need not be where the system killed the process, or
    where the process waited for something.
    """

    def __init__(self, reason: str, by_file: bool = True) -> None:
        self.reason, self.by_file = reason, by_file


class Guarded(Generic[Item, Result]):
    """Call ``work`` on items one after another in a child process, started anew when it dies.

    Where the item need not be at fault, it is tried once more in a fresh process.

    ``size`` gives an item's bytes on disk, which set its limits of processor time and, on Linux, memory.
    An exception that ``work`` raises is raised here as RuntimeError with its traceback: it is a bug, not
    a damaged file. Want of memory is none.
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
        result = self._tried(item)
        if isinstance(result, Died) and not result.by_file:
            return self._tried(item)
        return result

    def _tried(self, item: Item) -> Result | Died:
        size = self._size(item)
        seconds = LEAST_SECONDS + SECONDS_PER_MEGABYTE * size / 1e6
        memory = LEAST_MEMORY + MEMORY_PER_BYTE * size
        pipe = self._handed((item, seconds, memory))
        if not pipe.poll(PATIENCE * seconds):
            self._stop()
            return Died(f"reading it did not come to an end within {PATIENCE * seconds:.0f} s", by_file=False)
        try:
            done, result = pipe.recv()
        except (EOFError, OSError):
            code = self._stop(SECONDS_TO_END)
            return Died(_reason(code, seconds, memory), by_file=code != -signal.SIGKILL)
        if not done:
            raise RuntimeError(f"quality control failed on a file that it could read:\n{result}")
        return result

    def _handed(self, task: tuple[Item, float, int]) -> "Connection[Any, Any]":
        """Hand a task to the child, and return the pipe on which its result comes."""
        pipe = self._running()
        try:
            pipe.send(task)
            pipe.recv()
        except (EOFError, OSError):
            # It ended while it had nothing to do, which is not this item's fault.
            self._stop()
            pipe = self._running()
            pipe.send(task)
            pipe.recv()
        return pipe

    def _running(self) -> "Connection[Any, Any]":
        if self._child is not None and self._pipe is not None and self._child.is_alive():
            return self._pipe
        self._stop()
        # Forked, so that nothing has to be imported or handed over again.
        context = multiprocessing.get_context("fork")
        self._pipe, end = context.Pipe()
        self._child = context.Process(target=_serve, args=(self._work, end, self._pipe), daemon=True)
        self._child.start()
        end.close()
        return self._pipe

    def _stop(self, patience: float = 0.0) -> int | None:
        """End the child, and return how it ended; it has ``patience`` seconds to do so by itself."""
        child, pipe = self._child, self._pipe
        self._child = self._pipe = None
        if pipe is not None:
            pipe.close()
        if child is None:
            return None
        if patience:
            child.join(patience)
        child.kill()
        child.join()
        code = child.exitcode
        child.close()
        return code


def _serve(
    work: Callable[[Any], Any], pipe: "Connection[Any, Any]", parents_end: "Connection[Any, Any]"
) -> None:
    # With its other end open here, the pipe would not tell that the parent is gone.
    parents_end.close()
    # The memory of further threads would count, though none of it is used.
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    limits = _Limits()
    while True:
        try:
            item, seconds, memory = pipe.recv()
        except EOFError:
            return
        pipe.send("begun")
        limits.allow(seconds, memory)
        try:
            pipe.send((True, work(item)))
        except Exception as error:
            if wants_memory(error):
                sys.exit(OUT_OF_MEMORY)
            pipe.send((False, traceback.format_exc()))


class _Limits:
    """The limits of this process, which are never raised beyond those that it was started with."""

    def __init__(self) -> None:
        self._most = {kind: resource.getrlimit(kind) for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU)}
        # A crash is expected: its core would be of no use, and may be of many GB.
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))

    def allow(self, seconds: float, memory: int) -> None:
        """Allow so many seconds of processor time and bytes beyond those used and held so far."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self._set(resource.RLIMIT_CPU, math.ceil(usage.ru_utime + usage.ru_stime + seconds))
        # What images before this one left behind is not this one's fault.
        if held := _address_space():
            self._set(resource.RLIMIT_AS, held + memory)

    def _set(self, kind: int, limit: int) -> None:
        soft, hard = self._most[kind]
        resource.setrlimit(kind, (limit if soft == resource.RLIM_INFINITY else min(limit, soft), hard))


def _address_space() -> int:
    """Return the bytes of address space in use, or 0 where the system does not tell (not Linux)."""
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[0]) * resource.getpagesize() if pages.is_file() else 0


def wants_memory(error: Exception) -> bool:
    """Say whether an exception stands for want of memory, as libraries word it."""
    return isinstance(error, MemoryError) or any(
        words in str(error) for words in ("bad_alloc", "allocate memory", "Unable to allocate")
    )


def _reason(code: int | None, seconds: float, memory: int) -> str:
    if code == -signal.SIGXCPU:
        return f"reading it took longer than {seconds:.0f} s"
    if code == OUT_OF_MEMORY:
        return f"reading it took more memory than {memory / GIBIBYTE:.1f} GiB"
    if code == -signal.SIGKILL:
        return "the system ended its reader, most likely for want of memory"
    if code is not None and code < 0:
        return f"reading it crashed the reader ({signal.strsignal(-code)})"
    return f"reading it crashed the reader (exit code {code})"
