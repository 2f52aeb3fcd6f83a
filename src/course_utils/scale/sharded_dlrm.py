"""DLRM on several processes: its tables dealt out, the rest copied; taught in chapter 16.

A process is called by its rank r among W. The rows of a batch are dealt out, and the tables are: rank r has B of the
W * B rows, and F_r of the F tables. Codes travel to the tables, embeddings travel to the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from course_utils.errors import InputError
from course_utils.models.dlrm import DLRM
from course_utils.models.embedding_bags import EmbeddingBags


class Exchange(torch.autograd.Function):
    """All-to-all: piece s of what I have goes to rank s, and I get what each has for me; chapter 16.

    Backward is the same with the sizes swapped: the gradient of a piece travels back to where the piece came from.
    """

    @staticmethod
    def forward(ctx, sent: torch.Tensor, to: list[int], of: list[int]) -> torch.Tensor:
        """``sent`` ``(sum(to), ...)`` in order of rank -> ``(sum(of), ...)``, likewise."""
        ctx.sizes = of, to
        received = sent.new_empty(sum(of), *sent.shape[1:])
        distributed.all_to_all_single(received, sent.contiguous(), of, to)
        return received

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """The way back."""
        return Exchange.apply(gradient, *ctx.sizes), None, None


class DensePart(nn.Module):
    """What every process has a copy of: bottom MLP, interaction and top MLP of a DLRM; chapter 16.

    Args:
        model: the DLRM; its modules are used, not copied.
    """

    def __init__(self, model: DLRM) -> None:
        super().__init__()
        self.bottom_mlp, self.interaction, self.top_mlp = model.bottom_mlp, model.interaction, model.top_mlp

    def forward(self, dense: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
        """Dense features ``(B, num_dense)``, embeddings ``(B, F, D)`` -> logits ``(B,)``."""
        return self.top_mlp(self.interaction(self.bottom_mlp(dense), embedded))[:, 0]


class ShardedDLRM(nn.Module):
    """A DLRM whose tables are dealt out over the processes and whose networks are copied; chapter 16.

    The gradients are those of the mean loss over the rows of all processes: DDP averages those of the networks, and
    those of the tables, to which every process sends its share, are divided by the number of processes here.

    Args:
        model: a DLRM with dense features, the same in every process; only the tables of this rank are kept.
        owners: for each table the rank that keeps it, in rising order.

    Attributes:
        embeddings: the tables of this rank, None where it has none.
        dense_part: the rest, under DDP.

    Raises:
        InputError: one owner a table is not given, or they are out of order or range.
    """

    def __init__(self, model: DLRM, owners: Sequence[int]) -> None:
        super().__init__()
        world, rank = distributed.get_world_size(), distributed.get_rank()
        fits = len(owners) == len(model.embeddings) and sorted(owners) == list(owners)
        if not fits or not set(owners) <= set(range(world)):
            expected = (
                f"{len(model.embeddings)} ranks from 0 to {world - 1}, none smaller than the one before"
            )
            raise InputError("owners", got=list(owners), expected=expected)
        self.counts = [list(owners).count(r) for r in range(world)]  # tables of each rank
        self.width = model.embeddings.embedding_dim
        first = sum(self.counts[:rank])
        mine = range(first, first + self.counts[rank])
        if not mine:
            raise InputError("owners", got=list(owners), expected="a table for every rank")
        self.embeddings = EmbeddingBags([model.embeddings.cardinalities[c] for c in mine], self.width)
        with torch.no_grad():
            self.embeddings.weight.copy_(torch.cat([model.embeddings.table(c) for c in mine]))
        self.embeddings.weight.register_hook(lambda gradient: gradient / world)
        self.dense_part = DistributedDataParallel(DensePart(model))

    def forward(self, dense: torch.Tensor, codes: torch.Tensor, bags: Sequence[torch.Tensor]) -> torch.Tensor:
        """Logits of this rank's rows, ``(B,)``; every rank has as many rows.

        Args:
            dense: ``(B, num_dense)``.
            codes: of the single-valued features, which come first, ``(B, F - len(bags))``.
            bags: of the others, ``(B, longest)`` each, -1 in empty places.
        """
        features = [*codes.T[:, :, None], *bags]  # F tensors (B, longest of the feature)
        lookups = self._to_tables(features)
        embedded = self.embeddings(*lookups)  # (W * B, F_r, D)
        return self.dense_part(dense, self._to_rows(embedded, len(dense)))

    def _to_tables(self, features: list[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Send each feature's codes to the rank of its table: flat codes and offsets of all rows, for my tables."""
        rank, rows = distributed.get_rank(), len(features[0])
        ends = [0, *accumulate(self.counts)]
        groups = [torch.cat(features[a:b], dim=1) for a, b in pairwise(ends)]
        wide = groups[rank].shape[1]
        sizes = [group.numel() for group in groups]
        got = Exchange.apply(torch.cat([g.flatten() for g in groups]), sizes, [rows * wide] * len(sizes))
        widths = [features[c].shape[1] for c in range(ends[rank], ends[rank + 1])]
        flat, offsets = [], []
        for column in got.view(-1, wide).split(widths, dim=1):  # (W * B, longest)
            kept = column >= 0
            flat.append(column[kept])
            offsets.append(kept.sum(dim=1).cumsum(0) - kept.sum(dim=1))
        return flat, offsets

    def _to_rows(self, embedded: torch.Tensor, rows: int) -> torch.Tensor:
        """Send each row's embeddings to the rank of the row: ``(W * B, F_r, D)`` -> ``(B, F, D)``."""
        sizes = [rows * embedded.shape[1] * self.width] * len(self.counts)
        back = [rows * count * self.width for count in self.counts]
        got = Exchange.apply(embedded.reshape(-1), sizes, back).split(back)
        return torch.cat([piece.view(rows, -1, self.width) for piece in got], dim=1)
