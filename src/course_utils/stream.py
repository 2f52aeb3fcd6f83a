"""Criteo's layout read in blocks by any number of processes, each row once and in file order (floor 0); chapter 16."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import re
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
from torch.utils.data import IterableDataset, get_worker_info

from course_utils.data import load_criteo, parse_criteo
from course_utils.errors import DataError, InputError


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
    """The log of :func:`course_utils.clicks.movielens_clicks` in Criteo's layout; taught in chapter 16.

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
        if block_bytes < 1:
            raise InputError("block_bytes", got=block_bytes, expected="1 or more")
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


def peak_growths(calls: Sequence[tuple], *, timeout: float = 240) -> list[int]:
    """Bytes by which each call raises the memory of a fresh process at its peak; taught in chapter 16.

    One process runs all calls in turn, so what a call leaves behind is not counted twice: give small ones first.

    Args:
        calls: ``(function, argument, ...)`` each, with functions of a module, which another process can import.
        timeout: seconds after which the process is ended.

    Raises:
        DataError: the process ended without an answer, or took too long.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_measure, args=(there, list(calls)), daemon=True)
    child.start()
    there.close()
    try:
        if not here.poll(timeout):
            raise DataError(f"calls: no answer from their process after {timeout:g} seconds")
        return here.recv()
    except EOFError:
        child.join(10)
        raise DataError(f"calls: their process ended with code {child.exitcode}") from None
    finally:
        here.close()
        child.kill()  # it has answered, or never will
        child.join()


def _measure(there: multiprocessing.connection.Connection, calls: list[tuple]) -> None:
    growths = []
    for function, *arguments in calls:
        with suppress(OSError):  # Linux: forget the peak so far
            Path("/proc/self/clear_refs").write_text("5")
        before = _peak()
        function(*arguments)
        growths.append(_peak() - before)
    there.send(growths)


def _peak() -> int:
    """The largest memory of this process so far, in bytes."""
    with suppress(OSError):  # Linux; what getrusage says there includes the parent's
        status = Path("/proc/self/status").read_text()
        return 1024 * int(re.search(r"VmHWM:\s*(\d+) kB", status)[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
