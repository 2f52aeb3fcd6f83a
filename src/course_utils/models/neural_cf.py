"""Neural collaborative filtering: the dot product of a factorisation, replaced by something learnt; chapter 17.

He et al. (2017). Each model is :class:`MatrixFactorization` of chapter 6 with another ``match`` in its middle: the same
tables and biases, losses, negatives and training. So what differs in a comparison is how two vectors meet.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from course_utils.data.interactions import check_codes
from course_utils.errors import check_counts
from course_utils.models.base import Codes
from course_utils.models.embedding_mf import MatrixFactorization

_APART = 2**32  # between the seeds of the tables and those of the layers


class _Learnt(MatrixFactorization):
    """What the three share: how layers start, what they cost, and scores of all items without a matrix product."""

    @torch.no_grad()
    def reset_parameters(self, mean: float = 0.0) -> None:
        """Go back to the start: tables as in the factorisation, Glorot's uniform weights, this mean."""
        super().reset_parameters(mean)
        generator = torch.Generator().manual_seed(self.seed + _APART)
        own = {self.user_factors, self.item_factors}
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight, generator=generator)
                if layer.bias is not None:
                    layer.bias.zero_()
            elif isinstance(layer, nn.Embedding) and layer.embedding_dim > 1 and layer not in own:
                layer.weight.normal_(0.0, self.std, generator=generator)

    def penalty(self, users: Tensor, items: Tensor) -> Tensor:
        """That of the factorisation, plus the squared weights of all layers: a pair pays for what it uses, ``()``."""
        weights = sum(layer.weight.square().sum() for layer in self.modules() if isinstance(layer, nn.Linear))
        return super().penalty(users, items) + weights

    @torch.no_grad()
    def score(self, users: Codes) -> Tensor:
        """Scores of all items, ``(len(users), n_items)``, before fit too."""
        items = torch.arange(self.n_items)[None]
        blocks = check_codes(users, self.n_users, "users")[:, None].split(64)  # so many users fit into memory
        return torch.cat([self(block, items) for block in blocks])


class GMF(_Learnt):
    r"""A ``head`` h weighs factors: :math:`h^\top (p_u \odot q_i)` (He et al., equation 9); the product if h = 1."""

    def __init__(
        self, n_users: int, n_items: int, factors: int = 16, biases: bool = True, *, std: float = 0.1, seed: int = 0
    ) -> None:
        super().__init__(n_users, n_items, factors, biases, std=std, seed=seed)
        self.head = nn.Linear(factors, 1, bias=False)
        self.reset_parameters()

    def match(self, users: Tensor, items: Tensor) -> Tensor:
        """The weighted sum of products, of codes of shapes that broadcast."""
        return self.head(self.user_factors(users) * self.item_factors(items))[..., 0]


class Tower(nn.Module):
    """Layers with ReLU above a pair of vectors that lie side by side: from ``(..., f)`` twice to ``(..., widths[-1])``.

    The first layer, of 2 f inputs, is the sum of two, one a vector: a user's part is computed once for all her items.
    """

    def __init__(self, factors: int, widths: Sequence[int]) -> None:
        super().__init__()
        check_counts(widths=min(widths, default=0))
        self.user_part = nn.Linear(factors, widths[0])
        self.item_part = nn.Linear(factors, widths[0], bias=False)
        self.layers = nn.ModuleList(nn.Linear(wide, narrow) for wide, narrow in pairwise(widths))

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        """The last layer's output, of vectors of shapes that broadcast."""
        x = torch.relu(self.user_part(user) + self.item_part(item))  # (B, 1, w) + (B, n, w)
        for layer in self.layers:
            x = torch.relu(layer(x))
        return x


class MLP(_Learnt):
    r"""Layers of ``widths``, φ, for the product: :math:`h^\top \phi([p_u; q_i])` (He et al., equation 10)."""

    def __init__(
        self,
        n_users: int,
        n_items: int,
        factors: int = 16,
        biases: bool = True,
        *,
        widths: Sequence[int] = (32, 16),
        std: float = 0.1,
        seed: int = 0,
    ) -> None:
        super().__init__(n_users, n_items, factors, biases, std=std, seed=seed)
        self.tower, self.head = Tower(factors, widths), nn.Linear(widths[-1], 1, bias=False)
        self._extend()
        self.reset_parameters()

    def _extend(self) -> None: ...  # for parts of a model that has more

    def match(self, users: Tensor, items: Tensor) -> Tensor:
        """What the network makes of each pair, of codes of shapes that broadcast."""
        return self.head(self.tower(self.user_factors(users), self.item_factors(items)))[..., 0]


class NeuMF(MLP):
    r"""GMF and the network side by side, with tables of their own: :math:`h^\top [p_u \odot q_i; \phi([p'_u; q'_i])]`.

    He et al., equation 12, trained at once, not from trained parts. The network has ``tower_users``, ``tower_items``.
    """

    def _extend(self) -> None:
        self.tower_users, self.tower_items = (nn.Embedding(n, self.factors) for n in (self.n_users, self.n_items))
        self.head = nn.Linear(self.factors + self.head.in_features, 1, bias=False)

    def match(self, users: Tensor, items: Tensor) -> Tensor:
        """Both parts under one head, of codes of shapes that broadcast."""
        product = self.user_factors(users) * self.item_factors(items)  # (B, n, f)
        deep = self.tower(self.tower_users(users), self.tower_items(items))  # (B, n, w)
        factors = product.shape[-1]
        return product @ self.head.weight[0, :factors] + deep @ self.head.weight[0, factors:]

    def penalty(self, users: Tensor, items: Tensor) -> Tensor:
        """That of the parts: two vectors of each side, and the weights."""
        p, q = self.tower_users(users), self.tower_items(items)
        return super().penalty(users, items) + p.square().sum(-1).mean() + q.square().sum(-1).mean()
