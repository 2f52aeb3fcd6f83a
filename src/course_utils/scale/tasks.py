"""What the processes of chapter 16 do: each takes the payload, and returns what the notebook shall see."""

from collections.abc import Callable
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from course_utils.models.dlrm import DLRM, click_loss
from course_utils.scale.sharded_dlrm import ShardedDLRM


def average(payload: dict[str, Any]) -> list[float]:
    """The gradient that DDP leaves for each of several ways to deal out the same samples; chapter 16.

    The model is one weight w, the loss of a sample x is w * x, so the gradient of a sample is x itself. The payload has
    ``layouts``, lists with one list of samples a rank, and ``weighted``: whether each rank weights by its share.
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

    The payload has ``shape``, the arguments of DLRM; ``state``, its weights; ``rows``, the tensors of a batch;
    ``splits``, how many rows each rank takes, one list a layout; ``steps``, batches to train on, split evenly; ``lr``.
    The result has ``gradients`` of each layout, ``losses`` of this rank's steps, and ``state`` at the end.
    """
    rank, model, gradients = distributed.get_rank(), _model(payload), []
    parallel = DistributedDataParallel(model)
    for sizes in payload["splits"]:
        parallel.zero_grad()
        click_loss(parallel, [tensor.split(sizes)[rank] for tensor in payload["rows"]]).backward()
        gradients.append({name: weight.grad.clone() for name, weight in model.named_parameters()})
    return {"gradients": gradients, "losses": _train(parallel, payload, click_loss), "state": model.state_dict()}


def model_parallel(payload: dict[str, Any]) -> dict[str, Any]:
    """A DLRM whose tables are dealt out, trained for some steps; chapter 16.

    The payload is that of :func:`data_parallel`, with ``owners``, the rank of each table. The result has ``losses`` of
    this rank, ``gradient`` of its tables in the first step, ``tables`` and other weights, ``networks``, at the end.
    """
    sharded = ShardedDLRM(_model(payload), payload["owners"])
    tables, gradients = sharded.embeddings.weight, []
    tables.register_post_accumulate_grad_hook(lambda weight: gradients.append(weight.grad.clone()))
    return {
        "losses": _train(sharded, payload, _sharded_loss),
        "gradient": gradients[0],
        "tables": tables.detach(),
        "networks": sharded.dense_part.module.state_dict(),
        "numbers": tables.numel(),
    }


def _model(payload: dict[str, Any]) -> DLRM:
    model = DLRM(*payload["shape"])
    model.load_state_dict(payload["state"])
    return model


def _sharded_loss(module: ShardedDLRM, batch: list[torch.Tensor]) -> torch.Tensor:
    dense, codes, *bags, labels = batch
    return nn.functional.binary_cross_entropy_with_logits(module(dense, codes, bags), labels)


def _train(module: nn.Module, payload: dict[str, Any], loss_of: Callable) -> list[float]:
    """Plain gradient steps on this rank's share of each batch; its losses."""
    optimizer, losses = torch.optim.SGD(module.parameters(), lr=payload["lr"]), []
    for batch in payload["steps"]:
        mine = [tensor.chunk(distributed.get_world_size())[distributed.get_rank()] for tensor in batch]
        loss = loss_of(module, mine)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
