"""What is known of items and users, as tables of numbers; taught in chapters 2 and 15."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from course_utils.data.columns import column
from course_utils.errors import InputError, check_range, refuse

_AGES = [0, 18, 25, 35, 45, 50, 56, 200]  # years, the groups of the larger MovieLens sets


class Features(NamedTuple):
    """Descriptions of items: rows of length 1 (0 where nothing is known), no entry below 0; a name for each column."""

    matrix: sparse.csr_array  # (n_items, n_features)
    names: list[str]  # such as "genre Comedy", "year 1995", "decade 1990" or "title story"


def item_features(items: pd.DataFrame, *, genres: float = 1.0, years: float = 1.0, titles: float = 1.0) -> Features:
    r"""TF-IDF vectors of genres, year of release and title words, as scikit-learn computes them; taught in chapter 2.

    A word that ``df`` of n items have weighs :math:`1 + \ln\frac{1+n}{1+df}`. Each of the three parts is scaled to
    length 1, times the root of its weight, and the whole row again to length 1. The cosine of two items that have all
    three parts is then the weighted mean of three cosines. A part of weight 0 has no columns.

    ``items`` has the columns ``title year genres`` as ``MovieLens.items`` has them, one row an item, in code order. A
    year counts as two words, the year and the decade; a title's words have two letters or more, and are no stop words.
    """
    title, released, kinds = (column(items, name, "items") for name in ("title", "year", "genres"))
    kinds, year = kinds.fillna(""), released.astype("string").fillna("")
    weights = {"genres": genres, "years": years, "titles": titles}
    check_range("0 or more", **weights)
    refuse(not any(weights.values()), "genres, years, titles", "three weights of 0", "one above 0")
    texts = {
        "genres": ("genre " + kinds.str.replace("|", "|genre ")).where(kinds != "", ""),
        "years": ("year " + year + "|decade " + year.str[:3] + "0").where(released.notna(), ""),
        "titles": title.fillna(""),
    }
    blocks, names = [], []
    for part in (part for part in weights if weights[part]):
        words = {"stop_words": "english"} if part == "titles" else {"token_pattern": r"[^|]+", "lowercase": False}
        tfidf = TfidfVectorizer(**words)
        try:
            blocks.append(np.sqrt(weights[part]) * tfidf.fit_transform(texts[part].astype(str)))
        except ValueError as error:  # scikit-learn's "empty vocabulary" says not of what
            raise InputError(f"items, {part}", got="no word of any item", expected=f"words, or {part}=0") from error
        names += [("title " if part == "titles" else "") + name for name in tfidf.get_feature_names_out()]
    return Features(sparse.csr_array(normalize(sparse.hstack(blocks))), names)


def user_features(users: pd.DataFrame) -> np.ndarray:
    """Age group, gender and occupation as zeros and ones, three ones in a row: ``(n_users, d)``; taught in chapter 15.

    ``users`` has the columns ``age gender occupation`` as ``MovieLens.users`` has them, one row a user, in code order.
    """
    age, gender, occupation = (column(users, name, "users") for name in ("age", "gender", "occupation"))
    ages = pd.cut(age, _AGES, right=False)
    return pd.concat(map(pd.get_dummies, (ages, gender, occupation)), axis=1).to_numpy(dtype=float)
