"""A recommender that writes the next item's code, token by token; taught in chapter 19."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, embedding

from course_utils.data.interactions import Interactions
from course_utils.errors import check_counts
from course_utils.models.base import Codes
from course_utils.models.causal import Attention, Blocks, Network
from course_utils.models.semantic_ids import Lists, Trie, all_log_probabilities, beam_search, tell_apart
from course_utils.models.sequential import _NextItem


class _Sums(nn.Module):
    """In the place of a table of items: an item's vector is the sum of its tokens' vectors."""

    def __init__(self, codes: Tensor, factors: int) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = len(codes) + 1, factors  # the last is padding
        sizes = codes.amax(0) + 1
        self.starts = [0, *sizes.cumsum(0).tolist()]  # each level has rows of its own in one table
        self.weight = nn.Parameter(torch.empty(self.starts[-1], factors))
        rows = torch.cat([codes + sizes.cumsum(0) - sizes, torch.zeros_like(codes[:1])])
        self.register_buffer("rows", rows, persistent=False)

    def forward(self, items: Tensor) -> Tensor:
        """``(..., d)``."""
        return embedding(self.rows[items], self.weight).sum(-2)


class Writer(Network):
    """SASRec's body over sums of tokens, and a head that writes the next item's code; see :class:`NextCode`."""

    def __init__(
        self, codes: Tensor, factors: int, length: int, depth: int, dropout: float, generator: torch.Generator
    ) -> None:
        super().__init__(0, factors, dropout, Blocks(Attention, factors, length, depth), generator)
        self.items, self.inner = _Sums(codes, factors), nn.Linear(factors, factors, bias=False)
        for weight in (self.items.weight, self.inner.weight):
            nn.init.xavier_uniform_(weight, generator=generator)

    def logits(self, states: Tensor, prefixes: Tensor) -> Tensor:
        """Of the next token, ``(B, w, tokens)``, after states ``(B, d)`` and beginnings ``(B, w, l)`` of a code."""
        level, starts = prefixes.shape[-1], torch.tensor(self.items.starts)
        written = embedding(prefixes + starts[:level], self._tokens()).sum(-2)
        return self._say(self._both(states)[:, None] + written, level)

    def _cost(self, states: Tensor, items: Tensor) -> Tensor:
        """Nats that each token of the items ``(N,)`` costs after states ``(N, d)``: ``(N, length of a code)``."""
        rows, x, tokens, costs = self.items.rows[items], self._both(states), self._tokens(), []
        for level, start in enumerate(self.items.starts[:-1]):
            costs.append(cross_entropy(self._say(x, level), rows[:, level] - start, reduction="none"))
            x = x + embedding(rows[:, level], tokens)
        return torch.stack(costs, 1)

    def _both(self, vectors: Tensor) -> Tensor:
        """Vectors and what the inner layer makes of them, ``(..., 2 d)``: a sum of vectors is a sum of these."""
        return torch.cat([vectors, self.inner(vectors)], -1)

    def _tokens(self) -> Tensor:
        return self._both(self.items.weight * self.items.embedding_dim**0.5)

    def _say(self, both: Tensor, level: int) -> Tensor:
        plain, inner = both.chunk(2, -1)
        return (plain + inner.relu()) @ self.items.weight[slice(*self.items.starts[level : level + 2])].T


class NextCode(_NextItem):
    r"""SASRec's body that writes the next item's code token by token: :math:`P(i) = \prod_l P(c_l \mid c_{<l}, h)`.

    An item is read as the sum of its tokens' vectors. To the state h after the history the vectors of the tokens
    written so far are added, :math:`x_l = h + \sum_{j<l} e_{c_j}`; a token's logit is :math:`e_c^\top (x_l +
    \text{ReLU}(W x_l))`, so that what comes next depends on what was written. ``fit`` minimises the cost of all tokens,
    where any token may follow; later only those may that lead to an item, and their chances sum to 1. A small decoder
    in the place of the encoder and decoder of Rajput et al. (2023). ``codes`` are those of all items, ``(n_items,
    tokens)``; :func:`tell_apart` adds the last token. The other arguments are those of :class:`SASRec`.
    """

    def __init__(
        self,
        codes: Tensor,
        factors: int = 64,
        *,
        length: int = 50,
        depth: int = 1,
        dropout: float = 0.2,
        epochs: int = 7,
        lr: float = 0.004,
        batch_size: int = 32,
        seed: int = 0,
    ) -> None:
        training = {"dropout": dropout, "epochs": epochs, "lr": lr, "batch_size": batch_size, "seed": seed}
        super().__init__(factors, length=length, depth=depth, **training)
        self.sentences = tell_apart(codes)
        self.trie, self._catalogue = Trie(self.sentences), len(self.sentences)

    def _make(self, generator: torch.Generator) -> Writer:
        return Writer(self.sentences, self.factors, self.length, self.depth, self.dropout, generator)

    def _cost(self, network: Writer, states: Tensor, targets: Tensor) -> Tensor:
        return network._cost(states, targets).sum(1).mean()

    def _scores(self, histories: Tensor) -> Tensor:
        steps = (partial(self.network.logits, part) for part in self.network(histories)[:, -1].split(64))
        return torch.cat([all_log_probabilities(step, self.trie, rows=len(step.args[0])) for step in steps])

    @torch.no_grad()
    def recommend(self, users: Codes, k: int = 10, *, width: int = 50, exclude: Interactions | None = None) -> Lists:
        """The k best items of a beam search, and their log probabilities, ``(len(users), k)`` or fewer.

        The items of ``exclude`` are left out inside the search: -1 and ``-inf`` where it finds no other.
        """
        users = self._known(users, self._histories)
        check_counts(1, width, k=k)
        found, seen = [], None if exclude is None else exclude.mask()
        for part in users.split(64):
            step = partial(self.network.logits, self.network(self._histories[part])[:, -1])
            theirs = None if seen is None else seen[part]
            found.append(beam_search(step, self.trie, width, rows=len(part), seen=theirs))
        return tuple(torch.cat(each)[:, :k] for each in zip(*found, strict=True))
