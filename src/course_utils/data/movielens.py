"""MovieLens-100K: three sources, one set of verified files, the same tables from each."""

import csv
import io
import tempfile
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from course_utils.data.files import cache_dir, download_url, download_wheel, read_members, sha256, write_atomic
from course_utils.data.table import Table
from course_utils.errors import DataError, check_choice

CITATION = "F. M. Harper and J. A. Konstan. The MovieLens Datasets: History and Context. ACM TiiS 5(4), 2015."
WHEEL = "recbole==1.2.1"
ARCHIVE_URL = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
ARCHIVE_SHA256 = "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229"
# u.data and u.user as GroupLens publishes them; items.tsv as `_item_file` writes it
MOVIELENS_SHA256 = {
    "u.data": "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490",
    "u.user": "f120e114da2e8cf314fd28f99417c94ae9ddf1cb6db8ce0e4b5995d40e90e62c",
    "items.tsv": "83999a0bee55fc783f0f30525deeec8f722155f7925806a1aeb24e41debf62ec",
}
GENRES = [
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
]  # fmt: skip
_memory: dict[str, bytes] = {}  # what a read-only cache could not take, for this process


@dataclass(frozen=True, eq=False, repr=False)
class MovieLens(Table):
    """MovieLens-100K; taught in chapter 0.

    Attributes:
        ratings: ``user_id item_id rating timestamp``, 100,000 rows in the order of GroupLens' ``u.data``; stars
            1 to 5 as float, seconds since 1970 as int.
        users: ``user_id age gender occupation zip_code``, 943 rows; the zip code is text.
        items: ``item_id title year genres``, 1,682 rows; the year is ``Int64`` (one is missing), the genres are
            text such as ``"Action|Comedy"``, empty where GroupLens says "unknown".
    """

    citation: str = CITATION


def load_movielens(name: str = "ml-100k") -> MovieLens:
    """MovieLens-100K from the cache, else a registry wheel, else GroupLens' archive; taught in chapter 0.

    A source counts only when its files match the published sha256, so the tables are the same whichever served; a
    DataError says why each failed and what to do. Each call makes fresh tables.
    """
    check_choice(("ml-100k",), name=name)
    folder = cache_dir() / name
    if (files := _cached(folder)) is None:
        files = _fetched(folder)
        _keep(folder, files)
    return _tables(files)


def _cached(folder: Path) -> dict[str, bytes] | None:
    """The files of a cache folder, or None when one is missing or is not what its checksum promises."""
    files = {}
    for name, known in MOVIELENS_SHA256.items():
        content = b""
        with suppress(OSError):
            if (folder / name).is_file():  # reading a pipe would wait for ever
                content = (folder / name).read_bytes()
        files[name] = content if sha256(content) == known else _memory.get(name)
    return None if None in files.values() else files


def _fetched(folder: Path) -> dict[str, bytes]:
    """The three files from the first source that has them as published; what was wrong with each if none has."""
    failures = []
    with tempfile.TemporaryDirectory(prefix="course_utils-") as scratch:
        for label, read in (("registry wheel", _from_wheel), ("GroupLens' archive", _from_archive)):
            try:
                files = read(folder, Path(scratch))
                for name, known in MOVIELENS_SHA256.items():
                    if (found := sha256(files[name])) != known:
                        raise DataError(f"{name} has sha256 {found}, expected {known}")
                return files
            except DataError as error:
                failures.append(f"  {label}: {error}")
    failed = "\n".join(failures)
    pip = " (this Python has no pip: first python -m ensurepip, or uv pip install pip)"
    raise DataError(f"""MovieLens-100K: no source served it.
  cache: {folder} lacks {", ".join(MOVIELENS_SHA256)} or they are damaged
{failed}
What to do, one of:
  - with a network, run: python -m course_utils.data{pip if "No module named pip" in failed else ""}
  - download {ARCHIVE_URL} elsewhere and put it at {folder.with_suffix(".zip")}
  - copy the folder ml-100k of a filled cache to {folder}
  - set COURSE_CACHE to a folder that holds a filled ml-100k""")


def _keep(folder: Path, files: dict[str, bytes]) -> None:
    """Write the files to the cache, or hold them in memory when the cache takes no writing."""
    try:
        for name, content in files.items():
            write_atomic(folder / name, content)
    except OSError as error:
        _memory.update(files)
        said = f"cannot write the cache {folder} ({error.strerror or error}); the data stays in memory and is fetched "
        said += "again by the next process. Set COURSE_CACHE to a folder that you can write to."
        warnings.warn(said, stacklevel=3)


def _from_wheel(folder: Path, scratch: Path) -> dict[str, bytes]:
    """RecBole's wheel carries the data with a header line and tabs throughout."""
    inside = "recbole/dataset_example/ml-100k/ml-100k."
    raw = read_members(download_wheel(WHEEL, scratch), {kind: inside + kind for kind in ("inter", "user", "item")})
    body = {kind: content.partition(b"\n")[2] for kind, content in raw.items()}
    frame = _text_table(body["item"], "\t", ["item_id", "title", "year", "genres"])
    full = (frame["title"] + " (" + frame["year"] + ")").mask(frame["title"] == "unkonwn", "unknown")
    return {
        "u.data": body["inter"],
        "u.user": body["user"].replace(b"\t", b"|"),
        "items.tsv": _item_file(frame["item_id"], full, frame["genres"].str.replace(" ", "|")),
    }


def _from_archive(folder: Path, scratch: Path) -> dict[str, bytes]:
    """GroupLens' own zip; one that was put beside the cache folder by hand saves the download."""
    if not (placed := folder.with_suffix(".zip")).is_file():
        placed = download_url(ARCHIVE_URL, ARCHIVE_SHA256, scratch)
    elif (found := sha256(placed.read_bytes())) != ARCHIVE_SHA256:
        raise DataError(f"{placed} has sha256 {found}, expected {ARCHIVE_SHA256}")
    raw = read_members(placed, {name: f"ml-100k/{name}" for name in ("u.data", "u.user", "u.item")})
    names = ["item_id", "title", "date", "video_date", "url", *GENRES]
    frame = _text_table(raw["u.item"], "|", names, encoding="latin-1")
    genres = np.where(frame[GENRES] == "1", np.array(GENRES, dtype=object) + "|", "").sum(axis=1)
    items = _item_file(frame["item_id"], frame["title"], pd.Series(genres).str.rstrip("|"))
    return {"u.data": raw["u.data"], "u.user": raw["u.user"], "items.tsv": items}


def _item_file(item_id: pd.Series, full_title: pd.Series, genres: pd.Series) -> bytes:
    """Settle the differences between the sources: ``item_id title year genres``, tab-separated, with a header line.

    White space is trimmed, a ``(V)`` (video) behind the year dropped; year and genres are empty where not known.
    """
    title = full_title.str.split().str.join(" ")
    parts = title.str.extract(r"^(?P<title>.*?) ?\((?P<year>\d{4})\)(?: \(V\))?$")
    year, genres = parts["year"].fillna(""), genres.mask(genres == "unknown", "")
    columns = {"item_id": item_id, "title": parts["title"].fillna(title), "year": year, "genres": genres}
    return pd.DataFrame(columns).to_csv(sep="\t", index=False, lineterminator="\n", quoting=csv.QUOTE_NONE).encode()


def _text_table(content: bytes, sep: str, names: list[str], *, encoding: str = "utf-8") -> pd.DataFrame:
    """A headerless file as a table of text; every empty field stays the empty text."""
    try:
        options = {"index_col": False, "dtype": str, "na_filter": False, "quoting": csv.QUOTE_NONE}
        return pd.read_csv(io.BytesIO(content), sep=sep, names=names, encoding=encoding, **options)
    except ValueError as error:  # a wrong number of fields, or bytes that are not text
        raise DataError(f"item file does not parse: {error}") from error


def _tables(files: dict[str, bytes]) -> MovieLens:
    names = ["user_id", "item_id", "rating", "timestamp"]
    ratings = pd.read_csv(io.BytesIO(files["u.data"]), sep="\t", names=names).astype({"rating": float})
    users = _text_table(files["u.user"], "|", ["user_id", "age", "gender", "occupation", "zip_code"])
    items = _text_table(files["items.tsv"].partition(b"\n")[2], "\t", ["item_id", "title", "year", "genres"])
    users = users.astype({"user_id": "int64", "age": "int64"})
    years = pd.to_numeric(items["year"], errors="coerce").astype("Int64")
    return MovieLens(ratings, users, items.astype({"item_id": "int64"}).assign(year=years))
