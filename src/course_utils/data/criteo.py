"""Criteo's layout: a table, chunks, or blocks read by any number of processes; chapters 8 and 16."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from torch.utils.data import IterableDataset, get_worker_info

from course_utils.data import files
from course_utils.errors import DataError, InputError, check_counts

CITATIONS = ("Criteo Labs. Kaggle Display Advertising Challenge, 2014. Non-commercial research use.",)

_INTEGERS = [f"I{i}" for i in range(1, 14)]
_CATEGORIES = [f"C{i}" for i in range(1, 27)]
_CRITEO = {"label": "int64"} | dict.fromkeys(_INTEGERS, "Int64") | dict.fromkeys(_CATEGORIES, str)


def iter_criteo(
    path: str | os.PathLike | None = None, *, chunk_rows: int = 100_000
) -> Iterator[pd.DataFrame]:
    """Stream the Kaggle Display Advertising Challenge's ``train.txt``, plain or gzip; one chunk is in memory.

    Args:
        path: the file or the folder that holds it; by default ``criteo-kaggle/`` below ``COURSE_DATA_DIR``.
        chunk_rows: rows in a chunk (the last may be shorter).

    Returns:
        An iterator of tables: ``label`` (0 or 1), ``I1 .. I13`` (``Int64``; counts, may be negative, ``<NA>`` where
        the field is empty), ``C1 .. C26`` (text of 8 hex digits, missing where the field is empty). The index
        goes on from chunk to chunk: line number - 1.

    Raises:
        InputError: ``chunk_rows`` is not positive.
        DataError: at once when there is no file; while reading for a damaged file or a malformed line, named by its
            1-based number.
    """
    check_counts(chunk_rows=chunk_rows)
    return _criteo_chunks(files.find_file("criteo-kaggle", path), chunk_rows)


def _criteo_chunks(file: Path, chunk_rows: int) -> Iterator[pd.DataFrame]:
    for first, block in files.text_blocks(file, "\t", len(_CRITEO), chunk_rows):
        chunk = _criteo_table(block, file, first)
        chunk.index = pd.RangeIndex(first - 1, first - 1 + len(chunk))
        yield chunk


def _criteo_table(block: bytes, file: Path, first: int) -> pd.DataFrame:
    """The rows of a block of lines, each with the right number of fields, whose first one has that number."""
    chunk = files.parse_lines(block, "\t", list(_CRITEO), _CRITEO, file, first)
    files.refuse_lines(~chunk["label"].isin([0, 1]), file, first, "a label of 0 or 1")
    for name in _CATEGORIES:
        codes = pd.Series(chunk[name].dropna().unique(), dtype=str)  # far fewer than rows
        wrong = codes[~codes.str.fullmatch("[0-9a-f]{8}")]
        files.refuse_lines(chunk[name].isin(wrong), file, first, f"8 hex digits or nothing in {name}")
    return chunk


def parse_criteo(lines: bytes, file: Path, start: int) -> pd.DataFrame:
    """Rows of Criteo's layout from whole lines in memory; ``CriteoStream`` reads them from the middle of a file.

    Args:
        lines: tab-separated lines.
        file: where they come from, for messages.
        start: the byte where they begin, likewise; lines in a message are counted from there.

    Returns:
        A table as :func:`iter_criteo` yields it, numbered from 0.

    Raises:
        DataError: a line is malformed.
    """
    if not lines:
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in _CRITEO.items()})
    part = Path(f"{file} (from byte {start})")
    ((first, block),) = files.line_blocks(io.BytesIO(lines), part, "\t", len(_CRITEO), len(lines))
    return _criteo_table(block, part, first)


def load_criteo(path: str | os.PathLike | None = None, *, rows: int | None = None) -> pd.DataFrame:
    """The first rows of Criteo's ``train.txt`` as one table; the columns are those of :func:`iter_criteo`.

    Args:
        path: the file or the folder that holds it; by default ``criteo-kaggle/`` below ``COURSE_DATA_DIR``.
        rows: rows to read from the top, reading no further; all when left out (45.8 million in the full file:
            use :func:`iter_criteo` for it).

    Returns:
        A table of at most ``rows`` rows, in file order. Cite ``CITATIONS["criteo-kaggle"]``.

    Raises:
        InputError: ``rows`` is not positive.
        DataError: no file, a damaged file, or a malformed line, named by its 1-based number.
    """
    check_counts(rows=1 if rows is None else rows)
    chunks, left = [], rows
    for chunk in iter_criteo(path, chunk_rows=min(rows or files.BLOCK, files.BLOCK)):
        chunks.append(chunk if left is None else chunk.iloc[:left])
        left = None if left is None else left - len(chunks[-1])
        if left == 0:
            break
    if not chunks:
        raise DataError(f"{files.find_file('criteo-kaggle', path)}: empty, expected tab-separated lines")
    return pd.concat(chunks)


# ---- in blocks, by any number of processes ---------------------------------------------------------------------


def blocks(file: Path, size: int) -> int:
    """How many blocks of ``size`` bytes a file has; the last one may be shorter. Taught in chapter 16."""
    return -(-file.stat().st_size // size)


def read_block(file: Path, number: int, size: int) -> bytes:
    """The lines that *begin* in a block of a file: each line belongs to one block, wherever the borders fall.

    Args:
        file: plain text, lines ended by a newline.
        number: of the block, from 0.
        size: bytes of a block.

    Returns:
        Whole lines; empty when a long line covers the block.
    """
    start, stop = number * size, (number + 1) * size
    with file.open("rb") as text:
        if start:
            text.seek(start - 1)
            text.readline()  # up to the first line that begins here
        here = text.tell()
        if here >= stop:
            return b""
        block = text.read(stop - here)
        return block if block.endswith(b"\n") else block + text.readline()


def as_criteo(log: pd.DataFrame) -> pd.DataFrame:
    """The log of :func:`course_utils.data.clicks.movielens_clicks` in Criteo's layout; taught in chapter 16.

    Criteo's rows say nothing of what their columns mean, and categories are hashes. So are these: each text becomes
    8 hex digits.

    Args:
        log: one row an event.

    Returns:
        In the order of the log: ``label``; ``I1`` to ``I6``: age, age of the film, how many earlier ratings of user
        and film, and how many of hundred among them were 4 or 5; ``I7`` to ``I13`` empty; ``C1`` to ``C7``: user, film,
        occupation, gender, region, hour, weekday; ``C8`` to ``C26`` the film's genres, as far as they go.
    """
    shares = {name: (100 * log[name]).round() for name in ("user_rate", "item_rate")}
    counts = [log[name] for name in ("age", "film_age", "user_count", "item_count")] + list(shares.values())
    numbers = {f"I{n}": column.astype("Int64") for n, column in enumerate(counts, 1)}
    empty = dict.fromkeys([f"I{n}" for n in range(len(counts) + 1, 14)], pd.NA)
    names = ["user_id", "item_id", "occupation", "gender", "zip_region", "hour", "weekday"]
    texts = [log[name].astype(str).radd(f"{name}=") for name in names]
    genres = log["genres"].str.split("|", expand=True).reindex(columns=range(26 - len(names)))
    texts += [genres[column] for column in genres]
    codes = {f"C{n}": _hex(column) for n, column in enumerate(texts, 1)}
    return pd.DataFrame({"label": log["label"].astype("int64")} | numbers | empty | codes)


def _hex(column: pd.Series) -> pd.Series:
    """Each text as 8 hex digits, missing ones missing."""
    values = pd.Series(column.dropna().unique(), dtype=object)
    values = values[values != ""]
    hashes = pd.util.hash_array(values.to_numpy(object), categorize=False) >> np.uint64(32)
    return column.map(dict(zip(values, (f"{code:08x}" for code in hashes), strict=True)))


class CriteoStream(IterableDataset):
    """Rows of a file in Criteo's layout, block by block, shared out among workers; taught in chapter 16.

    Block b belongs to reader b mod n. A ``DataLoader(stream, batch_size=None, num_workers=n)`` asks its workers by
    turns, so that the blocks arrive in file order, whatever n is. In a group of processes each has as many readers.

    Args:
        file: plain ``train.txt``; a packed file cannot be entered in the middle.
        block_bytes: size of a block, at least 1. One block a reader is in memory.
        transform: what to do with each block's table, in the worker; the table itself when left out.
        rank: this process's number in a group, from 0.
        world: processes in the group.

    Raises:
        DataError: there is no such file, or it is packed.
        InputError: a number is out of range.
    """

    def __init__(
        self,
        file: str | os.PathLike,
        *,
        block_bytes: int = 1_000_000,
        transform: Callable[[pd.DataFrame], object] | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__()
        self.file, self.block_bytes, self.transform = Path(file), block_bytes, transform
        check_counts(block_bytes=block_bytes)
        if not 0 <= rank < world:
            raise InputError("rank", got=f"{rank} of {world}", expected="a rank below the size of the group")
        if not self.file.is_file():
            raise DataError(f"{self.file}: no such file")
        with self.file.open("rb") as text:
            if text.read(2) == b"\x1f\x8b":
                raise DataError(f"{self.file}: packed by gzip, which has no middle to start from; unpack it")
        self.rank, self.world = rank, world

    def __iter__(self) -> Iterator[object]:
        """The blocks of this reader: tables of :func:`course_utils.data.iter_criteo`, or what became of them."""
        worker = get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        reader, readers = self.rank + self.world * number, self.world * workers
        for block in range(reader, blocks(self.file, self.block_bytes), readers):
            lines = read_block(self.file, block, self.block_bytes)
            table = parse_criteo(lines, self.file, block * self.block_bytes)
            yield table if self.transform is None else self.transform(table)


def count(file: str | os.PathLike, *, block_bytes: int = 250_000) -> int:
    """Rows of a file in Criteo's layout, by going through the stream; chapter 16 watches its memory.

    Args:
        file: as in :class:`CriteoStream`.
        block_bytes: likewise. The peak of memory wavers by a block's table or two, which takes 15 times its text.
    """
    return sum(len(table) for table in CriteoStream(file, block_bytes=block_bytes))


def load(file: str | os.PathLike) -> pd.DataFrame:
    """The whole file as one table, to compare with; chapter 16."""
    return load_criteo(file)
