"""What the processes of test_processes do; apart from it, so that each process loads little."""

import os
import signal
import time
from pathlib import Path

from torch import distributed


def three(payload):
    import torch

    from course_utils.scale import tasks

    found = [task(payload) for task in (tasks.average, tasks.data_parallel, tasks.model_parallel)]
    return [torch.get_default_dtype(), torch.get_num_threads(), *found]


def die_alone(folder):
    """Say where the group meets, then let one process be killed while the other waits for it."""
    Path(folder, f"{os.environ['RANK']}.txt").write_text(f"{os.getpid()} {os.environ['MASTER_PORT']}")
    distributed.barrier()
    if distributed.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    distributed.barrier()


def complain(payload):
    if distributed.get_rank() == 1:
        raise ValueError("nothing to do")
    distributed.barrier()


def orphan(payload):
    """Kill torchrun, or the process that is named, and stay."""
    Path(payload["folder"], "pid").write_text(str(os.getpid()))
    os.kill(payload.get("whom", os.getppid()), signal.SIGKILL)
    time.sleep(100)
