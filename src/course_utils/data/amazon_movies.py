"""Amazon "Movies and TV": star ratings from a file that the reader has."""

from __future__ import annotations

import os

import pandas as pd

from course_utils.data import files
from course_utils.errors import DataError

CITATIONS = (
    "J. McAuley, C. Targett, Q. Shi, A. van den Hengel. Image-based Recommendations on Styles and "
    "Substitutes. SIGIR, 2015.",
    "R. He and J. McAuley. Ups and Downs: Modeling the Visual Evolution of Fashion Trends with One-Class "
    "Collaborative Filtering. WWW, 2016.",
)


def load_amazon_movies(path: str | os.PathLike | None = None) -> pd.DataFrame:
    """Star ratings of Amazon "Movies and TV" in UCSD's ratings-only layout, plain or gzip.

    Each line is ``user,item,rating,unix time``, without a header.

    Args:
        path: the file or the folder that holds it; by default ``amazon-movies/`` below ``COURSE_DATA_DIR``.

    Returns:
        ``user_id item_id`` (text), ``rating`` (1 to 5, float) and ``timestamp`` (seconds since 1970, int), one row a
        line, in file order. Cite ``CITATIONS["amazon-movies"]``.

    Raises:
        DataError: no file, a damaged file, or a malformed line, named by its 1-based number.
    """
    file = files.find_file("amazon-movies", path)
    names = ["user_id", "item_id", "rating", "timestamp"]
    kinds = {"user_id": str, "item_id": str, "rating": "float64", "timestamp": "int64"}
    parts = []
    for first, block in files.text_blocks(file, ",", 4, files.BLOCK):
        part = files.parse_lines(block, ",", names, kinds, file, first)
        files.refuse_lines(part["user_id"].isna() | part["item_id"].isna(), file, first, "a user and an item")
        files.refuse_lines(~part["rating"].between(1, 5), file, first, "a rating from 1 to 5")
        parts.append(part)
    if not parts:
        raise DataError(f"{file}: empty, expected lines of user,item,rating,time")
    return pd.concat(parts, ignore_index=True)
