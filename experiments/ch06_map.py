"""The vectors that the live figure "map of films" of chapter 6 takes along: ``results/ch06_map.csv``.

``MatrixFactorization`` with its defaults, on fold 0 of the common rating protocol: films with ``RATERS`` or more
training ratings, and one user. Along the axes on which these films differ most, most first: a rotation, which changes
no product and no cosine. Whole numbers of 16 bits as base64, in units of ``UNIT``. No rating, no title.
"""

from __future__ import annotations

import base64

import numpy as np
import pandas as pd
import torch
from _tables import movielens, write

from course_utils.data import splits
from course_utils.models.embedding_mf import MatrixFactorization

UNIT = 2.0**-14
RATERS, USER = 80, 0
UP = (("Pulp Fiction", 0), ("Star Wars", 1))  # these films lie right, and up


def main() -> None:
    """Run all of it: a minute."""
    data = movielens()
    past = data.interactions(next(iter(splits.k_fold(data.ratings, seed=0)))[0])
    model = MatrixFactorization(past.n_users, past.n_items).fit(past)
    P, Q = model.user_factors.weight.detach(), model.item_factors.weight.detach()
    often = torch.bincount(past.items, minlength=past.n_items) >= RATERS
    axes = torch.linalg.svd(Q[often], full_matrices=False).Vh.T
    titles = data.items["title"].tolist()
    for film, axis in UP:
        axes[:, axis] *= torch.sign(Q[titles.index(film)] @ axes[:, axis])
    rows = torch.cat([P[USER, None], Q[often]]) @ axes
    whole = (rows / UNIT).round().numpy()
    print(f"{len(rows)} vectors, the largest number is {np.abs(whole).max()}")
    assert np.abs(whole).max() < 2**15
    coded = [base64.b64encode(row.astype("<i2").tobytes()).decode() for row in whole]
    names = [f"user {past.user_ids[USER]}", *past.item_ids[often.numpy()]]
    write("ch06_map", pd.DataFrame({"of": names, "base64": coded}), keys=["of"])


if __name__ == "__main__":
    main()
