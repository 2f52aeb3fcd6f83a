"""Real processes of a gloo group: what they return, and what is said when one of them dies."""

import os
import socket
import tempfile
import threading
import time
from pathlib import Path

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from course_utils.errors import InputError, WorkerError
from course_utils.models.dlrm import DLRM, inputs
from course_utils.scale import processes
from course_utils.scale.processes import command, launch

SHAPE = (3, [5, 7, 4], 4, [6, 4], [8, 1])


def rows():
    """Eight rows: three numbers, two codes, a bag with empty places, a label."""
    draw = torch.Generator().manual_seed(1)
    codes = torch.stack([torch.randint(size, (8,), generator=draw) for size in (5, 7)], dim=1)
    bag = torch.randint(-1, 4, (8, 3), generator=draw)
    labels = torch.randint(2, (8,), generator=draw).double()
    return [torch.randn(8, 3, generator=draw, dtype=torch.float64), codes, bag, labels]


@pytest.fixture(autouse=True)
def sixty_four():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_two_processes_are_one():
    torch.manual_seed(0)
    model, batch = DLRM(*SHAPE), rows()
    payload = {
        "layouts": [[[1.0, 2.0], [3.0, 10.0]], [[1.0, 2.0, 3.0], [10.0]], [[1.0, 2.0, 3.0], [10.0]]],
        "weighted": [False, False, True],
        "shape": SHAPE,
        "state": {name: weight.clone() for name, weight in model.state_dict().items()},
        "rows": batch,
        "splits": [[4, 4], [6, 2]],
        "steps": [batch, [x.flip(0) for x in batch]],
        "lr": 0.5,
        "owners": [0, 1, 1],
    }
    optimizer, losses, first = torch.optim.SGD(model.parameters(), lr=0.5), [], None
    for step in payload["steps"]:
        optimizer.zero_grad()
        loss = binary_cross_entropy_with_logits(model(*inputs(step)), step[-1])
        loss.backward()
        first = first or {name: weight.grad.clone() for name, weight in model.named_parameters()}
        optimizer.step()
        losses.append(loss.item())
    results = launch("group_tasks:three", 2, payload)
    for dtype, threads, averages, data, _ in results:
        assert (dtype, threads) == (torch.float64, 1)
        assert averages == [4.0, 6.0, 4.0]
        for name, gradient in first.items():
            assert torch.allclose(data["gradients"][0][name], gradient, atol=1e-14)
        off = [(data["gradients"][1][name] - gradient).abs().max() for name, gradient in first.items()]
        assert max(off) > 1e-3
        for name, weight in model.state_dict().items():
            assert torch.allclose(data["state"][name], weight, atol=1e-14)
    for place in (3, 4):
        mean = [(a + b) / 2 for a, b in zip(*(r[place]["losses"] for r in results), strict=True)]
        assert mean == pytest.approx(losses, abs=1e-14)
    dealt = [result[4] for result in results]
    assert [part["numbers"] for part in dealt] == [5 * 4, 11 * 4]
    gradient = torch.cat([part["gradient"] for part in dealt])
    assert torch.allclose(gradient, first["embeddings.weight"], atol=1e-14)
    assert torch.allclose(torch.cat([p["tables"] for p in dealt]), model.embeddings.weight, atol=1e-14)
    for name, weight in dealt[0]["networks"].items():
        assert torch.allclose(weight, model.state_dict()[name], atol=1e-14)


def test_a_killed_process_is_named_and_leaves_nothing_behind(tmp_path):
    # the message, and not the clock, says that nobody waited for the time-out
    with pytest.raises(WorkerError, match=r"process of rank 1 \(pid (\d+)\) was killed by SIGKILL") as caught:
        launch("group_tasks:die_alone", 2, {"rank": 1, "folder": str(tmp_path)}, timeout=240)
    notes = [(tmp_path / f"{rank}.txt").read_text().split() for rank in (0, 1)]
    assert f"pid {notes[1][0]}" in str(caught.value)
    for pid, port in notes:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
        with socket.socket() as door:
            assert door.connect_ex(("127.0.0.1", int(port))) != 0, "somebody still listens"
        with socket.socket() as door:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.bind(("127.0.0.1", int(port)))


def test_the_last_words_of_a_killed_process_are_told(tmp_path):
    log = "terminate called\n  what():  Connection closed by peer\nrank : 1 x exitcode : -6 (pid: 7)"
    assert processes._cause(tmp_path, log) == (
        "process of rank 1 (pid 7) was killed by SIGABRT: Connection closed by peer"
    )
    assert processes._cause(tmp_path, log.replace("what()", "")).endswith("SIGABRT")


def test_nobody_leaves_before_the_last_one_comes(tmp_path):
    first = threading.Thread(target=processes._meet, args=(tmp_path / "rank0", 2))
    first.start()
    first.join(0.2)
    assert first.is_alive()
    processes._meet(tmp_path / "rank1", 2)
    first.join(5)
    assert not first.is_alive()


def test_an_error_in_a_process_is_told_and_no_file_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with pytest.raises(WorkerError, match="process of rank 1 failed: ValueError: nothing to do"):
        launch("group_tasks:complain", 2)
    assert list(tmp_path.iterdir()) == []


def test_processes_that_take_too_long_are_ended():
    with pytest.raises(WorkerError, match="no end after 5 seconds, none had finished"):
        launch("group_tasks:linger", 1, timeout=5)


def test_a_killed_torchrun_leaves_no_orphan(tmp_path):
    with pytest.raises(WorkerError, match="torchrun was killed by SIGKILL"):
        launch("group_tasks:orphan", 1, {"folder": str(tmp_path)}, timeout=55)
    left = int((tmp_path / "pid").read_text())
    for _ in range(100):
        status = Path(f"/proc/{left}/stat")
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    pytest.fail(f"process {left} is still there")


def test_wrong_arguments():
    with pytest.raises(InputError, match="target"):
        launch("no function")
    with pytest.raises(InputError, match="processes"):
        launch("a:b", 0)
    assert "--nproc-per-node=3" in command(3)
