"""Amazon "Movies and TV": star ratings from a file that the reader has.

To cite: McAuley, Targett, Shi and van den Hengel, SIGIR 2015; He and McAuley, WWW 2016.
"""

import os

import pandas as pd

from course_utils.data import files, lines
from course_utils.errors import DataError

_KINDS = {"user_id": str, "item_id": str, "rating": "float64", "timestamp": "int64"}


def load_amazon_movies(path: str | os.PathLike | None = None) -> pd.DataFrame:
    """Star ratings in UCSD's layout, lines of ``user,item,rating,unix time``, plain or gzip; taught in chapter 5.

    Columns ``user_id item_id`` (text), ``rating`` (1 to 5, float), ``timestamp`` (seconds since 1970, int), in file
    order. A DataError names the line that is malformed, from 1. ``path`` is the file or the folder that holds it, by
    default ``amazon-movies/`` below ``COURSE_DATA_DIR``.
    """
    file, parts = files.find_file("amazon-movies", path), []
    for first, part in lines.tables(file, ",", _KINDS, lines.CHUNK):
        lines.refuse_lines(part["user_id"].isna() | part["item_id"].isna(), file, first, "a user and an item")
        lines.refuse_lines(~part["rating"].between(1, 5), file, first, "a rating from 1 to 5")
        parts.append(part)
    if not parts:
        raise DataError(f"{file}: empty, expected lines of user,item,rating,time")
    return pd.concat(parts, ignore_index=True)
