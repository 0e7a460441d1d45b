"""Damaged files cost nobody but their own patient, and a process that dies is a result like any other."""

import faulthandler
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from benchmarks.corrupted_files import FORMATS, MOST_MEMORY, ROLES, check_format, corrupted, healthy

from annulus.imaging import guard
from annulus.imaging.guard import Died, Guarded

BENCHMARK = Path(__file__).parent / "benchmarks" / "corrupted_files.py"


def guarded(work, items=(1,), size=0):
    """Return the results of work, a death as its reason."""
    found = Guarded(work, lambda item: size).over(items)
    return [one.reason if isinstance(one, Died) else one for one in found]


def children():
    """Return the processes that this one started and did not wait for."""
    multiprocessing.active_children()
    stats = [path.read_text() for path in Path("/proc").glob("[0-9]*/stat") if path.is_file()]
    return [stat for stat in stats if stat.rpartition(")")[2].split()[1] == str(os.getpid())]


# Corrupted files


@pytest.mark.parametrize("name", FORMATS)
def test_corrupted_files_cost_nobody_but_their_own_patient(name):
    for role in ROLES[:2]:
        outcome = check_format(name, role, range(5), seed=2)
        assert outcome.escaped == {}
        assert not outcome.healthy_rows_changed
        assert outcome.files == sum(outcome.decisions.values()) == 5
        assert outcome.memory < MOST_MEMORY


def test_a_seed_gives_the_same_files_and_another_seed_others():
    for name in FORMATS:
        healthy.cache_clear()
        files = [corrupted(name, "mask", number, 1, "mask") for number in range(12)]
        healthy.cache_clear()
        assert files == [corrupted(name, "mask", number, 1, "mask") for number in range(12)]
        assert files != [corrupted(name, "mask", number, 2, "mask") for number in range(12)]


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_a_thousand_corrupted_files_of_each_format(name):
    # Seconds are generous: other work on the machine is no fault of a file.
    command = [sys.executable, str(BENCHMARK), "1000", name, "--seconds", "60"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# The guard


def test_results_come_in_order_whatever_their_size():
    def work(item):
        return np.full(item, item % 251, np.uint8)

    sizes = [3, 20_000_000, 1, 500_000]
    found = guarded(work, sizes)
    assert [len(one) for one in found] == sizes
    assert all((one == size % 251).all() for one, size in zip(found, sizes, strict=True))


def test_one_process_serves_all_items_and_none_is_left():
    pids = guarded(lambda item: os.getpid(), range(5))
    assert len(set(pids)) == 1
    assert pids[0] != os.getpid()
    assert children() == []


def test_an_abort_is_told_and_the_next_item_has_a_new_process():
    def work(item):
        if item == "bad":
            # pytest would print a stack of this death.
            faulthandler.disable()
            os.abort()
        return os.getpid()

    before, reason, after = guarded(work, ["good", "bad", "good"])
    assert reason == f"reading it crashed the reader ({signal.strsignal(signal.SIGABRT)})"
    assert before != after
    assert children() == []


def test_a_reader_that_ends_the_process_is_told_with_its_exit_code():
    assert guarded(lambda item: os._exit(3)) == ["reading it crashed the reader (exit code 3)"]


def test_a_process_that_the_system_ends_is_tried_once_more(tmp_path):
    def work(item):
        if not (tmp_path / "tried").exists():
            (tmp_path / "tried").write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return os.getpid()

    (pid,) = guarded(work)
    assert pid not in (int((tmp_path / "tried").read_text()), os.getpid())


def test_a_process_that_the_system_ends_twice_is_told_and_is_not_the_files_fault(tmp_path):
    def work(item):
        with (tmp_path / "tries").open("a") as stream:
            stream.write("x")
        os.kill(os.getpid(), signal.SIGKILL)

    (died,) = Guarded(work, lambda item: 0).over([1])
    assert died.reason == "the system ended its reader, most likely for want of memory"
    assert not died.by_file
    assert (tmp_path / "tries").read_text() == "xx"
    assert children() == []


def test_a_crash_is_the_files_fault_and_is_not_tried_again(tmp_path):
    def work(item):
        with (tmp_path / "tries").open("a") as stream:
            stream.write("x")
        faulthandler.disable()
        os.kill(os.getpid(), signal.SIGSEGV)

    (died,) = Guarded(work, lambda item: 0).over([1])
    assert died.by_file
    assert (tmp_path / "tries").read_text() == "x"


def test_a_process_that_ends_while_it_has_nothing_to_do_is_started_anew():
    def items():
        yield 1
        child = multiprocessing.active_children()[0]
        os.kill(child.pid, signal.SIGKILL)
        yield 2

    first, second = guarded(lambda item: os.getpid(), items())
    assert isinstance(first, int)
    assert isinstance(second, int)
    assert first != second


def test_waiting_comes_to_an_end(monkeypatch):
    monkeypatch.setattr(guard, "LEAST_SECONDS", 0.5)
    monkeypatch.setattr(guard, "PATIENCE", 1.0)

    def work(item):
        time.sleep(item)
        return item

    died, after = Guarded(work, lambda item: 0).over([600, 0])
    assert died.reason.startswith("reading it did not come to an end within")
    assert not died.by_file
    assert after == 0
    assert children() == []


def test_an_endless_loop_comes_to_an_end(monkeypatch):
    monkeypatch.setattr(guard, "LEAST_SECONDS", 0.5)
    # Only processor time may end it.
    monkeypatch.setattr(guard, "PATIENCE", 1e4)

    def work(item):
        while item:
            pass
        return item

    assert guarded(work, [1, 0]) == ["reading it took longer than 0 s", 0]


def test_processor_time_counts_anew_for_every_item(monkeypatch):
    monkeypatch.setattr(guard, "LEAST_SECONDS", 0.5)

    def work(item):
        start = time.process_time()
        while time.process_time() - start < 0.4:
            pass
        return item

    # Together more than the second that the limit is at least.
    assert guarded(work, range(4)) == list(range(4))


def test_waiting_for_a_busy_disk_is_no_damage(monkeypatch):
    monkeypatch.setattr(guard, "LEAST_SECONDS", 0.1)
    monkeypatch.setattr(guard, "PATIENCE", 100.0)

    def work(item):
        time.sleep(0.5)
        return item

    assert guarded(work, [7]) == [7]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is limited on Linux alone")
@pytest.mark.parametrize(
    "take",
    [
        lambda: np.ones(3 * 1024**3, np.uint8),
        lambda: bytearray(3 * 1024**3),
        lambda: sitk.Image([3 * 1024, 1024, 1024], sitk.sitkUInt8),
    ],
    ids=["numpy", "python", "itk"],
)
def test_want_of_memory_is_told_and_the_next_item_has_a_new_process(take):
    def work(item):
        if item:
            take()
        return item

    assert guarded(work, [1, 0]) == ["reading it took more memory than 1.5 GiB", 0]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is limited on Linux alone")
def test_larger_files_may_take_more():
    assert guarded(lambda item: np.empty(2 * 1024**3, np.uint8).size, size=10_000_000) == [2 * 1024**3]


def test_an_exception_is_a_bug_and_comes_with_its_traceback():
    def work(item):
        raise KeyError("mask_role")

    with pytest.raises(RuntimeError, match=r"in work\n(.|\n)*KeyError: 'mask_role'"):
        guarded(work)
    assert children() == []


def test_a_result_that_cannot_be_sent_is_a_bug():
    with pytest.raises(RuntimeError, match="pickle"):
        guarded(lambda item: lambda: None)


def test_whoever_stops_early_leaves_no_process():
    results = Guarded(lambda item: item, lambda item: 0).over(range(9))
    assert next(results) == 0
    assert len(children()) == 1
    results.close()
    assert children() == []


LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (8 * 1024**3, 8 * 1024**3))
from annulus.imaging.guard import Guarded
print(list(Guarded(lambda item: item, lambda item: 10**9).over([1, 2])))
"""


def test_limits_that_the_cluster_sets_are_kept():
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True)
    assert done.stdout.strip() == "[1, 2]", done.stderr


ORPHAN = """
import os, signal
from annulus.imaging.guard import Guarded
results = Guarded(lambda item: os.getpid(), lambda item: 0).over([1, 2])
print(next(results), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_process_ends_when_its_parent_is_killed():
    done = subprocess.run([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, text=True)
    assert done.returncode == -signal.SIGKILL
    status = Path(f"/proc/{int(done.stdout)}/stat")
    for _ in range(100):
        # Whoever takes an orphan on may be slow to wait for it.
        if not status.is_file() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.1)
    pytest.fail("the process still runs")


THREADED = """
import numpy as np
import SimpleITK as sitk
from annulus.imaging.guard import Guarded
sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(4)
image = sitk.GetImageFromArray(np.random.default_rng(0).random((40, 64, 64)).astype(np.float32))
def work(item):
    smooth = sitk.GetArrayFromImage(sitk.DiscreteGaussian(image, 2.0))
    return sitk.ProcessObject.GetGlobalDefaultNumberOfThreads(), float(smooth.sum(dtype=float))
threads, there = work(0)
(found, here), again = Guarded(work, lambda item: 0).over([1, 2])
assert threads == 4 and found == 1 and again == (found, here), (threads, found, again)
assert here == there, (here, there)
print("same")
"""


@pytest.mark.parametrize("threader", ["Platform", "Pool"])
def test_itk_works_after_the_parent_used_its_threads(threader):
    environment = os.environ | {"ITK_GLOBAL_DEFAULT_THREADER": threader}
    done = subprocess.run([sys.executable, "-c", THREADED], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "same", done.stderr


def test_a_crash_leaves_no_core():
    found = guarded(lambda item: resource.getrlimit(resource.RLIMIT_CORE)[0])
    assert found == [0]
