"""Autoencoders: networks that give a row of the rating matrix back with its holes filled; taught in chapter 17.

:class:`AutoRec` completes ratings, :class:`MultDAE` and :class:`MultVAE` a user's clicks. ``fit`` makes the network.
"""

from dataclasses import KW_ONLY, dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, normalize
from torch.optim import Adam

from course_utils.data.interactions import Interactions, check_codes, check_pairs, check_sizes
from course_utils.errors import check_choice, check_counts, check_range, check_shape
from course_utils.learning import loop
from course_utils.models.base import Codes, Described
from course_utils.models.baselines import BiasModel
from course_utils.models.causal import hide


def multinomial_loss(logits: Tensor, clicks: Tensor) -> Tensor:
    r"""Mean over the rows of :math:`-\sum_i x_i \ln \pi_i`, π the softmax of the row's logits; taught in chapter 17.

    Liang et al. (2018), equation 2; both ``(B, n_items)``. A constant added to all logits of a row changes nothing.
    """
    check_shape(*logits.shape, clicks=clicks)
    return -(log_softmax(logits, dim=1) * clicks).sum(1).mean()


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    r"""Nats from :math:`N(\mu, \sigma^2)` to :math:`N(0, 1)`, entry by entry, same shape as both, 0 or more.

    :math:`\frac12 (\mu^2 + \sigma^2 - 1 - \ln \sigma^2)` (Kingma and Welling 2014, appendix B); taught in chapter 17.
    """
    check_shape(*mean.shape, log_variance=log_variance)
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


@dataclass(repr=False, eq=False)
class AutoRec(Described):
    r"""Ratings of one item by all users through a narrow layer and back: :math:`\hat r = V \sigma(W r + \mu) + b`.

    Sedhain et al. (2015), equations 1 and 2: only ratings that exist count in the squared error, and the penalty is
    :math:`\frac\lambda2 (\|W\|_F^2 + \|V\|_F^2)` beside its sum over all rows. Here r is what :class:`BiasModel` leaves
    over, so that a 0 says "as expected" and not "no stars". With ``side="user"`` a row is a user's. ``codes`` is the
    narrow layer, ``(rows, hidden)``; the rows of the decoder's weights are the other side's vectors. Minimised by Adam
    with a step size that falls to 0. Defaults: validation on MovieLens-100K, but half of its epochs, for 0.001 stars.
    """

    side: str = "item"
    hidden: int = 100
    _: KW_ONLY
    regularization: float = 80.0
    epochs: int = 40
    lr: float = 0.002
    batch_size: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice(("item", "user"), side=self.side)
        check_counts(hidden=self.hidden, epochs=self.epochs, batch_size=self.batch_size)
        check_range("0 or more", regularization=self.regularization)
        self.codes: Tensor | None = None

    def fit(self, interactions: Interactions) -> Self:
        """Start anew: biases in closed form, then the network on what they leave over."""
        check_sizes(interactions)
        self.bias = BiasModel().fit(interactions)
        users, items = interactions.users, interactions.items
        left = interactions.ratings - self.bias.predict(users, items)
        rows, known = torch.zeros(2, interactions.n_users, interactions.n_items)
        rows[users, items], known[users, items] = left, 1.0
        if self.side == "item":
            rows, known = rows.T.contiguous(), known.T.contiguous()  # (n_items, n_users)
        (n, width), generator = rows.shape, torch.Generator().manual_seed(self.seed)
        self.network = _network(width, self.hidden, self.hidden, generator)

        def objective(network: nn.ModuleDict, batch: loop.Batch) -> dict[str, Tensor]:
            row, mask = batch  # (B, width)
            error = ((network["decoder"](self._encode(row)) - row) * mask).square().sum() / len(row)
            size = sum(layer.weight.square().sum() for layer in network.values())
            return {"error": error, "penalty": self.regularization / (2 * n) * size}

        batches = loop.batches(rows, known, batch_size=self.batch_size, generator=generator)
        adam = Adam(self.network.parameters(), lr=self.lr, fused=True)
        self.history = loop.fit(self.network, batches, objective, epochs=self.epochs, optimizer=adam, decay=True)
        with torch.no_grad():
            self.codes = self._encode(rows)
        return self

    def _encode(self, rows: Tensor) -> Tensor:
        return torch.sigmoid(self.network["encoder"](rows))

    @torch.no_grad()
    def score(self, users: Codes) -> Tensor:
        """Predicted ratings of all items, ``(len(users), n_items)``."""
        weight, shift = self._decoder()
        users = check_codes(users, len(self.bias.user_bias), "users")
        by_item = self.side == "item"
        left = weight[users] @ self.codes.T + shift[users, None] if by_item else self.codes[users] @ weight.T + shift
        return self.bias.score(users) + left

    @torch.no_grad()
    def predict(self, users: Codes, items: Codes) -> Tensor:
        """Predicted ratings of pairs, ``(len(users),)``, not clipped."""
        weight, shift = self._decoder()
        users, items = check_pairs(users, items, len(self.bias.user_bias), len(self.bias.item_bias))
        row, column = (items, users) if self.side == "item" else (users, items)
        return self.bias.predict(users, items) + (self.codes[row] * weight[column]).sum(-1) + shift[column]

    def _decoder(self) -> tuple[Tensor, Tensor]:
        self._fitted(self.codes)
        return self.network["decoder"].weight, self.network["decoder"].bias


@dataclass(repr=False, eq=False)
class MultDAE(Described):
    r"""A user's clicks through a narrow layer and back, some of them hidden while it learns.

    Liang et al. (2018), section 2.3, without a further layer: the row x, 1 for an interaction whatever its rating, is
    brought to length 1, its entries are dropped with the chance ``dropout``, and the logits
    :math:`V \tanh(W x + b) + c` have to give the *whole* row a high multinomial likelihood (:func:`multinomial_loss`).
    Minimised by Adam with a step size that falls to 0. Defaults: validation on MovieLens-100K.
    """

    factors: int = 200
    _: KW_ONLY
    dropout: float = 0.7
    epochs: int = 60
    lr: float = 0.002
    batch_size: int = 128
    seed: int = 0
    _outputs = 1  # of the encoder, for each factor

    def __post_init__(self) -> None:
        check_counts(factors=self.factors, epochs=self.epochs, batch_size=self.batch_size)
        check_range("0 or more, below 1", dropout=self.dropout)
        self.network = self._seen = None  # _seen: clicks, (n_users, n_items)

    def fit(self, interactions: Interactions) -> Self:
        """Start anew and train on clicks; ratings are not looked at."""
        check_sizes(interactions)
        generator, steps = torch.Generator().manual_seed(self.seed), 0
        self.network = _network(interactions.n_items, self._outputs * self.factors, self.factors, generator)
        self._seen = interactions.mask().to(torch.get_default_dtype())
        rows = self._seen[self._seen.any(1)]  # a user without clicks teaches nothing
        batches = loop.batches(rows, batch_size=self.batch_size, generator=generator)

        def objective(network: nn.ModuleDict, batch: loop.Batch) -> dict[str, Tensor]:
            nonlocal steps
            steps += 1
            return self.loss(batch[0], generator, steps / (self.epochs * len(batches)))

        adam = Adam(self.network.parameters(), lr=self.lr, fused=True)
        self.history = loop.fit(self.network, batches, objective, epochs=self.epochs, optimizer=adam, decay=True)
        return self

    def loss(self, clicks: Tensor, generator: torch.Generator, progress: float) -> dict[str, Tensor]:
        """The loss of rows of clicks ``(B, n_items)``, by its terms; ``progress`` goes from 0 to 1 in the training."""
        return {"likelihood": multinomial_loss(self._logits(clicks, generator), clicks)}

    def _encode(self, clicks: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """What the encoder says of rows, ``(B, outputs)``; with a generator some clicks are hidden from it."""
        return self.network["encoder"](hide(normalize(clicks, dim=1), self.dropout, generator))

    def _logits(self, clicks: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self.network["decoder"](torch.tanh(self._encode(clicks, generator)))

    @torch.no_grad()
    def score(self, users: Codes) -> Tensor:
        """Logits of all items, ``(len(users), n_items)``."""
        return self._logits(self._seen[self._known(users, self._seen)])

    @torch.no_grad()
    def fold_in(self, history: Interactions) -> Tensor:
        """Logits for new users from their items alone, ``(history.n_users, n_items)``."""
        check_sizes(history, None, self._fitted(self._seen).shape[1])
        return self._logits(history.mask().to(self._seen))


@dataclass(repr=False, eq=False, kw_only=True)
class MultVAE(MultDAE):
    r"""A denoising autoencoder whose narrow layer is a draw: each user is a cloud :math:`N(\mu_u, \sigma_u^2)`.

    Liang et al. (2018), section 2: :math:`z = \mu + \sigma \varepsilon` (the reparametrisation), logits
    :math:`V z + c`, and the loss is :func:`multinomial_loss` plus β times the sum over the factors of
    :func:`gaussian_kl`. β grows from 0 in a straight line over the first half of the steps. Scores come from μ.
    """

    lr: float = 0.005
    beta: float = 0.2
    _outputs = 2  # a mean and a log variance

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("0 or more", beta=self.beta)

    def loss(self, clicks: Tensor, generator: torch.Generator, progress: float) -> dict[str, Tensor]:
        """The likelihood's term and the price of the clouds, by name."""
        mean, log_variance = self._encode(clicks, generator).chunk(2, dim=1)  # (B, factors) each
        noise = torch.randn(mean.shape, generator=generator)
        logits = self.network["decoder"](mean + noise * (0.5 * log_variance).exp())
        price = gaussian_kl(mean, log_variance).sum(1).mean()
        return {"likelihood": multinomial_loss(logits, clicks), "KL": self.beta * min(1.0, 2 * progress) * price}

    @torch.no_grad()
    def clouds(self, users: Codes) -> tuple[Tensor, Tensor]:
        """Mean and log variance of each user's cloud, ``(len(users), factors)`` both."""
        return self._encode(self._seen[self._known(users, self._seen)]).chunk(2, dim=1)

    def _logits(self, clicks: Tensor) -> Tensor:
        return self.network["decoder"](self._encode(clicks).chunk(2, dim=1)[0])


def _network(width: int, outputs: int, factors: int, generator: torch.Generator) -> nn.ModuleDict:
    """From ``width`` to ``outputs``, and from ``factors`` back: Glorot's uniform weights, biases 0."""
    network = nn.ModuleDict({"encoder": nn.Linear(width, outputs), "decoder": nn.Linear(factors, width)})
    for layer in network.values():
        nn.init.xavier_uniform_(layer.weight, generator=generator)
        nn.init.zeros_(layer.bias)
    return network
