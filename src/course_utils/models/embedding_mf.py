"""Matrix factorisation as an embedding model, trained by gradient steps; taught in chapter 6."""

import math
from typing import ClassVar, Self

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from course_utils.data.interactions import Interactions, check_codes, check_pairs, check_sizes
from course_utils.errors import check_choice, check_counts, check_range, refuse
from course_utils.learning import loop, losses
from course_utils.learning.negatives import uniform
from course_utils.models.base import Codes, Described


class MatrixFactorization(Described, nn.Module):
    r"""A score from two look-ups: :math:`s_{ui} = \mu + b_u + b_i + p_u^\top q_i`.

    Koren, Bell and Volinsky (2009), equations 2 and 4. Each factor starts as a draw from :math:`N(0, \sigma^2)`, biases
    start at 0. A product of two rows of f factors then has standard deviation :math:`\sigma^2 \sqrt f`, almost none.
    ``std`` is σ, above 0, ``mean`` μ at the start; :meth:`fit` sets it from the data.

    The embeddings ``user_factors`` and ``item_factors`` have weights ``(n_users, factors)`` and ``(n_items, factors)``.
    With ``biases`` there are ``user_biases``, ``(n_users, 1)``, ``item_biases``, and ``mean``, ``()``; ``history`` is
    ``loop.fit``'s.
    """

    _defaults: ClassVar = {  # epochs, lr, regularization, negatives
        "mse": (15, 0.01, 0.11, 0),
        "bce": (20, 0.01, 0.006, 10),
        "bpr": (30, 0.02, 0.015, 4),
    }

    def __init__(
        self,
        n_users: int,
        n_items: int,
        factors: int = 32,
        biases: bool = True,
        *,
        std: float = 0.01,
        mean: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_counts(n_users=n_users, n_items=n_items, factors=factors)
        check_range("above 0", std=std)  # from zero factors neither table gets a gradient
        refuse(mean and not biases, "mean", mean, "0 without biases")
        self.n_users, self.n_items, self.factors = n_users, n_items, factors
        self.biases, self.std, self.seed = biases, std, seed
        self._loss = "mse"
        self.user_factors = nn.Embedding(n_users, factors)
        self.item_factors = nn.Embedding(n_items, factors)
        if biases:
            self.user_biases = nn.Embedding(n_users, 1)
            self.item_biases = nn.Embedding(n_items, 1)
            self.mean = nn.Parameter(torch.zeros(()))
        self.reset_parameters(mean)

    @torch.no_grad()
    def reset_parameters(self, mean: float = 0.0) -> None:
        """Go back to the start: the same small factors for the same seed, biases 0, and this mean."""
        generator = torch.Generator(self.user_factors.weight.device).manual_seed(self.seed)
        for table in (self.user_factors, self.item_factors):
            table.weight.normal_(0.0, self.std, generator=generator)
        if self.biases:
            self.user_biases.weight.zero_()
            self.item_biases.weight.zero_()
            self.mean.fill_(mean)

    def forward(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Scores of pairs of codes, ``(B,)``; shapes that broadcast will do too, as ``(B, 1)`` and ``(B, n)``."""
        scores = self.match(users, items)
        if self.biases:
            scores = scores + self.mean + self.user_biases(users)[..., 0] + self.item_biases(items)[..., 0]
        return scores

    def match(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """What users and items say together, the scores without their biases: here the dot product of two rows."""
        return (self.user_factors(users) * self.item_factors(items)).sum(-1)  # (B, f) -> (B,)

    def penalty(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Mean square length of the vectors of users plus that of items, ``()``; each counts as often as it occurs."""
        p, q = self.user_factors(users), self.item_factors(items)
        return p.square().sum(-1).mean() + q.square().sum(-1).mean()

    def fit(
        self,
        interactions: Interactions,
        *,
        loss: str = "mse",
        epochs: int | None = None,
        lr: float | None = None,
        regularization: float | None = None,
        batch_size: int = 1024,
        negatives: int | None = None,
        **options: object,
    ) -> Self:
        """Start anew and minimise loss plus regularization times :meth:`penalty` by Adam, with ``lr`` falling to 0.

        ``"mse"``, for ratings, is the squared error, and μ starts at the mean. For clicks, each interaction counts 1
        whatever its rating, beside ``negatives`` unseen items drawn anew in each epoch. ``"bce"`` takes the unseen for
        0; the score is a log odds. ``"bpr"`` wants each interaction before each of its unseen items (Rendle et al.
        2009; chapter 10). It cannot move μ and the user biases, which stay 0. ``options`` are those of
        :func:`course_utils.learning.loop.fit`. None: validation on MovieLens-100K, for ``"bpr"`` with 64 factors.
        """
        check_choice(self._defaults, loss=loss)
        pairs = zip((epochs, lr, regularization, negatives), self._defaults[loss], strict=True)
        epochs, lr, regularization, negatives = (default if value is None else value for value, default in pairs)
        check_range("0 or more", regularization=regularization)
        check_counts(0 if loss == "mse" else 1, negatives=negatives)
        check_sizes(interactions, self.n_users, self.n_items)
        generator = torch.Generator().manual_seed(self.seed)
        entries = interactions.users, interactions.items, interactions.ratings
        batches = loop.batches(*entries, batch_size=batch_size, generator=generator)

        def objective(module: MatrixFactorization, batch: loop.Batch) -> dict[str, torch.Tensor]:
            users, items, ratings = batch
            if loss == "mse":
                error = mse_loss(module(users, items), ratings)
            else:
                unseen = uniform(interactions, users, negatives, generator=generator)
                users, items = users[:, None], torch.cat([items[:, None], unseen], dim=1)  # (B, 1), (B, 1 + n)
                scores = module(users, items)
                if loss == "bce":
                    clicked = torch.eye(1, scores.shape[1]).to(scores).expand_as(scores)  # column 0
                    error = binary_cross_entropy_with_logits(scores, clicked)
                else:
                    error = losses.bpr_loss(scores[:, :1].expand_as(unseen), scores[:, 1:])
            return {loss: error, "penalty": regularization * module.penalty(users, items)}

        if loss == "mse":
            self.reset_parameters(float(interactions.ratings.mean()))
        else:  # the log odds of one click among 1 + negatives; pairs leave the level of the scores open
            self.reset_parameters(-math.log(negatives) if loss == "bce" else 0.0)
        self._loss = loss
        self.history = loop.fit(self, batches, objective, epochs=epochs, lr=lr, decay=True, **options)
        return self

    @torch.no_grad()
    def score(self, users: Codes) -> torch.Tensor:
        """Scores of all items, ``(len(users), n_items)``, before fit too: ratings, or log odds after ``"bce"``."""
        users = check_codes(users, self.n_users, "users")
        scores = self.user_factors(users) @ self.item_factors.weight.T
        if self.biases:
            scores = scores + self.mean + self.user_biases(users) + self.item_biases.weight[:, 0]
        return scores

    @torch.no_grad()
    def predict(self, users: Codes, items: Codes) -> torch.Tensor:
        """Predicted ratings of pairs, ``(n,)``, not clipped; a model of clicks knows none, and refuses."""
        refuse(self._loss != "mse", "loss", repr(self._loss), "'mse': clicks say nothing about ratings")
        return self(*check_pairs(users, items, self.n_users, self.n_items))
