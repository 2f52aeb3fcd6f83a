"""A reader's own table of ratings, purchases or plays, checked and told apart; the page "Your own data" teaches it."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from course_utils.data import columns, formats
from course_utils.data.interactions import Interactions
from course_utils.errors import DataError, InputError, check_choice, check_counts, refuse

_PAIR = ["user_id", "item_id"]
_TOGETHER = {"mean": "mean", "sum": "sum", "count": "size"}


@dataclass(frozen=True, eq=False)
class Table:
    """Ratings with all that is known of users and items; taught in chapter 0, and on the page "Your own data"."""

    ratings: pd.DataFrame  # user_id item_id, if known rating (float), timestamp (int, seconds since 1970); a row a pair
    users: pd.DataFrame  # user_id, one row each
    items: pd.DataFrame  # item_id, one row each, and title where there is one
    citation: str = ""  # what to cite
    notes: tuple[str, ...] = ()  # what load_table took the file for, and what it changed

    def __repr__(self) -> str:
        counts = f"{len(self.ratings):,} rows, {len(self.users):,} users, {len(self.items):,} items"
        return f"{type(self).__name__}({counts})"

    @property
    def rating_range(self) -> tuple[float, float] | None:
        """Smallest and largest rating; None where nothing was rated, or all alike."""
        stars = self.ratings.get("rating", pd.Series([0.0]))
        low, high = float(stars.min()), float(stars.max())
        return (low, high) if low < high else None

    @property
    def counted(self) -> bool:
        """Whether the ratings are counts by the look of them: the largest is more than twenty times the median."""
        low, high = self.rating_range or (-1, 0)
        return low >= 0 and high > 20 * max(self.ratings["rating"].median(), 1)

    def interactions(self, ratings: pd.DataFrame | None = None) -> Interactions:
        """Some of the ratings, or all, coded with every user and item: the sides of a split share their codes."""
        ids = {"user_ids": self.users.user_id, "item_ids": self.items.item_id}
        part = self.ratings if ratings is None else ratings
        return Interactions.from_frame(part, **ids, rating_range=self.rating_range)

    def title(self, item: object) -> str:
        """The title of an item id, or the id where there is none."""
        if (found := self.items.loc[self.items["item_id"] == item]).empty:
            raise InputError("item", got=repr(item), expected=f"one of the {len(self.items)} item ids")
        return str(found.iloc[0].get("title", item))

    def summary(self) -> pd.Series:
        """The numbers with which chapter 0 gets to know a table: sizes, density, long tail, times."""
        rows, n_users, n_items = len(self.ratings), len(self.users), len(self.items)
        if not rows:
            raise DataError("the table has no rows: did k_core drop them all? Smaller limits keep more")
        counts = self.ratings["item_id"].value_counts()
        top = counts.head(max(1, n_items // 10)).sum()
        found = {"users": n_users, "items": n_items, "rows": rows, "density": rows / (n_users * n_items)}
        found["median a user"] = self.ratings["user_id"].value_counts().median()
        found["share of the top tenth of the items"] = top / rows
        if self.rating_range:
            found |= {"mean rating": self.ratings["rating"].mean(), "rating range": self.rating_range}
        if "timestamp" in self.ratings:
            times = self.ratings["timestamp"]
            days = pd.to_datetime([times.min(), times.max()], unit="s").strftime("%Y-%m-%d")
            same = self.ratings.duplicated(["user_id", "timestamp"], keep=False).mean()
            found |= {"first day": days[0], "last day": days[1], "rows that share user and second": same}
        return pd.Series(found, dtype=object)


def load_table(
    source: str | Path | pd.DataFrame,
    *,
    user: str | int,
    item: str | int,
    rating: str | int | None = None,
    timestamp: str | int | None = None,
    title: str | int | None = None,
    duplicates: str = "error",
    missing: str = "error",
    name: str | None = None,
) -> Table:
    """Read a table of who had what, and print what it was taken for.

    Separator, encoding and unit of time are found out. A column named by its place, from 0, says: there is no header.

    Args:
        source: a file (``.csv``, ``.tsv``, ``::``, any of them ``.gz``, ``.parquet``), or a DataFrame.
        user: the column of user ids; ids that are whole numbers become integers, all others stay text.
        item: the column of item ids.
        rating: the column of ratings or counts; without one each row counts 1.
        timestamp: the column of times: seconds, milliseconds, microseconds or nanoseconds since 1970, or dates.
        title: a column with the items' titles; from a second file, ``merge`` them into a DataFrame first.
        duplicates: for a pair that comes twice: ``"error"``, ``"last"`` (in time, else in the file), ``"mean"``,
            ``"sum"`` of the ratings, or ``"count"`` of the rows.
        missing: for a row with a gap: ``"error"``, or ``"drop"``.
        name: what to call it in messages.

    A DataError says that the file is no table, or has rows that ``duplicates`` or ``missing`` must decide about, an
    InputError that a column is not there, or holds something else.
    """
    check_choice(("error", "last", *_TOGETHER), duplicates=duplicates)
    check_choice(("error", "drop"), missing=missing)
    asked = {"user_id": user, "item_id": item, "rating": rating, "timestamp": timestamp, "title": title}
    asked = {ours: theirs for ours, theirs in asked.items() if theirs is not None}
    notes: list[str] = []
    if isinstance(source, pd.DataFrame):
        name, raw = name or "the table", source
    else:
        name = name or Path(source).name
        raw = formats.read(Path(source).expanduser(), isinstance(user, int), notes)
    table = pd.DataFrame({ours: _asked(raw, theirs, ours) for ours, theirs in asked.items()}).reset_index(drop=True)
    if (table := _without_gaps(table, name, missing, notes)).empty:
        raise DataError(f"{name}: no rows")
    for ids in ("user_id", "item_id"):
        table[ids] = formats.ids(table[ids])
    if "rating" in table:
        table["rating"] = formats.numbers(table["rating"], name, "rating")
    if "timestamp" in table:
        table["timestamp"] = formats.seconds(table["timestamp"], name, notes)
    titles = table.drop_duplicates("item_id").get(["item_id", "title"] if title is not None else ["item_id"])
    table = _once(table.drop(columns="title", errors="ignore"), name, duplicates, notes)
    users = pd.DataFrame({"user_id": np.sort(table["user_id"].unique())})
    made = Table(table, users, titles.sort_values("item_id", ignore_index=True))
    if made.counted:
        high, middle = made.ratings["rating"].agg(["max", "median"])
        notes.append(f"ratings up to {high:g} with a median of {middle:g}: counts, no stars? np.log1p tames them")
    print(f"{name}: {made!r}", *notes, sep="; ")
    return replace(made, notes=tuple(notes))


def k_core(table: Table | pd.DataFrame, users: int = 5, items: int = 5) -> Table | pd.DataFrame:
    """The largest part in which each user has so many rows and each item too, found by dropping until none is left.

    It changes what is measured: the rare users and items are gone from training and test alike. Of a ``Table`` the
    users and items that remain are kept, of a DataFrame with ``user_id item_id`` the rows.
    """
    check_counts(users=users, items=items)
    ratings = table.ratings if isinstance(table, Table) else table
    for name in _PAIR:
        columns.column(ratings, name, "table")
    before = len(ratings) + 1
    while len(ratings) < before:
        before = len(ratings)
        sizes = (ratings.groupby(name)[name].transform("size") for name in _PAIR)
        ratings = ratings[(next(sizes) >= users) & (next(sizes) >= items)]
    if not isinstance(table, Table):
        return ratings
    people = table.users[table.users["user_id"].isin(ratings["user_id"])].reset_index(drop=True)
    goods = table.items[table.items["item_id"].isin(ratings["item_id"])].reset_index(drop=True)
    return replace(table, ratings=ratings.reset_index(drop=True), users=people, items=goods)


def _asked(raw: pd.DataFrame, place: str | int, argument: str) -> pd.Series:
    if isinstance(place, int) and not isinstance(place, bool) and place not in raw.columns:
        refuse(not 0 <= place < raw.shape[1], argument.removesuffix("_id"), place, f"a place in 0..{raw.shape[1] - 1}")
        return raw.iloc[:, place]
    if (raw.columns == place).sum() != 1:
        header = ", ".join(map(repr, raw.columns[:12]))
        way = "where these are data and no header, give places: user=0, item=1"
        way = "are titles in another file? Merge the two first" if argument == "title" else way
        expected = f"one of the columns {header}; {way}"
        raise InputError(argument.removesuffix("_id"), got=repr(place), expected=expected)
    return raw[place]


def _without_gaps(table: pd.DataFrame, name: str, missing: str, notes: list[str]) -> pd.DataFrame:
    needed = table.drop(columns="title", errors="ignore")
    gaps = needed.isna() | needed.isin([np.inf, -np.inf])
    rows, counts = gaps.any(axis=1), gaps.sum()
    if not rows.any():
        return table
    said = ", ".join(f"{n} without {column}" for column, n in counts.items() if n)
    if missing == "error":
        out_of = f"{rows.sum()} of {len(table)} rows have a gap ({said})"
        raise DataError(f'{name}: {out_of}: missing="drop" leaves them out')
    notes.append(f"{rows.sum()} rows left out ({said})")
    return table[~rows].reset_index(drop=True)


def _once(table: pd.DataFrame, name: str, duplicates: str, notes: list[str]) -> pd.DataFrame:
    """One row a pair."""
    repeated = table.duplicated(_PAIR)
    if duplicates == "count":
        table = table.assign(rating=1.0)
    if not repeated.any():
        return table
    if duplicates == "error":
        who, what = (table.loc[repeated, ids].tolist()[0] for ids in _PAIR)
        raise DataError(
            f"{name}: {repeated.sum()} rows repeat a pair, the first is user {who!r}, item {what!r}: say duplicates= "
            'one of "last" or "mean" (of stars), "sum" (of amounts), "count" (of plays, purchases, clicks)'
        )
    notes.append(f"{repeated.sum()} repeated rows: {duplicates}")
    in_time = table.sort_values("timestamp", kind="stable") if "timestamp" in table else table
    last = in_time.drop_duplicates(_PAIR, keep="last").sort_index()
    if duplicates == "last":
        return last.reset_index(drop=True)
    ratings = table["rating"] if "rating" in table else pd.Series(1.0, table.index)
    together = ratings.groupby([table["user_id"], table["item_id"]]).agg(_TOGETHER[duplicates])
    last = last.assign(rating=together.loc[pd.MultiIndex.from_frame(last[_PAIR])].to_numpy(float))
    return last.reset_index(drop=True)
