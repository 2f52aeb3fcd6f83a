"""What the processes of chapter 16 do: each takes the payload, and returns what the notebook shall see.

And DLRM on several processes, its tables dealt out, the rest copied: rank r of W processes has B of the W * B rows and
F_r of the F tables. Codes travel to tables, embeddings to rows.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from course_utils.errors import InputError
from course_utils.models.dlrm import DLRM, click_loss
from course_utils.models.embedding_bags import EmbeddingBags, unpadded


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


def _sharded_loss(module: "ShardedDLRM", batch: list[torch.Tensor]) -> torch.Tensor:
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


class _Exchange(torch.autograd.Function):
    """All-to-all: piece s of what I have goes to rank s, and I get what each has for me; its gradient travels back."""

    @staticmethod
    def forward(ctx, sent: torch.Tensor, to: list[int], of: list[int]) -> torch.Tensor:  # (sum(to),) -> (sum(of),)
        ctx.sizes = of, to
        received = sent.new_empty(sum(of))
        distributed.all_to_all_single(received, sent.contiguous(), of, to)
        return received

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return _Exchange.apply(gradient, *ctx.sizes), None, None


class _DensePart(nn.Module):
    """What every process has a copy of: all of a DLRM but its tables."""

    def __init__(self, model: DLRM) -> None:
        super().__init__()
        self.bottom_mlp, self.interaction, self.top_mlp = model.bottom_mlp, model.interaction, model.top_mlp

    def forward(self, dense: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
        return self.top_mlp(self.interaction(self.bottom_mlp(dense), embedded))[:, 0]


class ShardedDLRM(nn.Module):
    """A DLRM whose tables are dealt out over the processes and whose networks are copied; chapter 16.

    The gradients are those of the mean loss over the rows of all processes: DDP averages those of the networks, and
    those of the tables, to which every process sends its share, are divided by the number of processes here.

    ``model`` has dense features and is the same in every process; ``embeddings`` holds this rank's share of its tables.
    ``owners`` has the rank of each table, in rising order, each rank once or more.
    """

    def __init__(self, model: DLRM, owners: Sequence[int]) -> None:
        super().__init__()
        world, rank, tables = distributed.get_world_size(), distributed.get_rank(), model.embeddings
        self.counts = [list(owners).count(r) for r in range(world)]  # tables of each rank
        if len(owners) != len(tables) or list(owners) != sorted(owners) or {*owners} != {*range(world)}:
            expected = f"{len(tables)} ranks, each of 0..{world - 1} once or more, in rising order"
            raise InputError("owners", got=list(owners), expected=expected)
        mine = [c for c, owner in enumerate(owners) if owner == rank]
        self.embeddings = EmbeddingBags([tables.cardinalities[c] for c in mine], tables.embedding_dim)
        self.embeddings.weight.data.copy_(torch.cat([tables.table(c) for c in mine]))
        self.embeddings.weight.register_hook(lambda gradient: gradient / world)
        self.dense_part = DistributedDataParallel(_DensePart(model))

    def forward(self, dense: torch.Tensor, codes: torch.Tensor, bags: Sequence[torch.Tensor]) -> torch.Tensor:
        """Logits of this rank's rows, ``(B,)``; arguments as from :meth:`Rows.tensors`, as many rows in every rank."""
        features = [*codes.T[:, :, None], *bags]  # F tensors (B, longest of the feature)
        embedded = self.embeddings(*self._to_tables(features))  # (W * B, F_r, D)
        return self.dense_part(dense, self._to_rows(embedded, len(dense)))

    def _to_tables(self, features: list[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Send each feature's codes to the rank of its table: flat codes and offsets of all rows, for my tables."""
        ends = [0, *accumulate(self.counts)]
        groups = [features[a:b] for a, b in pairwise(ends)]  # features of each rank
        sent = [torch.cat(group, dim=1).flatten() for group in groups]
        widths = [feature.shape[1] for feature in groups[distributed.get_rank()]]
        back = [len(features[0]) * sum(widths)] * len(groups)
        got = _Exchange.apply(torch.cat(sent), [len(codes) for codes in sent], back)
        return unpadded(got.view(-1, sum(widths)).split(widths, dim=1))  # of (W * B, longest) each

    def _to_rows(self, embedded: torch.Tensor, rows: int) -> torch.Tensor:
        """Send each row's embeddings to the rank of the row: ``(W * B, F_r, D)`` -> ``(B, F, D)``."""
        width = embedded.shape[2]
        sizes = [embedded.numel() // len(self.counts)] * len(self.counts)
        back = [rows * count * width for count in self.counts]
        got = _Exchange.apply(embedded.reshape(-1), sizes, back).split(back)
        return torch.cat([piece.view(rows, -1, width) for piece in got], dim=1)
