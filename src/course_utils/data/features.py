"""What is known of items and users, as tables of numbers; taught in chapters 2 and 15."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from course_utils.data.columns import column
from course_utils.errors import InputError


class Features(NamedTuple):
    """Descriptions of items; taught in chapter 2.

    Attributes:
        matrix: ``(n_items, n_features)``, at least 0, rows of length 1 (0 where nothing is known of an item).
        names: one a column, such as ``"genre Comedy"``, ``"year 1995"``, ``"decade 1990"`` or ``"title story"``.
    """

    matrix: sparse.csr_array
    names: list[str]


def item_features(
    items: pd.DataFrame, *, genres: float = 1.0, years: float = 1.0, titles: float = 1.0
) -> Features:
    r"""TF-IDF vectors of genres, year of release and title words, as scikit-learn computes them.

    A word that ``df`` of n items have weighs :math:`1 + \ln\frac{1+n}{1+df}`. Each of the three parts is scaled to
    length 1, times the root of its weight, and the whole row again to length 1. The cosine of two items that have all
    three parts is then the weighted mean of three cosines.

    Args:
        items: columns ``title year genres`` as ``MovieLens.items`` has them, one row an item, in code order.
        genres: weight of the genres, 0 or above.
        years: weight of the year; it counts as two words, the year and the decade.
        titles: weight of the title words of two letters or more, English stop words dropped.

    Returns:
        The vectors and the names of their columns; a part of weight 0 has no columns.

    Raises:
        InputError: a column is missing, a weight is negative, all are 0, or a part has no word of any item.
    """
    title, released, kinds = (column(items, name, "items") for name in ("title", "year", "genres"))
    title, kinds = title.fillna(""), kinds.fillna("")
    weights = {"genres": genres, "years": years, "titles": titles}
    for name, weight in weights.items():
        if not 0 <= weight < np.inf:
            raise InputError(name, got=weight, expected="a weight, 0 or above")
    if not any(weights.values()):
        raise InputError("genres, years, titles", got="three weights of 0", expected="one above 0")
    known = released.notna()
    year = released.astype("string").fillna("")
    decade = ("decade " + year.str[:3] + "0").where(known, "")
    words = {
        "genres": ("genre " + kinds.str.replace("|", "|genre ")).where(kinds != "", ""),
        "years": ("year " + year + "|" + decade).where(known, ""),
    }
    blocks, names = [], []
    for part, weight in weights.items():
        if not weight:
            continue
        if part == "titles":
            text, tfidf = title, TfidfVectorizer(stop_words="english")
        else:
            text, tfidf = words[part], TfidfVectorizer(tokenizer=_split, token_pattern=None, lowercase=False)
        try:
            blocks.append(np.sqrt(weight) * tfidf.fit_transform(text.astype(str)))
        except ValueError as error:  # scikit-learn's "empty vocabulary" says not of what
            expected = f"words, or {part}=0"
            raise InputError(f"items, {part}", got="no word of any item", expected=expected) from error
        names += [("title " if part == "titles" else "") + name for name in tfidf.get_feature_names_out()]
    return Features(sparse.csr_array(normalize(sparse.hstack(blocks))), names)


def _split(text: str) -> list[str]:
    return [word for word in text.split("|") if word]


AGES = (0, 18, 25, 35, 45, 50, 56, 200)  # years, the groups of the larger MovieLens sets


def user_features(users: pd.DataFrame) -> np.ndarray:
    """Age group, gender and occupation as zeros and ones; taught in chapter 15.

    Args:
        users: columns ``age gender occupation`` as ``MovieLens.users`` has them, one row a user, in code order.

    Returns:
        ``(n_users, d)``; three ones in each row.

    Raises:
        InputError: a column is missing.
    """
    age, gender, occupation = (column(users, name, "users") for name in ("age", "gender", "occupation"))
    ages = pd.cut(age, list(AGES), right=False)
    kinds = [pd.get_dummies(values) for values in (ages, gender, occupation)]
    return pd.concat(kinds, axis=1).to_numpy(dtype=float)
