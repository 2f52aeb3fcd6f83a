"""What the processes of test_distributed do; apart from it, so that each process loads little."""

import os
import signal
import time
from pathlib import Path

from torch import distributed


def three(payload):
    """Three functions of the chapter, one after the other."""
    import torch

    from course_utils.scale import tasks

    found = [tasks.average(payload), tasks.data_parallel(payload), tasks.model_parallel(payload)]
    return [torch.get_default_dtype(), torch.get_num_threads(), *found]


def die_alone(payload):
    """Say where the group meets, then let one process be killed while the other waits for it."""
    from course_utils.scale import tasks

    mine = Path(payload["folder"], f"{os.environ['RANK']}.txt")
    mine.write_text(f"{os.getpid()} {os.environ['MASTER_PORT']}")
    distributed.barrier()
    tasks.die(payload)


def complain(payload):
    """One process raises."""
    if distributed.get_rank() == 1:
        raise ValueError("nothing to do")
    distributed.barrier()


def linger(payload):
    """Take too long for the test, and end well for whoever waits longer."""
    time.sleep(15)


def orphan(payload):
    """Kill torchrun, and stay."""
    Path(payload["folder"], "pid").write_text(str(os.getpid()))
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(100)
