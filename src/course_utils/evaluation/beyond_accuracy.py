"""What lists are like beyond being right: coverage, concentration, diversity, novelty; taught in chapter 3.

``recommended`` holds item codes, best first, ``(n_users, k)``; -1 marks a place that stayed empty.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from course_utils.data.interactions import as_codes
from course_utils.errors import InputError
from course_utils.ranking import check_shares


def catalog_coverage(recommended: torch.Tensor, n_items: int) -> float:
    """Share of the catalogue that stands in at least one list, in 0..1.

    Args:
        recommended: item codes, ``(n_users, k)``, -1 for an empty place.
        n_items: size of the catalogue.
    """
    return float((_exposure(recommended, n_items) > 0).double().mean())


def gini(recommended: torch.Tensor, n_items: int) -> float:
    """Gini index of how often each item is recommended: 0 equally often, towards 1 always the same few.

    Args:
        recommended: item codes, ``(n_users, k)``, -1 for an empty place.
        n_items: size of the catalogue; items in no list count with 0.
    """
    exposure = _exposure(recommended, n_items).double().sort().values
    if exposure.sum() == 0:
        return math.nan
    rank = torch.arange(1, n_items + 1, dtype=torch.float64)
    return float(((2 * rank - n_items - 1) @ exposure) / (n_items * exposure.sum()))


def intra_list_diversity(recommended: torch.Tensor, item_features: torch.Tensor) -> torch.Tensor:
    """1 - mean cosine over all pairs of a list (Ziegler et al. 2005): ``(n_users,)``, nan below two items.

    Args:
        recommended: item codes, ``(n_users, k)``, -1 for an empty place.
        item_features: ``(n_items, n_features)``; an item whose features are all 0 has cosine 0 with every other.
    """
    recommended, features = torch.as_tensor(recommended), torch.as_tensor(item_features)
    _exposure(recommended, len(features))
    real = (recommended >= 0).to(torch.get_default_dtype())
    unit = F.normalize(features.to(real.dtype), dim=1)  # (n_items, d)
    rows = unit[recommended.clamp(min=0)] * real[:, :, None]  # (n_users, k, d)
    # The square of the summed unit vectors holds each pair twice, and each item with itself once.
    pairs = rows.sum(dim=1).square().sum(dim=1) - rows.square().sum(dim=(1, 2))
    n = real.sum(dim=1)
    return 1 - pairs / (n * (n - 1)).masked_fill(n < 2, torch.nan)


def novelty(recommended: torch.Tensor, popularity: torch.Tensor) -> torch.Tensor:
    """Mean of -log2(popularity) over a list (Vargas and Castells 2011): ``(n_users,)``, in bits, 0 or more.

    Args:
        recommended: item codes, ``(n_users, k)``, -1 for an empty place; an empty list gives nan.
        popularity: share of the users who know each item, ``(n_items,)``, above 0 and at most 1. Give an item
            that nobody knows the share of one user, or its novelty is infinite.
    """
    recommended, share = torch.as_tensor(recommended), torch.as_tensor(popularity)
    if not bool(((share > 0) & (share <= 1)).all()):
        raise InputError(
            "popularity", got=f"{float(share.min())}..{float(share.max())}", expected="shares in (0, 1]"
        )
    _exposure(recommended, len(share))
    real = recommended >= 0
    bits = -torch.log2(share.to(torch.get_default_dtype()))[recommended.clamp(min=0)]
    return (bits * real).sum(dim=1) / real.sum(dim=1)


def calibration_kl(
    recommended: torch.Tensor, kinds: torch.Tensor, target: torch.Tensor, *, smoothing: float = 0.01
) -> torch.Tensor:
    r"""How far the kinds in a list are from those of a history (Steck 2018): ``(n_users,)``; taught in chapter 12.

    :math:`\sum_g p_g \ln (p_g / \tilde q_g)` in nats, 0 or more, with the shares p of the history and q of the list,
    and :math:`\tilde q = (1 - a)\,q + a\,p`: without it, one kind that the list lacks makes the sum infinite.

    Args:
        recommended: item codes, ``(n_users, k)``, -1 for an empty place; an empty list gives nan.
        kinds: share of each kind (genre) in each item, ``(n_items, n_kinds)``; rows sum to 1, or to 0 where nothing
            is known.
        target: p of each user, ``(n_users, n_kinds)``, rows sum to 1.
        smoothing: a, above 0 and at most 1.
    """
    recommended, kinds, target = (torch.as_tensor(x) for x in (recommended, kinds, target))
    check_shares(kinds, "kinds", empty=True)
    check_shares(target, "target")
    if target.shape != (len(recommended), kinds.shape[1]):
        expected = f"({len(recommended)}, {kinds.shape[1]})"
        raise InputError("target", got=f"shape {tuple(target.shape)}", expected=expected)
    if not 0 < smoothing <= 1:
        raise InputError("smoothing", got=smoothing, expected="above 0 and at most 1")
    _exposure(recommended, len(kinds))
    real = recommended >= 0
    sums = (kinds[recommended.clamp(min=0)] * real[:, :, None]).sum(dim=1)
    shares = sums / real.sum(dim=1, keepdim=True)  # 0 / 0 is nan
    smooth = (1 - smoothing) * shares + smoothing * target
    return (torch.special.xlogy(target, target) - torch.special.xlogy(target, smooth)).sum(dim=1)


def _exposure(recommended: torch.Tensor, n_items: int) -> torch.Tensor:
    """How often each item is recommended, ``(n_items,)``."""
    codes = as_codes(recommended, "recommended").flatten()
    if len(codes) and not (int(codes.min()) >= -1 and int(codes.max()) < n_items):
        found = f"codes {int(codes.min())}..{int(codes.max())}"
        raise InputError("recommended", got=found, expected=f"item codes below {n_items}, or -1")
    return torch.bincount(codes[codes >= 0], minlength=n_items)
