"""From a table to what a click model eats: standardised numbers, codes, bags; taught in chapter 8."""

from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Self

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from course_utils.data import columns
from course_utils.errors import InputError, check_counts, refuse


@dataclass(frozen=True)
class Rows:
    """Encoded rows, made by :meth:`Encoder.transform`; floats are of torch's default type, codes ``torch.long``."""

    dense: torch.Tensor  # standardised numbers (n, n_dense)
    codes: torch.Tensor  # one code a categorical feature (n, F)
    bags: tuple[torch.Tensor, ...]  # one tensor a multi-valued feature (n, longest), -1 in empty places
    labels: torch.Tensor  # 0 or 1 (n,)
    cardinalities: tuple[int, ...]  # number of codes of each categorical feature, then of each bag

    def __len__(self) -> int:
        return len(self.labels)

    def tensors(self) -> tuple[torch.Tensor, ...]:
        """Dense, codes, the bags, labels: to hand to ``loop.batches``."""
        return self.dense, self.codes, *self.bags, self.labels

    def one_hot(self) -> sparse.csr_matrix:
        """For a linear model, ``(n, n_dense + sum of cardinalities)``: the numbers, then a 0/1 column for each code."""
        blocks = [sparse.csr_matrix(self.dense.numpy())]
        columns = [column[:, None] for column in self.codes.T] + list(self.bags)
        for column, size in zip(columns, self.cardinalities, strict=True):
            row, place = np.nonzero((column >= 0).numpy())
            codes = column.numpy()[row, place]
            ones = np.ones(len(codes), self.dense.numpy().dtype)
            blocks.append(sparse.csr_matrix((ones, (row, codes)), shape=(len(self), size)))
        return sparse.hstack(blocks, format="csr")


@dataclass(eq=False)
class Encoder:
    """Learns from the training part how to encode a table, and encodes any part with it; taught in chapter 8.

    Numbers are standardised by the training part's mean and standard deviation; a missing one becomes 0, the mean.
    Of a categorical feature code 0 stands for all values that the training part has fewer than ``min_count`` times,
    or never; a missing value is a value of its own. What is learned depends on nothing but the training part.
    """

    dense: Sequence[str]  # names of numeric columns
    categories: Sequence[str]  # names of columns that are compared as text
    bags: Sequence[str] = ()  # of columns with several values, as text joined by "|"; the empty text is an empty bag
    _: KW_ONLY
    log: Sequence[str] = ()  # those of dense that are counts: first log(1 + max(x, 0))
    min_count: int = 1  # how often the training part must have a value for it to get its own code
    buckets: int | None = None  # hash a feature's kept values into so many codes, 0 not among them; None: a code each

    def __post_init__(self) -> None:
        if not set(self.log) <= set(self.dense):
            raise InputError("log", got=sorted(set(self.log) - set(self.dense)), expected="names among dense")
        check_counts(min_count=self.min_count, buckets=1 if self.buckets is None else self.buckets)

    def fit(self, tables: pd.DataFrame | Iterable[pd.DataFrame]) -> Self:
        """Learn means, deviations and codes, from one table or from a stream of chunks in one pass."""
        tables = [tables] if isinstance(tables, pd.DataFrame) else tables
        counts = {name: pd.Series(dtype="int64") for name in (*self.categories, *self.bags)}
        sums = np.zeros((5, len(self.dense)))  # of ones, values, squares, and both around a middle
        middle = np.full(len(self.dense), np.nan)  # of the first values seen, wherever they come
        rows = 0
        for table in tables:
            numbers = self._numbers(table)
            there = ~np.isnan(numbers)
            filled, n = np.where(there, numbers, 0), there.sum(axis=0)
            middle = np.where(np.isnan(middle) & (n > 0), filled.sum(axis=0) / np.maximum(n, 1), middle)
            off = np.where(there, numbers - middle, 0)
            sums += np.stack([n, *(x.sum(axis=0) for x in (filled, filled**2, off, off**2))])
            for name in counts:
                counts[name] = counts[name].add(self._values(table, name).value_counts(), fill_value=0)
            rows += len(table)
        refuse(rows == 0, "tables", "no row", "at least one")
        self.mean, square, shift, spread = sums[1:] / np.maximum(sums[0], 1)
        variance = square - self.mean**2
        # Far from 0, for a time or a zip code, say, most digits cancel; not around a middle.
        far = variance <= 1e-6 * square
        deviation = np.sqrt(np.maximum(np.where(far, spread - shift**2, variance), 0))
        self.deviation = np.where(deviation <= 1e-12 * np.abs(self.mean), 1, deviation)  # a constant column stays 0
        self.codes = {name: self._codes(count) for name, count in counts.items()}
        self.cardinalities = tuple(1 + (self.buckets or len(code)) for code in self.codes.values())
        return self

    def transform(self, table: pd.DataFrame) -> Rows:
        """Encode the rows of a table, in its order; its column ``label`` is 0 or 1."""
        if not hasattr(self, "codes"):
            raise InputError("encoder", got="one that is not fitted", expected="fit(...) before transform")
        labels = _floats(table, "label")
        if len(wrong := labels[(labels != 0) & (labels != 1)]):
            raise InputError("label", got=f"{len(wrong)} value(s) such as {wrong[0]:g}", expected="0 or 1 each")
        found = [self.codes[name].reindex(self._values(table, name), fill_value=0) for name in self.categories]
        codes = torch.as_tensor(np.array(found, np.int64).reshape(len(found), len(table)).T)
        bags = tuple(self._bag(table, name) for name in self.bags)
        dense = np.nan_to_num((self._numbers(table) - self.mean) / self.deviation)
        dense, labels = (torch.tensor(x, dtype=torch.get_default_dtype()) for x in (dense, labels))
        return Rows(dense, codes, bags, labels, self.cardinalities)

    def _numbers(self, table: pd.DataFrame) -> np.ndarray:
        """The dense columns ``(n, n_dense)``, counts as log(1 + x), nan where missing."""
        found = []
        for name in self.dense:
            if np.isinf(x := _floats(table, name)).any():
                raise InputError(name, got="an infinite value", expected="numbers, missing ones as nan")
            found.append(np.log1p(np.maximum(x, 0)) if name in self.log else x)
        return np.stack(found, axis=1) if found else np.zeros((len(table), 0))

    def _values(self, table: pd.DataFrame, name: str) -> pd.Series:
        """A column's values as text; those of a bag one below the other, with the row as index."""
        column = columns.column(table, name, "table").reset_index(drop=True)
        if name not in self.bags:
            text = column.astype("str")
            if pd.api.types.is_float_dtype(column):  # one gap makes floats of whole numbers: 1.0 is "1"
                whole = (column % 1 == 0) & (column.abs() < 2**53)
                text = text.mask(whole, column.where(whole, 0).astype("int64").astype("str"))
            return text.where(column.notna(), "(missing)")
        if (kind := pd.api.types.infer_dtype(column.astype(object), skipna=True)) not in ("string", "empty"):
            raise InputError(name, got=f"{kind} values", expected="text joined by |, as column.str.join('|') makes")
        values = column.astype("str").where(column.notna()).str.split("|").explode()
        return values[values != ""]

    def _codes(self, count: pd.Series) -> pd.Series:
        """Value -> code for the values that are frequent enough; most frequent first, ties by value."""
        kept = count[count >= self.min_count].rename_axis("value").rename("n").reset_index()
        kept = kept.sort_values(["n", "value"], ascending=[False, True])["value"].astype("str")
        codes = np.arange(len(kept))
        if self.buckets is not None:
            codes = pd.util.hash_array(kept.to_numpy(object), categorize=False) % np.uint64(self.buckets)
        return pd.Series(1 + codes.astype(np.int64), index=kept.to_numpy())

    def _bag(self, table: pd.DataFrame, name: str) -> torch.Tensor:
        """Codes of a bag, one row a row of the table, -1 in empty places."""
        values = self._values(table, name)
        place = values.groupby(level=0).cumcount().to_numpy()  # in its bag
        bag = np.full((len(table), place.max(initial=0) + 1), -1, np.int64)
        bag[values.index, place] = self.codes[name].reindex(values, fill_value=0)
        return torch.as_tensor(bag)


def _floats(table: pd.DataFrame, name: str) -> np.ndarray:
    """A column as floats, nan where missing."""
    column = columns.column(table, name, "table")
    try:
        return column.astype("Float64").to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise InputError(name, got=f"a column of type {column.dtype}", expected="numbers") from error
