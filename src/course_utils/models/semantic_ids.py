"""Items as short sentences, and the search for likely ones; taught in chapter 19.

:func:`residual_kmeans` gives each item a code: one token a level, the coarse one first. Another token tells items of
one code apart. :class:`Trie` knows which sentences are items, :func:`beam_search` finds likely ones.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from course_utils.data.interactions import as_codes
from course_utils.errors import InputError, check_counts, check_shape, refuse
from course_utils.ranking import top_k

Step = Callable[[Tensor], Tensor]
Lists = tuple[Tensor, Tensor]  # items and their log probabilities, best first


class Quantized(NamedTuple):
    """Codes of vectors, and what a code stands for."""

    codes: Tensor  # (n_items, depth), torch.long; at each level token 0 is that of the first item, and so on
    centres: list[Tensor]  # (tokens, d) a level; a code stands for the sum of its tokens' centres
    errors: list[float]  # squared error over all items, with 0 tokens (the mean of all) to ``depth`` tokens


def residual_kmeans(vectors: Tensor, size: int = 16, depth: int = 3, *, starts: int = 5, seed: int = 0) -> Quantized:
    r"""Codes by k-means, level after level: :math:`c_l = \arg\min_k \|r_l - e_{lk}\|^2`; taught in chapter 19.

    What is left over goes on, :math:`r_{l+1} = r_l - e_{lc_l}`; :math:`r_1` is the item's vector, a row of ``vectors``
    ``(n_items, d)``, less the mean of all. Each level has ``size`` tokens, or as many as there are different residuals.
    Of ``starts`` runs the first of the best is taken, equally good if errors agree in nine digits: no rounding decides.
    """
    check_counts(size=size, depth=depth, starts=starts)
    check_shape("n_items", "d", vectors=vectors)
    left = np.asarray(vectors, dtype=np.float64)
    if len(left) == 0 or not np.isfinite(left).all():
        raise InputError("vectors", got="none, or nan or infinite values", expected="one row an item, numbers")
    left = left - left.mean(0)
    codes, centres, errors = [], [], [float((left**2).sum())]
    for _ in range(depth):
        k = min(size, len(np.unique(left.round(9), axis=0)))
        runs = [KMeans(k, n_init=1, random_state=seed + run).fit(left) for run in range(starts)]
        best = min(runs, key=lambda run: float(f"{run.inertia_:.9g}"))
        tokens, order = pd.factorize(best.labels_)  # numbered as they occur
        codes.append(tokens)
        centres.append(best.cluster_centers_[order])
        left = left - centres[-1][tokens]
        errors.append(float((left**2).sum()))
    dtype = torch.get_default_dtype()
    return Quantized(torch.tensor(np.stack(codes, 1)), [torch.tensor(c, dtype=dtype) for c in centres], errors)


def tell_apart(codes: Tensor) -> Tensor:
    """Codes and a last token, how many earlier items have the code: ``(n_items, depth + 1)`` (Rajput et al. 2023)."""
    codes = as_codes(codes, "codes")
    check_shape("n_items", "depth", codes=codes)
    count = pd.DataFrame(codes.numpy()).groupby(list(range(codes.shape[1]))).cumcount()
    return torch.cat([codes, torch.tensor(count.to_numpy())[:, None]], dim=1)


class Trie:
    """All beginnings of the items' sentences, level by level; those of one length are numbered in the order of words.

    ``codes`` are ``(n_items, length)``, all different. ``prefixes[l]`` are the beginnings of l tokens, ``(n_prefixes,
    l)``; ``children[l]`` numbers the longer one for each token that may follow, or -1, ``(n_prefixes, tokens)``.
    ``paths`` numbers an item's beginnings, ``(n_items, length + 1)``; ``items`` are those of whole sentences.
    """

    def __init__(self, codes: Tensor) -> None:
        codes = as_codes(codes, "codes")
        check_shape("n_items", "length", codes=codes)
        if codes.numel() == 0 or int(codes.min()) < 0:
            raise InputError("codes", got="none, or one below 0", expected="0 or more, a row for each item")
        self.prefixes, self.children, paths = [], [], [torch.zeros(len(codes), dtype=torch.long)]
        for level, tokens in enumerate(codes.T):
            of, size = paths[-1], int(tokens.max()) + 1
            first = torch.zeros(int(of.max()) + 1, dtype=torch.long).scatter(0, of, torch.arange(len(codes)))
            self.prefixes.append(codes[first, :level])
            keys, below = (of * size + tokens).unique(return_inverse=True)
            table = torch.full((len(first) * size,), -1).scatter(0, keys, torch.arange(len(keys)))
            self.children.append(table.view(-1, size))
            paths.append(below)
        refuse(int(paths[-1].max()) + 1 < len(codes), "codes", "a code twice", "a code of its own for each item")
        self.paths, self.items = torch.stack(paths, 1), paths[-1].argsort()

    def left(self, seen: Tensor) -> list[Tensor]:
        """Which beginnings still lead to an item that is not ``seen``: a level each, bool ``(B, n_prefixes)``."""
        check_shape("B", len(self.items), seen=seen)
        new = (~seen).int()  # (B, n_items)
        counts = (new.new_zeros(len(new), int(path.max()) + 1).index_add(1, path, new) for path in self.paths.T)
        return [count > 0 for count in counts]


def beam_search(step: Step, trie: Trie, width: int, *, rows: int = 1, seen: Tensor | None = None) -> Lists:
    """The most likely items that a search finds which keeps ``width`` beginnings a level, and their log probabilities.

    ``step(prefixes)`` gives logits of the next token, ``(rows, w, tokens)``, after beginnings ``(rows, w, l)``; tokens
    that no item has there get chance 0, the others the rest. Both results are ``(rows, width at most)``, best first;
    -1 and ``-inf`` for no item. Nothing leads to ``seen`` items alone, bool ``(rows, n_items)``. A width as large as
    the catalogue finds what :func:`all_log_probabilities` ranks first.
    """
    check_counts(width=width)
    left = None if seen is None else trie.left(seen)
    nodes, total = torch.zeros(rows, 1, dtype=torch.long), torch.zeros(rows, 1)
    for level, (prefixes, children) in enumerate(zip(trie.prefixes, trie.children, strict=True)):
        below = children[nodes]  # (rows, w, tokens)
        chances = step(prefixes[nodes]).masked_fill(below < 0, -torch.inf).log_softmax(-1)
        values, below = (total[..., None] + chances).flatten(1), below.flatten(1).clamp(min=0)
        if left is not None:
            values = values.masked_fill(~left[level + 1].gather(1, below), -torch.inf)
        kept = top_k(values, min(width, values.shape[1]))
        total = values.gather(1, kept.clamp(min=0)).masked_fill(kept < 0, -torch.inf)
        nodes = below.gather(1, kept.clamp(min=0))
    return trie.items[nodes].masked_fill(total == -torch.inf, -1), total


def all_log_probabilities(step: Step, trie: Trie, *, rows: int = 1) -> Tensor:
    """Of all items, ``(rows, n_items)``: their chances sum to 1; ``step`` is asked for (1, w, l)."""
    total = torch.zeros(rows, 1)
    for prefixes, children in zip(trie.prefixes, trie.children, strict=True):
        fork = (children >= 0).sum(1) > 1  # elsewhere what follows is certain
        chances = torch.zeros(rows, *children.shape)
        logits = step(prefixes[None, fork])
        chances[:, fork] = logits.masked_fill(children[fork] < 0, -torch.inf).log_softmax(-1).to(chances)
        total = (total[..., None] + chances)[:, children >= 0]  # the order of a trie is that of its longer beginnings
    return total[:, trie.paths[:, -1]]
