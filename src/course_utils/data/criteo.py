"""Criteo's layout (Kaggle Display Advertising Challenge, 2014): a table, chunks, or blocks for many processes."""

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from torch.utils.data import IterableDataset, get_worker_info

from course_utils.data import files, lines
from course_utils.errors import DataError, check_counts

_INTEGERS = [f"I{i}" for i in range(1, 14)]
_CATEGORIES = [f"C{i}" for i in range(1, 27)]
_KINDS = {"label": "int64"} | dict.fromkeys(_INTEGERS, "Int64") | dict.fromkeys(_CATEGORIES, str)


def iter_criteo(path: str | os.PathLike | None = None, *, chunk_rows: int = 100_000) -> Iterator[pd.DataFrame]:
    """Stream ``train.txt``, plain or gzip, in tables of ``chunk_rows`` (the last may be shorter); taught in chapter 8.

    ``path`` is the file or the folder that holds it, by default ``criteo-kaggle/`` below ``COURSE_DATA_DIR``. Columns
    ``label`` (0 or 1), ``I1 .. I13`` (``Int64``; counts, may be negative or missing), ``C1 .. C26`` (text of 8 hex
    digits, may be missing). The index goes on from chunk to chunk: line number - 1. A DataError comes at once when
    there is no file, while reading for a malformed line, named by its 1-based number.
    """
    check_counts(chunk_rows=chunk_rows)
    return _chunks(files.find_file("criteo-kaggle", path), chunk_rows)


def load_criteo(path: str | os.PathLike | None = None, *, rows: int | None = None) -> pd.DataFrame:
    """The first ``rows`` of ``train.txt``, or all 45.8 million, as one table like those of :func:`iter_criteo`."""
    check_counts(rows=1 if rows is None else rows)
    file = files.find_file("criteo-kaggle", path)
    if not (chunks := list(_chunks(file, lines.CHUNK, limit=rows))):
        raise DataError(f"{file}: empty, expected tab-separated lines")
    return pd.concat(chunks)


def _chunks(file: Path, rows: int, limit: int | None = None) -> Iterator[pd.DataFrame]:
    for first, chunk in lines.tables(file, "\t", _KINDS, rows, limit):
        chunk.index = pd.RangeIndex(first - 1, first - 1 + len(chunk))
        yield _checked(chunk, str(file), first)


def _checked(chunk: pd.DataFrame, name: str, first: int) -> pd.DataFrame:
    lines.refuse_lines(~chunk["label"].isin([0, 1]), name, first, "a label of 0 or 1")
    for column in _CATEGORIES:
        codes = pd.Series(chunk[column].dropna().unique(), dtype=str)  # far fewer than rows
        wrong = codes[~codes.str.fullmatch("[0-9a-f]{8}")]
        lines.refuse_lines(chunk[column].isin(wrong), name, first, f"8 hex digits or nothing in {column}")
    return chunk


def blocks(file: Path, size: int) -> int:
    """How many blocks of ``size`` bytes a file has, for many processes; the last may be shorter; chapter 16."""
    return -(-file.stat().st_size // size)


def read_block(file: Path, number: int, size: int) -> bytes:
    """The lines that *begin* in a block, from 0, of a plain file: each belongs to one, wherever the borders fall."""
    start, stop = number * size, (number + 1) * size
    with file.open("rb") as text:
        if start:
            text.seek(start - 1)
            text.readline()  # up to the first line that begins here
        if (here := text.tell()) >= stop:  # a long line covers this block
            return b""
        block = text.read(stop - here)
        return block if block.endswith(b"\n") else block + text.readline()


class CriteoStream(IterableDataset):
    """Rows of a file in Criteo's layout, block by block, shared out among workers.

    Block b belongs to worker b mod n. A ``DataLoader(stream, batch_size=None, num_workers=n)`` asks its workers by
    turns, so that the blocks arrive in file order, whatever n is. ``file`` is plain: a packed one cannot be entered in
    the middle. One block a worker is in memory, its table takes 15 times its text; ``transform`` is done to the table.
    """

    def __init__(self, file: str | Path, *, block_bytes: int = 1_000_000, transform: Callable | None = None) -> None:
        super().__init__()
        check_counts(block_bytes=block_bytes)
        self.file, self.block_bytes, self.transform = Path(file), block_bytes, transform
        if not self.file.is_file():
            raise DataError(f"{self.file}: no such file")
        with self.file.open("rb") as text:
            if text.read(2) == b"\x1f\x8b":
                raise DataError(f"{self.file}: packed by gzip, which has no middle to start from; unpack it")

    def __iter__(self) -> Iterator[object]:
        """The blocks of this worker: tables of :func:`iter_criteo`, or what became of them."""
        worker = get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for block in range(number, blocks(self.file, self.block_bytes), workers):
            table = self._table(block)
            yield table if self.transform is None else self.transform(table)

    def _table(self, number: int) -> pd.DataFrame:
        if not (block := read_block(self.file, number, self.block_bytes)):
            return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in _KINDS.items()})
        name = f"{self.file} (from byte {number * self.block_bytes})"  # lines in a message are counted from there
        ((first, table),) = lines.parsed(io.BytesIO(block), name, "\t", _KINDS, len(block))
        return _checked(table, name, first)


def count(file: str | os.PathLike) -> int:
    """Rows of a file in Criteo's layout, by going through the stream; chapter 16 watches its memory."""
    return sum(len(table) for table in CriteoStream(file, block_bytes=250_000))


def as_criteo(log: pd.DataFrame) -> pd.DataFrame:
    """The log of :func:`course_utils.data.clicks.movielens_clicks` in Criteo's layout and order of rows.

    ``I1`` to ``I6`` are age, age of the film, how many earlier ratings of user and film, and how many of hundred among
    them were 4 or 5; ``C1`` to ``C7`` user, film, occupation, gender, region, hour, weekday; ``C8`` to ``C26`` the
    film's genres, as far as they go. As in Criteo's rows, each text is hashed to 8 hex digits.
    """
    numbers = [log[name] for name in ("age", "film_age", "user_count", "item_count")]
    numbers += [(100 * log[name]).round() for name in ("user_rate", "item_rate")]
    names = ["user_id", "item_id", "occupation", "gender", "zip_region", "hour", "weekday"]
    texts = [log[name].astype(str).radd(f"{name}=") for name in names]
    genres = log["genres"].str.split("|", expand=True).reindex(columns=range(len(_CATEGORIES) - len(names)))
    texts += [genres[column] for column in genres]
    columns = {"label": log["label"].astype("int64")} | dict.fromkeys(_INTEGERS, pd.NA)
    columns |= {f"I{n}": column.astype("Int64") for n, column in enumerate(numbers, 1)}
    return pd.DataFrame(columns | {f"C{n}": _hex(column) for n, column in enumerate(texts, 1)})


def _hex(column: pd.Series) -> pd.Series:
    """Each text as 8 hex digits, missing ones missing."""
    values = pd.Series(column.dropna().unique(), dtype=object)
    values = values[values != ""]
    hashes = pd.util.hash_array(values.to_numpy(object), categorize=False) >> np.uint64(32)
    return column.map(dict(zip(values, (f"{code:08x}" for code in hashes), strict=True)))
