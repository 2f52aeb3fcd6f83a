"""The inner parts of chapter 18's networks: what a place of a history may know of the others, and never of later ones.

Each middle maps vectors ``(B, L, d)`` of histories to states ``at`` all places or at one, with padding, left of them,
without influence: ``real`` is False there, ``(B, L)``. ``drop`` hides entries while the network learns.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import max_pool1d, pad, silu

Drop = Callable[[Tensor], Tensor]
ALL = slice(None)


def attention(query: Tensor, key: Tensor, value: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    r"""What each place reads, ``(..., L, d)``, and its weights, ``(..., L, L)``; taught in chapter 18.

    A row of weights is :math:`\text{softmax}(q^\top k / \sqrt d)` over the places that are ``visible`` to it, bool
    ``(..., L, L)``, one at least (Vaswani et al. 2017, equation 1).
    """
    scores = query @ key.mT / query.shape[-1] ** 0.5
    weights = scores.masked_fill(~visible, -torch.inf).softmax(-1)
    return weights @ value, weights


class Network(nn.Module):
    """Vectors of the items, a middle that never looks ahead, a norm, and the vectors of the items again."""

    def __init__(self, n_items: int, factors: int, dropout: float, middle: nn.Module, generator: Generator) -> None:
        super().__init__()
        self.items = nn.Embedding(n_items + 1, factors)  # the last row is padding, and has no say
        self.middle, self.norm, self.dropout = middle, nn.LayerNorm(factors), dropout
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if weight.dim() > 1:
                    nn.init.xavier_uniform_(weight, generator=generator)
                elif "norm" not in name:
                    weight.zero_()

    def forward(self, histories: Tensor, generator: Generator | None = None, at: int | slice = ALL) -> Tensor:
        """States of all places, ``(B, L, d)``, or of one, of histories ``(B, L)``; a generator hides some entries."""
        real = histories < self.items.num_embeddings - 1  # (B, L)
        drop = partial(hide, share=self.dropout, generator=generator)
        x = drop(self.items(histories) * self.items.embedding_dim**0.5) * real[..., None]
        return self.norm(self.middle(x, real, drop, at))

    def score(self, states: Tensor, items: Tensor | None = None) -> Tensor:
        """Scores of all items, ``(N, n_items)``, or of some, ``(N, n)``, after states ``(N, d)``."""
        if items is None:
            return states @ self.items.weight[:-1].T
        return torch.einsum("nd,nkd->nk", states, self.items(items))


class Recurrent(nn.Module):
    """Gated recurrent units, one layer on the other, without biases: over padding, which is 0, the state stays 0."""

    def __init__(self, factors: int, depth: int) -> None:
        super().__init__()
        self.gru = nn.GRU(factors, factors, depth, bias=False, batch_first=True)

    def forward(self, x: Tensor, real: Tensor, drop: Drop, at: int | slice = ALL) -> Tensor:
        """States, ``(B, L, d)``."""
        return drop(self.gru(x)[0][:, at])


class Convolutions(nn.Module):
    """Filters across the last items, of 1 to ``widest`` each, and filters along them."""

    def __init__(self, factors: int, widest: int, filters: int = 16, down: int = 4) -> None:
        super().__init__()
        self.across = nn.ModuleList(nn.Conv1d(factors, filters, height) for height in range(1, widest + 1))
        self.along = nn.Linear(widest, down, bias=False)
        self.out = nn.Linear(filters * widest + down * factors, factors)

    def forward(self, x: Tensor, real: Tensor, drop: Drop, at: int | slice = ALL) -> Tensor:
        """States, ``(B, L, d)``."""
        widest = len(self.across)
        x = pad(x.mT, (widest - 1, 0))  # (B, d, widest - 1 + L)
        found = [max_pool1d(conv(x).relu(), widest - h, stride=1) for h, conv in enumerate(self.across)]
        weighed = self.along(x.unfold(2, widest, 1))  # (B, d, L, down)
        found.append(weighed.transpose(2, 3).flatten(1, 2))
        return self.out(drop(torch.cat(found, dim=1).mT[:, at])).relu()


class Blocks(nn.Module):
    """Vectors of the places, and blocks of one kind in which a place sees itself and the real items before it."""

    causal = True

    def __init__(self, block: type[nn.Module], factors: int, length: int, depth: int) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.empty(length, factors))
        self.blocks = nn.ModuleList(block(factors, length) for _ in range(depth))

    def visible(self, real: Tensor) -> Tensor:
        """What each place may look at, bool ``(B, L, L)``: itself, and with ``causal`` what stands before it."""
        itself = torch.eye(real.shape[1], dtype=torch.bool)  # all that padding sees, and nobody sees padding
        allowed = torch.ones_like(itself).tril() if self.causal else torch.ones_like(itself)
        return real[:, None, :] & allowed | itself

    def forward(self, x: Tensor, real: Tensor, drop: Drop, at: int | slice = ALL) -> Tensor:
        """States, ``(B, L, d)``."""
        x, visible = x + self.places, self.visible(real)
        for block in self.blocks:
            x = block(x, visible, drop)
        return x[:, at]


class Attention(nn.Module):
    """SASRec's block."""

    def __init__(self, factors: int, length: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.inner, self.outer = (nn.Linear(factors, factors) for _ in range(5))
        self.norm, self.feed_norm = nn.LayerNorm(factors), nn.LayerNorm(factors)

    def read(self, x: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """What each place reads, and its weights, as :func:`attention` gives them."""
        x = self.norm(x)
        return attention(self.query(x), self.key(x), self.value(x), visible)

    def forward(self, x: Tensor, visible: Tensor, drop: Drop) -> Tensor:
        """States, ``(B, L, d)``; ``visible`` is bool, ``(B, L, L)``."""
        x = x + drop(self.read(x, visible)[0])
        return x + drop(self.outer(drop(self.inner(self.feed_norm(x)).relu())))


class Pointwise(nn.Module):
    """HSTU's block."""

    def __init__(self, factors: int, length: int) -> None:
        super().__init__()
        self.project, self.out = nn.Linear(factors, 4 * factors), nn.Linear(factors, factors)
        self.norm, self.read_norm = nn.LayerNorm(factors), nn.LayerNorm(factors)
        self.distance = nn.Parameter(torch.empty(length))
        place = torch.arange(length)
        self.register_buffer("apart", (place[:, None] - place).abs(), persistent=False)

    def forward(self, x: Tensor, visible: Tensor, drop: Drop) -> Tensor:
        """States, ``(B, L, d)``; ``visible`` is bool, ``(B, L, L)``."""
        gate, value, query, key = silu(self.project(self.norm(x))).chunk(4, dim=-1)
        weights = silu(query @ key.mT + self.distance[self.apart]) * visible / len(self.distance)  # (B, L, L)
        return x + self.out(drop(self.read_norm(weights @ value) * gate))


def hide(x: Tensor, share: float, generator: Generator | None) -> Tensor:
    """Some entries become 0, the others larger, so that the mean stays; without a generator nothing happens."""
    if generator is None or not share:
        return x
    return x * (torch.rand(x.shape, generator=generator) >= share) / (1 - share)
