"""Run a function in several processes that talk to each other, by torchrun and gloo; taught in chapter 16.

``launch("course_utils.scale.tasks:average", 2, {...})`` calls torchrun, which starts two processes. Each runs this
module: it joins the group, calls the function, and writes down what that returns.
"""

import importlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from course_utils.errors import WorkerError, check_counts, refuse

PATIENCE = timedelta(seconds=50)  # that a process waits for another one before it gives up
FAILED = re.compile(r"rank\s*: (\d+) .*?exitcode\s*: (-?\d+) \(pid: (\d+)\)", re.DOTALL)


def command(processes: int) -> list[str]:
    """How torchrun is called: so many processes on this machine, meeting at a free port that is nobody else's."""
    meeting = ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}", *meeting]
    return [*torchrun, "-m", "course_utils.scale.processes"]


def launch(target: str, processes: int = 2, payload: Any = None, *, timeout: float = 240) -> list[Any]:
    """Call a function in several processes of one gloo group, and gather what each returns, by rank.

    ``target`` is ``"module:function"``; the function takes the payload, anything that ``torch.save`` writes. Each
    process has one thread, float64 and seed 0. If one fails, or takes ``timeout`` seconds, all end with a WorkerError.
    """
    refuse(not re.fullmatch(r"[\w.]+:\w+", target), "target", repr(target), "'module:function'")
    check_counts(processes=processes)
    with tempfile.TemporaryDirectory(prefix="workers-", ignore_cleanup_errors=True) as name:
        folder, line = Path(name), [*command(processes), target, name]
        torch.save(payload, folder / "payload.pt")
        with (folder / "log.txt").open("wb") as log:
            run = subprocess.Popen(line, env=_environment(name), stdin=subprocess.PIPE, stdout=log, stderr=log)
        with run:  # at the end the pipe closes, and with it ends whoever is left
            try:
                code = run.wait(timeout)
            except subprocess.TimeoutExpired:
                run.terminate()
                done = f"{len(list(folder.glob('rank*.pt')))} of {processes} had finished"
                raise WorkerError(f"{target}: no end after {timeout:g} seconds, {done}") from None
        if code:
            raise WorkerError(f"{target}: {_cause(code, folder)}")
        return [torch.load(folder / f"rank{rank}.pt", weights_only=False) for rank in range(processes)]


def _environment(folder: str) -> dict[str, str]:
    """One thread for each process, all talk on the loopback; and in the folder what torchrun leaves at each run."""
    path = os.pathsep.join(filter(None, sys.path))
    chosen = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TMPDIR": folder, "PYTHONPATH": path}
    for name in {"lo", "lo0"}.intersection(name for _, name in socket.if_nameindex()):
        chosen["GLOO_SOCKET_IFNAME"] = name
    return os.environ | chosen


def _cause(code: int, folder: Path) -> str:
    """How the run ended: a process that was killed, else the first that raised, else the last word of torchrun."""
    if code < 0:
        return f"torchrun was killed by {signal.Signals(-code).name}"
    log = (folder / "log.txt").read_text(errors="replace")
    ends = FAILED.findall(log)
    for rank, number, pid in ends:
        if int(number) < 0 and -int(number) != signal.SIGTERM:  # by which torchrun ends the others
            what = re.search(r"what\(\): *(.*)", log)  # the last words of a C++ exception
            by = signal.Signals(-int(number)).name + (f": {what[1]}" if what else "")
            return f"process of rank {rank} (pid {pid}) was killed by {by}"
    for file in sorted(folder.glob("rank*.error"), key=lambda path: path.stat().st_mtime_ns):
        return f"process of {file.stem.replace('rank', 'rank ')} failed: {file.read_text()}"
    last = [f"process of rank {rank} (pid {pid}) ended with code {number}" for rank, number, pid in ends]
    return last[0] if last else log.strip().rpartition("\n")[2] or "torchrun failed and said nothing"


def _leave_with_the_caller() -> None:
    os.read(0, 1)  # nothing comes until the caller has closed its end of the pipe, or is gone
    os._exit(1)


def _meet(folder: Path, world: int) -> None:
    """Wait until all have their result: gloo aborts a process whose peer leaves while they talk."""
    while len(list(folder.glob("rank*.pt"))) < world:
        time.sleep(0.005)


def main(target: str, name: str) -> None:
    """What each process does; torchrun calls it."""
    threading.Thread(target=_leave_with_the_caller, daemon=True).start()
    folder, rank = Path(name), os.environ["RANK"]
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms loads torch's compiler, for seconds
    module, _, function = target.partition(":")
    try:
        distributed.init_process_group("gloo", timeout=PATIENCE)
        payload = torch.load(folder / "payload.pt", weights_only=False)
        torch.save(getattr(importlib.import_module(module), function)(payload), folder / f"rank{rank}.pt")
    except BaseException as error:
        (folder / f"rank{rank}.error").write_text(f"{type(error).__name__}: {error}")
        raise
    _meet(folder, distributed.get_world_size())
    sys.stdout.flush()
    os._exit(0)  # and do not take gloo's threads down: a process was seen to abort there on a busy machine


if __name__ == "__main__":
    main(*sys.argv[1:3])
