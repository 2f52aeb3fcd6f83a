"""The data sets of the book as tables, verified and the same on every machine; ``python -m course_utils.data`` fetches.

Other files that no registry carries are the reader's own, below ``COURSE_DATA_DIR``.
"""

from course_utils.data import splits
from course_utils.data.complete_journey import load_complete_journey
from course_utils.data.files import available
from course_utils.data.interactions import Interactions
from course_utils.data.lines import iter_criteo, load_amazon_movies, load_criteo
from course_utils.data.movielens import MovieLens, load_movielens
from course_utils.data.table import Table, k_core, load_table

__all__ = [
    "Interactions", "MovieLens", "Table", "available", "iter_criteo", "k_core", "load_amazon_movies",
    "load_complete_journey", "load_criteo", "load_movielens", "load_table", "splits",
]  # fmt: skip
