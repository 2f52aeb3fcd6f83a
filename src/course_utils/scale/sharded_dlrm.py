"""DLRM on several processes: its tables dealt out, the rest copied; taught in chapter 16.

Rank r of W processes has B of the W * B rows and F_r of the F tables. Codes travel to tables, embeddings to rows.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from course_utils.errors import InputError
from course_utils.models.dlrm import DLRM
from course_utils.models.embedding_bags import EmbeddingBags, unpadded


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
