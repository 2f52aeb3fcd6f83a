"""What lists are like beyond being right: coverage, concentration, diversity, novelty; taught in chapter 3.

``recommended`` holds item codes, best first, ``(n_users, k)``; -1 marks a place that stayed empty.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from course_utils.errors import check_range, check_shape
from course_utils.evaluation.metrics import check_lists
from course_utils.ranking import check_shares


def catalog_coverage(recommended: Tensor, n_items: int) -> float:
    """Share of the catalogue that stands in at least one list, in 0..1."""
    return float((_how_often(recommended, n_items) > 0).double().mean())


def gini(recommended: Tensor, n_items: int) -> float:
    """Gini index of how often each item is recommended: 0 all alike, towards 1 always the same few; nan for no list."""
    often = _how_often(recommended, n_items).double().sort().values
    if often.sum() == 0:
        return math.nan
    rank = torch.arange(1, n_items + 1, dtype=torch.float64)
    return float(((2 * rank - n_items - 1) @ often) / (n_items * often.sum()))


def intra_list_diversity(recommended: Tensor, item_features: Tensor) -> Tensor:
    """1 - mean cosine over all pairs of a list (Ziegler et al. 2005): ``(n_users,)``, nan below two items.

    ``item_features`` is ``(n_items, n_features)``; an item without features has cosine 0 with every other.
    """
    features = torch.as_tensor(item_features)
    recommended = check_lists(recommended, len(features))
    real = (recommended >= 0).to(torch.get_default_dtype())
    unit = normalize(features.to(real.dtype), dim=1)  # (n_items, n_features)
    rows = unit[recommended.clamp(min=0)] * real[:, :, None]  # (n_users, k, n_features)
    # The square of the summed unit vectors holds each pair twice, and each item with itself once.
    pairs = rows.sum(dim=1).square().sum(dim=1) - rows.square().sum(dim=(1, 2))
    n = real.sum(dim=1)
    return 1 - pairs / (n * (n - 1)).masked_fill(n < 2, torch.nan)


def novelty(recommended: Tensor, popularity: Tensor) -> Tensor:
    """Mean of -log2(popularity) over a list (Vargas and Castells 2011): ``(n_users,)``, in bits, 0 or more.

    ``popularity`` is the share of users who know each item, ``(n_items,)``, above 0. An empty list gives nan.
    """
    share = torch.as_tensor(popularity)
    check_range("above 0, 1 at most", popularity=share)
    recommended = check_lists(recommended, len(share))
    real = recommended >= 0
    bits = -torch.log2(share.to(torch.get_default_dtype()))[recommended.clamp(min=0)]
    return (bits * real).sum(dim=1) / real.sum(dim=1)


def calibration_kl(recommended: Tensor, kinds: Tensor, target: Tensor, *, smoothing: float = 0.01) -> Tensor:
    r"""How far the kinds in a list are from those of a history (Steck 2018): ``(n_users,)``; taught in chapter 12.

    :math:`\sum_g p_g \ln (p_g / \tilde q_g)` in nats, 0 or more, with the shares p of the history and q of the list,
    and :math:`\tilde q = (1 - a)\,q + a\,p`: with a = 0, one kind that the list lacks makes the sum infinite.
    ``kinds`` holds the share of each kind (genre) in each item, ``(n_items, n_kinds)``; rows sum to 1, or to 0 where
    nothing is known. ``target`` is p, ``(n_users, n_kinds)``, and ``smoothing`` a. An empty list gives nan.
    """
    kinds, target = torch.as_tensor(kinds), torch.as_tensor(target)
    recommended = check_lists(recommended, len(kinds))
    check_shares(kinds, "kinds", empty=True)
    check_shares(target, "target")
    check_shape(len(recommended), kinds.shape[1], target=target)
    check_range("above 0, 1 at most", smoothing=smoothing)
    real = recommended >= 0
    sums = (kinds[recommended.clamp(min=0)] * real[:, :, None]).sum(dim=1)
    shares = sums / real.sum(dim=1, keepdim=True)  # 0 / 0 is nan
    smooth = (1 - smoothing) * shares + smoothing * target
    return (torch.special.xlogy(target, target) - torch.special.xlogy(target, smooth)).sum(dim=1)


def _how_often(recommended: Tensor, n_items: int) -> Tensor:
    """In how many lists each item stands, ``(n_items,)``."""
    codes = check_lists(recommended, n_items)
    return torch.bincount(codes[codes >= 0], minlength=n_items)
