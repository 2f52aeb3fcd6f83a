"""What was shown and what people said, in one SQLite file that outlives the process; taught in chapter 21."""

import json
import sqlite3
import threading
import time
from pathlib import Path

import pandas as pd

from course_utils.errors import check_choice, refuse

_TABLES = """PRAGMA synchronous=FULL;
CREATE TABLE IF NOT EXISTS shown (row INTEGER PRIMARY KEY, user_id TEXT, version TEXT, items TEXT, timestamp REAL);
CREATE TABLE IF NOT EXISTS feedback (row INTEGER PRIMARY KEY, user_id TEXT, item_id, rating REAL, place INTEGER,
    shown INTEGER, version TEXT, timestamp REAL);
CREATE INDEX IF NOT EXISTS of_user ON feedback (user_id, item_id)"""
_LATEST = """SELECT item_id, rating FROM feedback WHERE row IN
    (SELECT max(row) FROM feedback WHERE user_id = ? GROUP BY item_id) AND rating IS NOT NULL ORDER BY row"""


class Store:
    """Lists that were shown, and feedback, a row each; none is changed, and the last word of a user on an item counts.

    Each row is a commit that waits until the write-ahead log is on the disk (``synchronous=FULL``). So what :meth:`say`
    and :meth:`show` have returned for outlives ``kill -9``, and a loss of power where the disk keeps its word.
    """

    def __init__(self, path: str | Path) -> None:
        self._lock = threading.Lock()
        try:
            self._file = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            mode = self._file.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        except sqlite3.Error as error:
            mode = error
        refuse(mode != "wal", "path", f"{str(path)!r} ({mode})", "a file that can have a write-ahead log")
        self._file.executescript(_TABLES)

    def show(self, user_id: str, version: str, items: list[int | str]) -> int:
        """Keep that a user was shown these items in this order; the number of the row."""
        return self._add("shown", user_id, version, json.dumps(items))

    def say(self, user_id: str, item_id: int | str, rating: float | None, place: int | None, *more: object) -> int:
        """Keep what a user said of an item, None for a rating taken back; ``more`` are row of the list, and version."""
        return self._add("feedback", user_id, item_id, rating, place, *more)

    def _add(self, table: str, *values: object) -> int:
        places = ", ".join("?" * (len(values) + 1))
        with self._lock:  # a statement outside a transaction commits itself
            return self._file.execute(f"INSERT INTO {table} VALUES (NULL, {places})", (*values, time.time())).lastrowid

    def latest(self, user_id: str) -> dict[int | str, float]:
        """Item -> rating of a user, the one rated last at the end."""
        with self._lock:
            return dict(self._file.execute(_LATEST, [user_id]).fetchall())

    def frame(self, table: str = "feedback") -> pd.DataFrame:
        """All rows of ``"feedback"`` or of ``"shown"``, whose ``items`` are lists; the oldest first."""
        check_choice(("feedback", "shown"), table=table)
        with self._lock:
            rows = pd.read_sql(f"SELECT * FROM {table} ORDER BY row", self._file, index_col="row")
        return rows.assign(items=rows["items"].map(json.loads)) if table == "shown" else rows
