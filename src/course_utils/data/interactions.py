"""The bridge from pandas tables to integer codes and tensors."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from course_utils.data import columns
from course_utils.errors import InputError


@dataclass(frozen=True, eq=False)  # field-wise == would compare whole tensors
class Interactions:
    """Interactions of users with items, as integer codes; taught in chapter 0.

    Build it with :meth:`from_frame`. All four tensors have shape ``(n_interactions,)`` and keep the row
    order of the table that they came from.

    Attributes:
        users: user codes in ``0 .. n_users - 1``, ``torch.long``.
        items: item codes in ``0 .. n_items - 1``, ``torch.long``.
        ratings: ratings in the units of the table (1 where it has none), default dtype.
        timestamps: seconds since 1970, ``torch.long`` (0 where the table has none).
        user_ids: original id of each user code, shape ``(n_users,)``.
        item_ids: original id of each item code, shape ``(n_items,)``.
    """

    users: torch.Tensor
    items: torch.Tensor
    ratings: torch.Tensor
    timestamps: torch.Tensor
    user_ids: pd.Index
    item_ids: pd.Index

    @classmethod
    def from_frame(
        cls,
        ratings: pd.DataFrame,
        *,
        user_ids: Sequence | pd.Index | pd.Series | np.ndarray | None = None,
        item_ids: Sequence | pd.Index | pd.Series | np.ndarray | None = None,
    ) -> Interactions:
        """Code a table of ratings.

        Args:
            ratings: columns ``user_id`` and ``item_id``, optionally ``rating`` and ``timestamp``; one row a pair.
            user_ids: every user id the codes shall cover, in code order; the sorted ids of the table when left out.
            item_ids: likewise for items. Pass the whole catalogue to the training and the test side alike.

        Returns:
            The coded interactions, ``n_interactions`` long.

        Raises:
            InputError: ``ratings`` is no table, a column is missing, an id, rating or time is missing or infinite,
                a time is not whole seconds before the year 3000, a (user, item) pair occurs twice, or an id is not
                among ``user_ids`` or ``item_ids``.
        """
        users, user_index = _codes(columns.column(ratings, "user_id", "ratings"), user_ids, "user_id")
        items, item_index = _codes(columns.column(ratings, "item_id", "ratings"), item_ids, "item_id")
        repeated = ratings.duplicated(["user_id", "item_id"])
        if repeated.any():
            pair = ratings.loc[repeated.to_numpy(), ["user_id", "item_id"]].iloc[0]
            raise InputError(
                "ratings",
                got=f"{int(repeated.sum())} repeated pair(s), the first is user {pair.user_id}, item {pair.item_id}",
                expected="each (user_id, item_id) pair once",
            )
        n = len(ratings)
        values, times = np.ones(n), np.zeros(n, np.int64)
        if "rating" in ratings:
            values = columns.numbers(columns.column(ratings, "rating", "ratings"), "rating")
        if "timestamp" in ratings:
            times = columns.times(columns.column(ratings, "timestamp", "ratings"))
        return cls(
            users=torch.from_numpy(users),
            items=torch.from_numpy(items),
            ratings=torch.tensor(values, dtype=torch.get_default_dtype()),
            timestamps=torch.from_numpy(times),
            user_ids=user_index,
            item_ids=item_index,
        )

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

    def csr(self, *, binary: bool = False) -> sparse.csr_array:
        """The rating matrix as a sparse array of shape ``(n_users, n_items)``.

        Args:
            binary: store 1 for each interaction in place of its rating.

        Note:
            A rating of exactly 0 stays stored as an explicit entry.
        """
        values = np.ones(len(self)) if binary else self.ratings.double().numpy()
        shape = (self.n_users, self.n_items)
        return sparse.csr_array((values, (self.users.numpy(), self.items.numpy())), shape=shape)

    def mask(self) -> torch.Tensor:
        """True where a user has an interaction with an item: bool ``(n_users, n_items)``."""
        seen = torch.zeros(self.n_users, self.n_items, dtype=torch.bool)
        seen[self.users, self.items] = True
        return seen


def _codes(column: pd.Series, ids: object, name: str) -> tuple[np.ndarray, pd.Index]:
    """Codes of a column of ids, and the index that decodes them."""
    missing = int(_not_an_id(column).sum())
    if missing:
        raise InputError(name, got=f"{missing} missing or infinite value(s)", expected="an id in every row")
    if isinstance(ids, pd.DataFrame):
        raise InputError(f"{name}s", got="a DataFrame", expected=f"one id a code, such as table[{name!r}]")
    try:
        index = pd.Index(np.sort(column.unique())) if ids is None else pd.Index(ids)
    except TypeError as error:  # numbers and text in one column have no order
        raise InputError(
            name, got="ids of several types", expected="ids of one type, or the ids in order"
        ) from error
    if _not_an_id(pd.Series(index)).any():
        raise InputError(f"{name}s", got="a missing or infinite id", expected="an id for each code")
    if not index.is_unique:
        raise InputError(f"{name}s", got=f"{index[index.duplicated()][0]!r} twice", expected="each id once")
    codes = index.get_indexer(column)
    if (codes < 0).any():
        unknown = column[codes < 0].unique()[:3].tolist()
        kinds = [pd.api.types.infer_dtype(ids, skipna=False) for ids in (column[codes < 0], index)]
        other = f" of type {kinds[0]}" if kinds[0] != kinds[1] and len(index) else ""
        expected = f"ids among the {len(index)} given{f', of type {kinds[1]}' if other else ''}"
        raise InputError(name, got=f"unknown id(s) {unknown}{other}", expected=expected)
    return codes.astype(np.int64), index


def _not_an_id(column: pd.Series) -> pd.Series:
    """True where a value is missing or infinite."""
    if pd.api.types.is_float_dtype(column):
        return column.isna() | column.isin([np.inf, -np.inf])
    return column.isna()


def as_codes(codes: torch.Tensor | np.ndarray | pd.Series | Sequence, name: str) -> torch.Tensor:
    """A tensor, array, Series or list of whole numbers as ``torch.long``; fractions are no codes, nor is text."""
    if not isinstance(codes, torch.Tensor):
        found = np.asarray(codes)
        if found.dtype.kind not in "iuf":
            raise InputError(name, got=f"values of type {found.dtype}", expected="codes, whole numbers")
        codes = torch.as_tensor(found)
    cut = codes.is_floating_point() and bool((codes % 1 != 0).any())
    if cut or codes.ndim == 0 or codes.dtype == torch.bool:
        got = "fractions or nan" if cut else f"{codes.dtype} of shape {tuple(codes.shape)}"
        raise InputError(name, got=got, expected="codes, whole numbers, one or more in a row")
    return codes.long()


def check_codes(codes: torch.Tensor, n: int, name: str) -> torch.Tensor:
    """Codes that a model was asked about, as ``torch.long``.

    Args:
        codes: user or item codes, ``(len,)``.
        n: number of codes that the model knows.
        name: what the error shall call them, ``"users"`` or ``"items"``.

    Raises:
        InputError: a code is outside ``0 .. n - 1`` (torch's own error would name neither).
    """
    codes = as_codes(codes, name)
    if codes.numel() and not (int(codes.min()) >= 0 and int(codes.max()) < n):
        raise InputError(
            name, got=f"codes {int(codes.min())}..{int(codes.max())}", expected=f"codes in 0..{n - 1}"
        )
    return codes


def check_sizes(interactions: Interactions, n_users: int, n_items: int) -> None:
    """Whether interactions have the users and items for which a model made its tables.

    Raises:
        InputError: they have other numbers of them, or there is no interaction.
    """
    if len(interactions) == 0:
        raise InputError("interactions", got="none", expected="at least one")
    sizes, own = (interactions.n_users, interactions.n_items), (n_users, n_items)
    if sizes != own:
        raise InputError("interactions", got=f"{sizes} users and items", expected=f"{own}, as the model")


def csr_tensor(
    starts: torch.Tensor, columns: torch.Tensor, values: torch.Tensor, size: tuple[int, int]
) -> torch.Tensor:
    """A sparse ``(R, C)`` tensor from rows that are known to be sound, without torch's warnings and checks.

    Args:
        starts: where each row begins among the entries, and the end of the last one, ``(R + 1,)``.
        columns: column of each entry, ascending in a row, ``(N,)``, of the same integer type.
        values: ``(N,)``.
        size: ``(R, C)``.
    """
    # torch 2.11 and 2.12 warn of checks that are off by default even when check_invariants=False says so. Inside the
    # context they are off by word, and afterwards as the caller had them.
    with warnings.catch_warnings(), torch.sparse.check_sparse_tensor_invariants(False):
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")  # it is young, torch says once
        return torch.sparse_csr_tensor(starts, columns, values, size)
