"""Run a function in several processes that talk to each other, by torchrun and gloo; taught in chapter 16.

``launch("course_utils.scale.tasks:average", 2, {...})`` starts two processes on this machine. In each of them torchrun
runs this module, which joins the group, calls the function, and stores what it returns. A process that fails, or is
killed, ends them all, and :class:`course_utils.errors.WorkerError` names it.
"""

from __future__ import annotations

import importlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from course_utils.errors import InputError, WorkerError, check_counts

LOOPBACK = "127.0.0.1"
PATIENCE = 50  # seconds that a process waits for another one before it gives up
FAILED = re.compile(r"rank\s*: (\d+) .*?exitcode\s*: (-?\d+) \(pid: (\d+)\)", re.DOTALL)


def command(processes: int) -> list[str]:
    """How torchrun is called: so many processes on this machine, meeting at a free port that is nobody else's."""
    return [
        *(sys.executable, "-m", "torch.distributed.run"),
        f"--nproc-per-node={processes}",
        *("--rdzv-backend=c10d", f"--rdzv-endpoint={LOOPBACK}:0", f"--local-addr={LOOPBACK}"),
        *("-m", "course_utils.scale.processes"),
    ]


def launch(target: str, processes: int = 2, payload: Any = None, *, timeout: float = 240) -> list[Any]:
    """Call a function in several processes of one gloo group, and gather what each returns.

    Each process has one thread, float64 as its default type, and seed 0.

    Args:
        target: ``"module:function"``, with a module that can be imported; the function takes the payload.
        processes: how many, at least 1.
        payload: anything that ``torch.save`` writes; each process reads it anew.
        timeout: seconds after which all are ended.

    Returns:
        What the function returned in each process, by rank.

    Raises:
        InputError: the target has another form, or ``processes`` is below 1.
        WorkerError: a process failed, was killed, or took too long.
    """
    if not re.fullmatch(r"[\w.]+:\w+", target):
        raise InputError("target", got=repr(target), expected="'module:function'")
    check_counts(processes=processes)
    with tempfile.TemporaryDirectory(prefix="workers-") as name:
        folder = Path(name)
        torch.save(payload, folder / "payload.pt")
        log = folder / "log.txt"
        with log.open("wb") as file:
            run = subprocess.Popen(
                [*command(processes), target, name], stdout=file, stderr=file, env=_environment(name)
            )
            try:
                code = run.wait(timeout)
            except BaseException as error:
                _end(run, folder)
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                done = sorted(path.stem for path in folder.glob("rank*.pt"))
                ready = f"only {', '.join(done)} had finished" if done else "none had finished"
                raise WorkerError(f"{target}: no end after {timeout:g} seconds, {ready}") from None
        if code:
            _kill_left(folder)
            said = log.read_text(errors="replace")
            why = _cause(folder, said) if code > 0 else f"torchrun was killed by {signal.Signals(-code).name}"
            raise WorkerError(f"{target}: {why}")
        return [torch.load(folder / f"rank{rank}.pt", weights_only=False) for rank in range(processes)]


def _environment(folder: str) -> dict[str, str]:
    """This process's environment, with one thread for each worker and all talk on the loopback.

    Temporary files go to the folder: torchrun leaves one at each run.
    """
    names = [name for _, name in socket.if_nameindex()]
    loopback = next(({"GLOO_SOCKET_IFNAME": name} for name in ("lo", "lo0") if name in names), {})
    here = os.pathsep.join([path for path in sys.path if path])
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return os.environ | loopback | one_thread | {"PYTHONPATH": here, "TMPDIR": folder}


def _end(run: subprocess.Popen, folder: Path) -> None:
    """End torchrun, which ends its processes; and those that it left."""
    run.terminate()
    try:
        run.wait(10)
    except subprocess.TimeoutExpired:
        run.kill()
        run.wait()
    _kill_left(folder)


def _kill_left(folder: Path) -> None:
    """Kill the processes that torchrun left, when it was killed itself; a number that went to another is let alone."""
    for file in folder.glob("rank*.pid"):
        number = file.read_text()
        asked = ["ps", "-ww", "-o", "args=", "-p", number]
        with suppress(OSError):  # it is gone already, or the machine has no ps to ask
            told = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=False)
            if str(folder) in told.stdout:
                os.kill(int(number), signal.SIGKILL)


def _cause(folder: Path, log: str) -> str:
    """Which process failed first, and how, in one line."""
    found = {int(rank): (int(code), int(pid)) for rank, code, pid in FAILED.findall(log)}
    for rank, (code, pid) in sorted(found.items()):
        if code < 0 and -code != signal.SIGTERM:
            what = re.search(r"what\(\): *(.*)", log)  # the last words of a C++ exception
            said = f": {what[1]}" if what else ""
            return f"process of rank {rank} (pid {pid}) was killed by {signal.Signals(-code).name}{said}"
    for file in sorted(folder.glob("rank*.error"), key=lambda path: path.stat().st_mtime_ns):
        return f"process of {file.stem.replace('rank', 'rank ')} failed: {file.read_text().strip()}"
    for rank, (code, pid) in sorted(found.items()):
        return f"process of rank {rank} (pid {pid}) ended with code {code}"
    lines = [line for line in log.splitlines() if line.strip()]
    return lines[-1] if lines else "torchrun failed and said nothing"


def _meet(mine: Path, world: int) -> None:
    """Wait until all have left the barrier: gloo aborts a process whose peer closes while it is still inside."""
    mine.with_suffix(".left").touch()
    end = time.monotonic() + PATIENCE
    while len(list(mine.parent.glob("rank*.left"))) < world and time.monotonic() < end:
        time.sleep(0.005)


def main(target: str, folder: str) -> None:
    """What each process does; torchrun calls it."""
    from torch import distributed

    rank = int(os.environ["RANK"])
    mine = Path(folder, f"rank{rank}")
    mine.with_suffix(".pid").write_text(str(os.getpid()))
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    torch.set_deterministic_debug_mode(
        "error"
    )  # use_deterministic_algorithms loads torch's compiler, for seconds
    module, _, function = target.partition(":")
    try:
        distributed.init_process_group("gloo", timeout=timedelta(seconds=PATIENCE))
        payload = torch.load(Path(folder, "payload.pt"), weights_only=False)
        result = getattr(importlib.import_module(module), function)(payload)
        torch.save(result, mine.with_suffix(".pt"))
        distributed.barrier()
        _meet(mine, distributed.get_world_size())
    except BaseException as error:
        last = traceback.format_exception_only(error)[-1].strip()
        mine.with_suffix(".error").write_text(last)
        raise
    # The result is written and all have left the barrier. What is left is to take gloo's threads down, and a process
    # was seen to abort there on a busy machine: leave without it.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:3])
