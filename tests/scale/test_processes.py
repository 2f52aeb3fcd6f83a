"""Real processes of a gloo group: what they return, and what is said when one of them dies."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from course_utils.errors import InputError, WorkerError
from course_utils.models.dlrm import DLRM, click_loss
from course_utils.scale import processes
from course_utils.scale.processes import launch


def wait_for_the_end(pid):
    """Of a process, five seconds; one that nobody has asked for its end has ended too."""
    status = Path(f"/proc/{pid}/stat")
    end = time.monotonic() + 5
    while status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < end
        time.sleep(0.05)


def test_two_processes_are_one():
    torch.manual_seed(0)
    shape, codes = (3, [5, 7, 4], 4, [6, 4], [8, 1]), torch.randint(5, (8, 2))
    model = DLRM(*shape)
    batch = [torch.randn(8, 3), codes, torch.randint(-1, 4, (8, 3)), torch.randint(2, (8,)).double()]  # a bag
    even, uneven = [[1.0, 2.0], [3.0, 10.0]], [[1.0, 2.0, 3.0], [10.0]]
    payload = {"layouts": [even, uneven, uneven], "weighted": [False, False, True], "lr": 0.5, "owners": [0, 1, 1]}
    payload |= {"shape": shape, "state": {name: weight.clone() for name, weight in model.state_dict().items()}}
    payload |= {"rows": batch, "splits": [[4, 4], [6, 2]], "steps": [batch, [x.flip(0) for x in batch]]}
    optimizer, losses, first = torch.optim.SGD(model.parameters(), lr=0.5), [], None
    for step in payload["steps"]:
        optimizer.zero_grad()
        loss = click_loss(model, step)
        loss.backward()
        first = first or {name: weight.grad.clone() for name, weight in model.named_parameters()}
        optimizer.step()
        losses.append(loss.item())

    equal, weights = partial(torch.testing.assert_close, rtol=1e-10, atol=1e-14), dict(model.state_dict())
    results = launch("group_tasks:three", 2, payload)
    for dtype, threads, averages, data, _ in results:
        assert (dtype, threads, averages) == (torch.float64, 1, [4.0, 6.0, 4.0])
        even, uneven = data["gradients"]
        equal(even, first)
        assert max((uneven[name] - gradient).abs().max() for name, gradient in first.items()) > 1e-3
        equal(dict(data["state"]), weights)
    for place in (3, 4):
        equal(torch.tensor([result[place]["losses"] for result in results]).mean(0), torch.tensor(losses))
    dealt = [result[4] for result in results]
    assert [part["numbers"] for part in dealt] == [5 * 4, 11 * 4]
    for key, expected in (("gradient", first["embeddings.weight"]), ("tables", weights.pop("embeddings.weight"))):
        equal(torch.cat([part[key] for part in dealt]), expected)
    equal(dict(dealt[0]["networks"]), weights)


def test_a_killed_process_is_named_and_leaves_nothing_behind(tmp_path):
    with pytest.raises(WorkerError, match=r"process of rank 1 \(pid (\d+)\) was killed by SIGKILL") as caught:
        launch("group_tasks:die_alone", 2, str(tmp_path))
    notes = [(tmp_path / f"{rank}.txt").read_text().split() for rank in (0, 1)]
    assert f"pid {notes[1][0]}" in str(caught.value)
    for pid, port in notes:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
        with socket.socket() as door:
            assert door.connect_ex(("127.0.0.1", int(port))) != 0, "somebody still listens"


def test_the_last_words_of_a_killed_process_are_told(tmp_path):
    log = "terminate called\n  what():  Connection closed by peer\nrank : 1 x exitcode : -6 (pid: 7)"
    for text, end in ((log, "SIGABRT: Connection closed by peer"), (log.replace("what()", ""), "SIGABRT")):
        (tmp_path / "log.txt").write_text(text)
        assert processes._cause(1, tmp_path) == f"process of rank 1 (pid 7) was killed by {end}"


def test_nobody_leaves_before_the_last_one_comes(tmp_path):
    first = threading.Thread(target=processes._meet, args=(tmp_path, 2), daemon=True)
    first.start()
    for rank, seconds in enumerate((0.2, 5)):
        (tmp_path / f"rank{rank}.pt").touch()
        first.join(seconds)
        assert first.is_alive() == (rank == 0)


FAILURES = [("group_tasks:complain", None, 240, "process of rank 1 failed: ValueError: nothing to do")]
FAILURES += [("time:sleep", 15, 5, "no end after 5 seconds, 0 of 2 had finished")]


@pytest.mark.parametrize(("target", "payload", "timeout", "message"), FAILURES)
def test_a_failure_is_told_and_no_file_stays(tmp_path, monkeypatch, target, payload, timeout, message):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with pytest.raises(WorkerError, match=message):
        launch(target, 2, payload, timeout=timeout)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("who", ["torchrun", "the caller"])
def test_who_is_killed_leaves_no_orphan(tmp_path, who):
    if who == "torchrun":
        with pytest.raises(WorkerError, match="torchrun was killed by SIGKILL"):
            launch("group_tasks:orphan", 1, {"folder": str(tmp_path)}, timeout=55)
    else:
        code = "import os, sys; from course_utils.scale.processes import launch; "
        code += "launch('group_tasks:orphan', 1, {'folder': sys.argv[1], 'whom': os.getpid()})"
        line = [sys.executable, "-c", code, str(tmp_path)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TMPDIR": str(tmp_path)}
        assert subprocess.run(line, env=environment, timeout=100).returncode == -signal.SIGKILL
    wait_for_the_end((tmp_path / "pid").read_text())


def test_wrong_arguments():
    with pytest.raises(InputError, match="target"):
        launch("no function")
    with pytest.raises(InputError, match="processes"):
        launch("a:b", 0)
    assert "--nproc-per-node=3" in processes.command(3)
