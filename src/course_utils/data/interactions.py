"""The bridge from pandas tables to integer codes and tensors."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from torch import Tensor

from course_utils.data import columns
from course_utils.errors import InputError, check_shape, refuse

Values = Sequence | pd.Index | pd.Series | np.ndarray
Ids, Span = Values | None, tuple[float, float] | None


@dataclass(frozen=True, eq=False)  # field-wise == would compare whole tensors
class Interactions:
    """Interactions of users with items, as integer codes; taught in chapter 0. Build it with :meth:`from_frame`."""

    users: Tensor  # codes in 0 .. n_users - 1, torch.long; this and the next three are (n_interactions,)
    items: Tensor  # codes in 0 .. n_items - 1, torch.long
    ratings: Tensor  # in the units of the table (1 where it has none), default dtype
    timestamps: Tensor  # seconds since 1970, torch.long (0 where the table has none)
    user_ids: pd.Index  # original id of each user code (n_users,)
    item_ids: pd.Index  # original id of each item code (n_items,)
    rating_range: Span = None  # of the whole table that this is a part of, where it is known

    def __repr__(self) -> str:
        return f"Interactions({len(self):,} of {self.n_users:,} users with {self.n_items:,} items)"

    @classmethod
    def from_frame(
        cls, ratings: pd.DataFrame, *, user_ids: Ids = None, item_ids: Ids = None, rating_range: Span = None
    ) -> Self:
        """Code a table of ratings, in the order of its rows; what is missing, repeated or unknown is refused.

        ``ratings`` has the columns ``user_id item_id``, optionally ``rating`` and ``timestamp``, and one row a pair.
        ``user_ids`` are all that the codes shall cover, in code order, the sorted ids of the table when left out,
        ``item_ids`` likewise: both sides of a split need the whole catalogue. ``rating_range`` is the whole table's.
        """
        users, user_ids = _codes(columns.column(ratings, "user_id", "ratings"), user_ids, "user_id")
        items, item_ids = _codes(columns.column(ratings, "item_id", "ratings"), item_ids, "item_id")
        if (repeated := ratings.duplicated(["user_id", "item_id"]).to_numpy()).any():
            pair = ratings.loc[repeated, ["user_id", "item_id"]].iloc[0]
            got = f"{repeated.sum()} repeated pair(s), the first is user {pair.user_id}, item {pair.item_id}"
            raise InputError("ratings", got=got, expected="each (user_id, item_id) pair once")
        values, times = np.ones(len(ratings)), np.zeros(len(ratings), np.int64)
        if "rating" in ratings:
            values = columns.numbers(columns.column(ratings, "rating", "ratings"), "rating")
        if "timestamp" in ratings:
            times = columns.times(columns.column(ratings, "timestamp", "ratings"))
        stars = torch.tensor(values, dtype=torch.get_default_dtype())
        users, items, times = map(torch.from_numpy, (users, items, times))
        return cls(users, items, stars, times, user_ids, item_ids, rating_range)

    def __len__(self) -> int:
        return len(self.users)

    @property
    def n_users(self) -> int:
        """Number of user codes, with or without interactions."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Number of item codes, with or without interactions."""
        return len(self.item_ids)

    def csr(self, *, binary: bool = False, decay: float = 1.0) -> sparse.csr_array:
        """The ratings ``(n_users, n_items)``, or 1 for each if ``binary``; a rating of exactly 0 is stored too.

        With a ``decay`` below 1 each is multiplied by decay**k, k being its :meth:`age` (chapter 18).
        """
        values = np.ones(len(self)) if binary else self.ratings.double().numpy()
        if decay != 1:
            values = values * decay ** self.age().double().numpy()
        return sparse.csr_array((values, (self.users.numpy(), self.items.numpy())), shape=(self.n_users, self.n_items))

    def age(self) -> Tensor:
        """How many of her interactions came after each, ``(n_interactions,)``; in one second by row; chapter 18."""
        users = self.users.numpy()
        place, counts = columns.places(users, self.timestamps.numpy())
        return torch.from_numpy(counts[users] - 1 - place)

    def mask(self) -> Tensor:
        """True where a user has an interaction with an item: bool ``(n_users, n_items)``."""
        seen = torch.zeros(self.n_users, self.n_items, dtype=torch.bool)
        seen[self.users, self.items] = True
        return seen


def _codes(column: pd.Series, ids: object, name: str) -> tuple[np.ndarray, pd.Index]:
    """Codes of a column of ids, and the index that decodes them."""
    if missing := int(_not_an_id(column).sum()):
        raise InputError(name, got=f"{missing} missing or infinite value(s)", expected="an id in every row")
    refuse(isinstance(ids, pd.DataFrame), f"{name}s", "a DataFrame", f"one id a code, such as table[{name!r}]")
    try:
        index = pd.Index(np.sort(column.unique())) if ids is None else pd.Index(ids)
    except TypeError as error:  # numbers and text in one column have no order
        raise InputError(name, got="ids of several types", expected="ids of one type, or the ids in order") from error
    refuse(_not_an_id(pd.Series(index)).any(), f"{name}s", "a missing or infinite id", "an id for each code")
    if not index.is_unique:
        raise InputError(f"{name}s", got=f"{index[index.duplicated()][0]!r} twice", expected="each id once")
    codes = index.get_indexer(column)
    if len(unknown := column[codes < 0]):
        kind, known = (pd.api.types.infer_dtype(values, skipna=False) for values in (unknown, index))
        got = f"unknown id(s) {unknown.unique()[:3].tolist()} of type {kind}"
        such = f", such as {index[:2].tolist()}" if len(index) else ""
        raise InputError(name, got=got, expected=f"ids among the {len(index)} given, of type {known}{such}")
    return codes.astype(np.int64), index


def _not_an_id(column: pd.Series) -> pd.Series:
    """True where a value is missing or infinite."""
    missing = column.isna()
    return missing | column.isin([np.inf, -np.inf]) if pd.api.types.is_float_dtype(column) else missing


def as_codes(codes: Tensor | Values, name: str) -> Tensor:
    """A tensor, array, Series or list of whole numbers as ``torch.long``; fractions are no codes, nor is text."""
    if not isinstance(codes, Tensor):
        if (found := np.asarray(codes)).dtype.kind not in "iuf":
            raise InputError(name, got=f"values of type {found.dtype}", expected="codes, whole numbers")
        codes = torch.as_tensor(found)
    cut = codes.is_floating_point() and bool((codes % 1 != 0).any())
    got = "fractions or nan" if cut else f"{codes.dtype} of shape {tuple(codes.shape)}"
    refuse(cut or codes.ndim == 0 or codes.dtype == torch.bool, name, got, "codes, whole numbers, one or more in a row")
    return codes.long()


def check_codes(codes: Tensor | Values, n: int, name: str) -> Tensor:
    """Codes that a model was asked about, ``(len,)``, as ``torch.long``; refused outside ``0 .. n - 1``."""
    codes = as_codes(codes, name)
    check_shape("len", **{name: codes})
    if codes.numel():
        least, most = int(codes.min()), int(codes.max())
        refuse(least < 0 or most >= n, name, f"codes {least}..{most}", f"codes in 0..{n - 1}")
    return codes


def check_pairs(users: Tensor, items: Tensor, n_users: int, n_items: int) -> tuple[Tensor, Tensor]:
    """Codes of pairs, an item for each user, as ``torch.long``; see :func:`check_codes`."""
    users, items = check_codes(users, n_users, "users"), check_codes(items, n_items, "items")
    check_shape(len(users), items=items)
    return users, items


def check_interactions(**parts: object) -> None:
    """Refuse what is no :class:`Interactions`, such as a table that was not coded yet."""
    for name, part in parts.items():
        if not isinstance(part, Interactions):
            raise InputError(name, got=type(part).__name__, expected="Interactions, such as table.interactions(train)")


def check_sizes(interactions: Interactions, n_users: int | None = None, n_items: int | None = None) -> None:
    """Refuse interactions that are none, or of other sizes than a model's tables; None stands for any size."""
    check_interactions(interactions=interactions)
    refuse(len(interactions) == 0, "interactions", "none", "at least one")
    sizes = interactions.n_users, interactions.n_items
    own = sizes[0] if n_users is None else n_users, sizes[1] if n_items is None else n_items
    refuse(sizes != own, "interactions", f"{sizes} users and items", f"{own}, as the model")


def csr_tensor(starts: Tensor, columns: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """A sparse ``(R, C)`` tensor from rows that are known to be sound, without torch's warnings and checks.

    ``starts`` says where each row begins among the N entries, and the end of the last one, ``(R + 1,)``; ``columns``,
    of the same integer type, and ``values`` are ``(N,)``; the columns ascend in a row.
    """
    # torch 2.11 and 2.12 warn of checks that are off by default even when check_invariants=False says so.
    with warnings.catch_warnings(), torch.sparse.check_sparse_tensor_invariants(False):
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")  # it is young, torch says once
        return torch.sparse_csr_tensor(starts, columns, values, size)
