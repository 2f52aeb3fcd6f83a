"""What comes next: recommenders that read a user's items in their order; taught in chapter 18.

:class:`MarkovChain` counts what followed what. :class:`GRU4Rec`, :class:`Caser`, :class:`SASRec` and :class:`HSTU` are
one network with four middles: vectors of the items so far, a middle that looks back and never ahead, then the same
vectors again, with which a score is a dot product. Of two items of one second the lower row is the later one.
"""

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, embedding_bag, pad
from torch.optim import Adam

from course_utils.data.interactions import Interactions, check_sizes
from course_utils.errors import check_choice, check_counts, check_range
from course_utils.learning import loop, negatives
from course_utils.learning.losses import sampled_softmax_loss
from course_utils.models.base import Codes, Described
from course_utils.models.causal import Attention, Blocks, Convolutions, Network, Pointwise, Recurrent


def sequences(interactions: Interactions, length: int) -> Tensor:
    """Each user's latest items, oldest first, ``(n_users, length)``; in front, where there are fewer, ``n_items``."""
    check_counts(length=length)
    age = interactions.age()
    late = age < length
    table = torch.full((interactions.n_users, length), interactions.n_items)
    table[interactions.users[late], length - 1 - age[late]] = interactions.items[late]
    return table


def windows(interactions: Interactions, length: int) -> tuple[Tensor, Tensor]:
    """Whole histories cut into pieces: the users of the rows, and the rows, ``(n_windows, length + 1)``.

    A piece begins with the last item of the piece before it, so that each item but a user's first is once at the right
    of what came before: columns ``:-1`` are histories, columns ``1:`` what came next. Padding as in :func:`sequences`.
    """
    check_counts(length=length)
    longest = int(torch.bincount(interactions.users).max()) if len(interactions) else 1
    pieces = max(1, -(-(longest - 1) // length))
    table = sequences(interactions, pieces * length + 1).unfold(1, length + 1, length)  # (n_users, pieces, length + 1)
    kept = table[:, :, -2] < interactions.n_items  # two items at least
    return kept.nonzero()[:, 0], table[kept]


class _Reader(Described):
    """A model that needs nothing of a user but her latest items."""

    _histories: Tensor | None = None  # (n_users, items that the model looks back)

    def _keep(self, interactions: Interactions, length: int) -> None:
        self._histories, self._n_items = sequences(interactions, length), interactions.n_items

    @torch.no_grad()
    def score(self, users: Codes) -> Tensor:
        """Scores of all items as the next one, ``(len(users), n_items)``."""
        return self._scores(self._histories[self._known(users, self._histories)])

    @torch.no_grad()
    def fold_in(self, history: Interactions) -> Tensor:
        """Scores for new users from their items alone, ``(history.n_users, n_items)``."""
        self._fitted(self._histories)
        check_sizes(history, None, self._n_items)
        return self._scores(sequences(history, self._histories.shape[1]))


class MarkovChain(_Reader):
    r"""What followed a user's last items elsewhere: :math:`s_j = \sum_{k=0}^{m-1} \delta^k P(j \mid i_{-k})`.

    :math:`P(j \mid i) = (n_{ij} + \alpha / n) / (n_i + \alpha)`: how often j came directly after i, among all that came
    after i; n is the number of items, :math:`i_{-k}` the item k places before the last. ``last`` is m, ``decay`` δ,
    ``smoothing`` α. With m = 1 it is a first-order Markov chain, all users alike (Rendle et al. 2010, section 3). Rows
    of ``transitions``, P, sum to 1, or 0 where nothing came after and α is 0. Defaults: validation on MovieLens-100K.
    """

    def __init__(self, last: int = 5, *, decay: float = 0.8, smoothing: float = 100.0) -> None:
        check_counts(last=last)
        check_range("above 0, 1 at most", decay=decay)
        check_range("0 or more", smoothing=smoothing)
        self.last, self.decay, self.smoothing = last, decay, smoothing
        self.transitions: Tensor | None = None

    def fit(self, interactions: Interactions) -> Self:
        """Count pairs of successive items; ratings are not looked at."""
        check_sizes(interactions)
        n, pairs = interactions.n_items, windows(interactions, 1)[1]  # (n_pairs, 2)
        counts = torch.bincount(pairs[:, 0] * n + pairs[:, 1], minlength=n * n).view(n, n)
        counts = counts.to(torch.get_default_dtype())
        total = counts.sum(1, keepdim=True) + self.smoothing
        self.transitions = (counts + self.smoothing / n) / total.where(total > 0, 1)
        self._keep(interactions, self.last)
        return self

    def _scores(self, histories: Tensor) -> Tensor:
        table = pad(self.transitions, (0, 0, 0, 1))  # after padding comes nothing
        weights = self.decay ** torch.arange(self.last - 1, -1, -1).to(table)
        return embedding_bag(histories, table, mode="sum", per_sample_weights=weights.expand(histories.shape))


@dataclass(repr=False, eq=False)
class _NextItem(_Reader):
    """A causal network that at each place of a history tells all items by how well they come next.

    ``fit`` minimises the cross entropy of the item that did come next, of all items, mean over the places. With
    ``negatives`` it is among the right one and so many others that the user has not met, drawn anew for each place:
    ``sampler`` ``"uniform"`` or ``"popularity"`` (in proportion to their number of interactions; chapter 11).
    """

    factors: int = 64  # d, the length of all vectors
    _: KW_ONLY
    length: int = 50  # L, how many items it looks back
    depth: int = 1  # blocks of SASRec and HSTU, layers of GRU4Rec, items that the widest filter of Caser sees
    dropout: float = 0.3  # share of entries hidden in training, wherever the paper hides some
    negatives: int = 0
    sampler: str = "uniform"
    epochs: int = 4  # passes over all places
    lr: float = 0.004  # step size of Adam
    batch_size: int = 32
    seed: int = 0
    _catalogue: ClassVar[int | None] = None  # how many items there must be; None: any number

    def __post_init__(self) -> None:
        check_counts(factors=self.factors, length=self.length, depth=self.depth)
        check_counts(epochs=self.epochs, batch_size=self.batch_size)
        check_counts(0, negatives=self.negatives)
        check_choice(("uniform", "popularity"), sampler=self.sampler)
        check_range("0 or more, below 1", dropout=self.dropout)
        self.network: Network | None = None

    def fit(self, interactions: Interactions, **training: object) -> Self:
        """Start anew and train; ratings are not looked at, ``training`` are options of ``loop.fit``."""
        check_sizes(interactions, None, self._catalogue)
        generator = torch.Generator().manual_seed(self.seed)
        self._keep(interactions, self.length)
        self.network = self._make(generator)
        batches = loop.batches(*windows(interactions, self.length), batch_size=self.batch_size, generator=generator)

        def objective(network: Network, batch: loop.Batch) -> Tensor:
            users, rows = batch
            histories, targets = self.examples(rows)  # (B, L) both
            real = torch.maximum(histories, targets) < self._n_items  # where either is padding, nothing is asked
            states, targets = network(histories, generator)[real], targets[real]  # (places, d), (places,)
            if not self.negatives:
                return self._cost(network, states, targets)
            power = {"uniform": 0.0, "popularity": 1.0}[self.sampler]
            of = users[:, None].expand_as(real)[real]
            others = negatives.popularity(interactions, of, self.negatives, power=power, generator=generator)
            scores = network.score(states, torch.cat([targets[:, None], others], dim=1))
            return sampled_softmax_loss(scores[:, 0], scores[:, 1:])

        adam = Adam(self.network.parameters(), lr=self.lr, fused=True)
        self.history = loop.fit(self.network, batches, objective, epochs=self.epochs, optimizer=adam, **training)
        return self

    def examples(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """What the network reads and shall say at each place, ``(B, L)`` both, of rows of :func:`windows`."""
        return rows[:, :-1], rows[:, 1:]

    def _make(self, generator: torch.Generator) -> Network:  # NextCode has its own network, and its own cost
        return Network(self._n_items, self.factors, self.dropout, self._middle(), generator)

    def _cost(self, network: Network, states: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(network.score(states), targets)

    def _scores(self, histories: Tensor) -> Tensor:
        return self.network.score(self.network(histories, at=-1))


@dataclass(repr=False, eq=False, kw_only=True)
class GRU4Rec(_NextItem):
    """A recurrent network: one state, changed by each item in turn (Hidasi et al. 2016).

    Here with the losses above in place of the paper's, the same vectors before and after, and no biases in the gates.
    """

    dropout: float = 0.0

    def _middle(self) -> nn.Module:
        return Recurrent(self.factors, self.depth)


@dataclass(repr=False, eq=False, kw_only=True)
class Caser(_NextItem):
    """Convolutions over the last few items: filters across them and along them (Tang and Wang 2018, section 3).

    Filters across see 1 to ``depth`` successive items, and the largest answer counts; filters along weigh the last
    ``depth`` items, alike in each factor. The user's own vector is left out, so that it answers new histories.
    """

    depth: int = 5

    def _middle(self) -> nn.Module:
        return Convolutions(self.factors, self.depth)


@dataclass(repr=False, eq=False, kw_only=True)
class SASRec(_NextItem):
    """Self-attention: each place asks all places before it and itself, by content (Kang and McAuley 2018).

    Blocks of attention with one head and two layers, each with normalised input beside a way round it (equations 2 to
    8), over vectors of items and of places. Here with the full softmax in place of one negative item.
    """

    dropout: float = 0.15

    def _middle(self) -> nn.Module:
        return Blocks(Attention, self.factors, self.length, self.depth)

    @torch.no_grad()
    def weights(self, histories: Tensor) -> Tensor:
        """Where each place of histories ``(B, length)`` looks, block by block, ``(depth, B, length, length)``."""
        found, blocks = [], self.network.middle.blocks
        look = lambda block, inputs: found.append(block.read(*inputs[:2])[1])  # noqa: E731
        hooks = [block.register_forward_pre_hook(look) for block in blocks]
        self.network(histories)
        for hook in hooks:
            hook.remove()
        return torch.stack(found)


class HSTU(_NextItem):
    r"""Attention without a softmax, with a gate: the block of Zhai et al. (2024), equations 1 to 3.

    :math:`U, V, Q, K = \text{SiLU}(W_1 x)`. A place gives another the weight :math:`A = \text{SiLU}(q^\top k + b) / L`,
    b by their distance, without the paper's other bias, by time; then :math:`x + W_2 (\text{norm}(A V) \odot U)`.
    """

    def _middle(self) -> nn.Module:
        return Blocks(Pointwise, self.factors, self.length, self.depth)
