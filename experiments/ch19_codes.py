"""What do codes of films say? Chapter 19 shows ``results/ch19_codes.csv`` and ``results/ch19_levels.csv``.

Codes of the training part of ``ch19_generative.py``, seed 0, in the shape that its search chose, and all kinds again
with three levels of 16 tokens.

- ``ch19_codes.csv``: pairs of films by how many first tokens they share: how alike their genres are (Jaccard), how many
years lie between them, how alike their raters (cosine; pairs of films with 20 training ratings or more).
- ``ch19_levels.csv``: for each level the squared error that is left, tokens in use, bits of a token; after it, how many
different beginnings there are, and films that share theirs with another film.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from _codes import KINDS, SHAPES, chosen, quantized
from _tables import movielens, write
from sklearn.preprocessing import normalize

from course_utils.data import splits


def main() -> None:
    """Run all of it: about a minute."""
    data = movielens()
    train = data.interactions(splits.leave_last_out(data.ratings)[0])
    genres = data.items.genres.str.get_dummies("|").drop(columns="", errors="ignore").to_numpy(dtype=float)
    both = genres @ genres.T
    jaccard = both / np.maximum(1, genres.sum(1)[:, None] + genres.sum(1) - both)
    year = data.items.year.to_numpy(dtype=float)
    years = np.abs(year[:, None] - year)
    raters = normalize(train.csr(binary=True).T)
    cosine = (raters @ raters.T).toarray()
    known = torch.bincount(train.items, minlength=train.n_items).numpy() >= 20
    cosine[~(known[:, None] & known)] = np.nan
    pair = np.triu_indices(len(genres), 1)
    pairs, levels = [], []
    for kind, quantiser in KINDS:
        for shape in sorted({SHAPES[0], chosen(kind)[0]}, reverse=True):
            found = quantized(kind, quantiser, shape, data, train)
            name = {"codes": kind, "quantiser": quantiser, "levels": shape[0], "tokens": shape[1]}
            codes = found.codes.numpy()
            shared = (codes[:, None] == codes).cumprod(2).sum(2)[pair]
            for n in range(shape[0] + 1):
                mine = shared == n
                row = {"shared": n, "pairs": int(mine.sum())}
                for measure, table in {"jaccard": jaccard, "years": years, "cosine": cosine}.items():
                    row[measure] = np.nanmean(table[pair][mine])
                pairs.append(name | row)
            for level in range(shape[0]):
                share = np.bincount(codes[:, level]) / len(codes)
                share = share[share > 0]
                count = pd.DataFrame(codes[:, : level + 1]).value_counts()
                row = {"level": level + 1, "error": found.errors[level + 1] / found.errors[0], "used": len(share)}
                row |= {"bits": -(share * np.log2(share)).sum(), "beginnings": len(count)}
                row |= {"films sharing": int(count[count > 1].sum()), "largest": int(count.max())}
                levels.append(name | row)
            print(*name.values(), len(count), flush=True)
    write("ch19_codes", pd.DataFrame(pairs), keys=["codes", "quantiser", "levels", "tokens", "shared"])
    write("ch19_levels", pd.DataFrame(levels), keys=["codes", "quantiser", "levels", "tokens", "level"])


if __name__ == "__main__":
    main()
