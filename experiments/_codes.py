"""What chapter 19's experiments share: vectors of films, their codes, and the settings that the search chose."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from _rq_vae import rq_vae
from _tables import COMMITTED, RESULTS
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import normalize

from course_utils.data import Interactions, MovieLens
from course_utils.data.features import item_features
from course_utils.models.next_code import NextCode
from course_utils.models.semantic_ids import Quantized, residual_kmeans

DIMENSIONS = {"content": 64, "training matrix": 32}
SHAPES = ((3, 16), (3, 32), (2, 64), (2, 128))  # levels, tokens a level
QUANTISERS = {"k-means": residual_kmeans, "RQ-VAE": rq_vae}
KINDS = [("training matrix", "k-means"), ("content", "k-means"), ("shuffled", "k-means")]
KINDS += [("training matrix", "RQ-VAE"), ("content", "RQ-VAE")]


def vectors(kind: str, data: MovieLens, train: Interactions) -> np.ndarray:
    """A vector a film, ``(n_films, d)``: of its genres, year and title words, or of who rated it in training."""
    table = item_features(data.items).matrix if kind == "content" else normalize(train.csr(binary=True).T)
    return TruncatedSVD(DIMENSIONS[kind], algorithm="arpack", random_state=0).fit_transform(sparse.csr_array(table))


def quantized(
    kind: str, quantiser: str, shape: tuple[int, int], data: MovieLens, train: Interactions, seed: int = 0
) -> Quantized:
    """Codes of all films. Those of ``shuffled`` are content codes that went to other films, each seed another way."""
    of = "content" if kind == "shuffled" else kind
    found = QUANTISERS[quantiser](vectors(of, data, train), size=shape[1], depth=shape[0], seed=seed)
    if kind != "shuffled":
        return found
    order = torch.randperm(len(found.codes), generator=torch.Generator().manual_seed(seed))
    return found._replace(codes=found.codes[order])


def chosen(kind: str) -> tuple[tuple[int, int], int]:
    """Levels and tokens a level, and the epochs, that ``results/ch19_search.csv`` has as best; shuffled as content."""
    folder = RESULTS if (RESULTS / "ch19_search.csv").exists() else COMMITTED
    tried = pd.read_csv(folder / "ch19_search.csv")
    mine = tried[tried.codes == ("content" if kind == "shuffled" else kind)]
    best = mine.sort_values("validation", kind="stable").iloc[-1]
    return (int(best.levels), int(best.tokens)), int(best.epochs)


def made(kind: str, quantiser: str, data: MovieLens, train: Interactions, seed: int = 0) -> NextCode:
    """A model with the settings of ``results/ch19_search.csv``, before it is fitted; codes and network of one seed."""
    shape, epochs = chosen(kind)
    return NextCode(quantized(kind, quantiser, shape, data, train, seed).codes, epochs=epochs, seed=seed)
