"""What the processes of chapter 16 do; ``launch`` starts them.

Each function takes the payload, runs in every process of a group, and returns what the notebook shall see.
"""

from __future__ import annotations

import os
import signal
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.parallel import DistributedDataParallel

from course_utils.models.dlrm import DLRM, click_loss
from course_utils.scale.sharded_dlrm import ShardedDLRM


def average(payload: dict[str, Any]) -> list[float]:
    """The gradient that DDP leaves, for several ways to deal out the same four samples; chapter 16.

    The model is one weight w, the loss of a sample x is w * x, so the gradient of a sample is x itself.

    Args:
        payload: ``layouts``: lists with one list of samples a rank; ``weighted``: for each of them whether a rank
            weights its loss by its share of the samples.

    Returns:
        One gradient a layout.
    """
    rank, world = distributed.get_rank(), distributed.get_world_size()
    found = []
    for shards, weighted in zip(payload["layouts"], payload["weighted"], strict=True):
        model = DistributedDataParallel(nn.Linear(1, 1, bias=False))
        mine = torch.tensor(shards[rank])[:, None]
        loss = model(mine).mean()  # over my samples
        if weighted:
            loss = loss * world * len(mine) / sum(map(len, shards))
        loss.backward()  # DDP: mean over processes
        found.append(model.module.weight.grad.item())
    return found


def data_parallel(payload: dict[str, Any]) -> dict[str, Any]:
    """A DLRM under DDP on this rank's share of the rows: gradients of one batch, then some steps; chapter 16.

    Args:
        payload: ``shape``: the arguments of DLRM; ``state``: its weights; ``rows``: the tensors of a batch;
            ``splits``: how many rows each rank takes, one list a layout; ``steps``: batches to train on, each split
            evenly; ``lr``.

    Returns:
        ``gradients``: one dictionary a layout; ``losses``: of this rank, one a step; ``state``: the weights at the end.
    """
    rank, world = distributed.get_rank(), distributed.get_world_size()
    model = DLRM(*payload["shape"])
    model.load_state_dict(payload["state"])
    parallel = DistributedDataParallel(model)
    gradients = []
    for sizes in payload["splits"]:
        mine = [tensor.split(sizes)[rank] for tensor in payload["rows"]]
        parallel.zero_grad()
        click_loss(parallel, mine).backward()
        gradients.append({name: weight.grad.clone() for name, weight in model.named_parameters()})
    optimizer = torch.optim.SGD(parallel.parameters(), lr=payload["lr"])
    losses = []
    for batch in payload["steps"]:
        loss = click_loss(parallel, [tensor.chunk(world)[rank] for tensor in batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return {"gradients": gradients, "losses": losses, "state": model.state_dict()}


def model_parallel(payload: dict[str, Any]) -> dict[str, Any]:
    """A DLRM whose tables are dealt out, trained for some steps; chapter 16.

    Args:
        payload: as in :func:`data_parallel`, with ``owners``: the rank of each table.

    Returns:
        ``losses`` of this rank, one a step; ``tables``: the weights of its tables at the end; ``gradient``: of its
        tables in the first step; ``networks``: the other weights; ``numbers``: how many weights of tables it holds.
    """
    rank, world = distributed.get_rank(), distributed.get_world_size()
    model = DLRM(*payload["shape"])
    model.load_state_dict(payload["state"])
    sharded = ShardedDLRM(model, payload["owners"])
    optimizer = torch.optim.SGD(sharded.parameters(), lr=payload["lr"])
    losses, first = [], None
    for batch in payload["steps"]:
        dense, codes, *bags, labels = (tensor.chunk(world)[rank] for tensor in batch)
        loss = binary_cross_entropy_with_logits(sharded(dense, codes, bags), labels)
        optimizer.zero_grad()
        loss.backward()
        first = sharded.embeddings.weight.grad.clone() if first is None else first
        optimizer.step()
        losses.append(loss.item())
    return {
        "losses": losses,
        "gradient": first,
        "tables": sharded.embeddings.weight.detach(),
        "networks": sharded.dense_part.module.state_dict(),
        "numbers": sharded.embeddings.weight.numel(),
    }


def die(payload: dict[str, Any]) -> None:
    """All ranks wait for each other, and one is killed meanwhile, as by a machine that ran out of memory; chapter 16.

    Args:
        payload: ``rank``: which one.
    """
    if distributed.get_rank() == payload["rank"]:
        os.kill(os.getpid(), signal.SIGKILL)
    distributed.barrier()
