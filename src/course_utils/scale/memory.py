"""How much memory a call takes, measured in a process of its own; taught in chapter 16."""

import multiprocessing.connection
import re
import resource
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from course_utils.errors import DataError


def peak_growths(calls: Sequence[tuple], *, timeout: float = 240) -> list[int]:
    """Bytes by which each call raises the memory of a fresh process at its peak; taught in chapter 16.

    A call is ``(function, argument, ...)``, with a function that can be imported. One process runs all in turn, so what
    a call leaves behind is not counted twice: give small ones first. If it dies, or takes too long: DataError.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_measure, args=(there, list(calls)), daemon=True)
    child.start()
    there.close()
    try:
        if not here.poll(timeout):
            raise DataError(f"calls: no answer from their process after {timeout:g} seconds")
        return here.recv()
    except EOFError:
        child.join(10)
        raise DataError(f"calls: their process ended with code {child.exitcode}") from None
    finally:
        here.close()
        child.kill()  # it has answered, or never will
        child.join()


def _measure(there: multiprocessing.connection.Connection, calls: list[tuple]) -> None:
    growths = []
    for function, *arguments in calls:
        with suppress(OSError):  # Linux: forget the peak so far
            Path("/proc/self/clear_refs").write_text("5")
        before = _peak()
        function(*arguments)
        growths.append(_peak() - before)
    there.send(growths)


def _peak() -> int:
    with suppress(OSError):  # Linux; what getrusage says there includes the parent's
        return 1024 * int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
