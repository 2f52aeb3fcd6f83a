"""Numbers that others published, typed once, each with the model of this book that stands beside it.

    python experiments/ch20_published.py

Writes ``results/ch20_published.csv``; chapter 20 puts our numbers beside them, and ``book/evidence.md`` names
the sources.
"""

from __future__ import annotations

import pandas as pd
from _tables import write

# Surprise, README, table "Movielens 100k": five random folds, the defaults of the library.
SURPRISE = {  # their name: (RMSE, MAE, their code here, our model)
    "Baseline": (0.944, 0.748, "Surprise Baseline", "bias model"),
    "Centered k-NN": (0.951, 0.749, "Surprise Centered k-NN", "user kNN"),
    "k-NN Baseline": (0.931, 0.733, "Surprise k-NN Baseline", "user kNN"),
    "SVD": (0.934, 0.737, "Surprise SVD", "MF (embeddings)"),
    "SVD++": (0.919, 0.721, "", "SVD++-like"),
}
# Recommenders, README, "Algorithm Comparison", as it stood until May 2026: MAP, NDCG, precision, recall at 10, for two
# models RMSE. Helpers behind some rows ignored how long a list should be and what to leave out (issue 1941).
RECOMMENDERS = {
    "SAR": (0.110591, 0.382461, 0.330753, 0.176385, None, "SAR, rebuilt"),
    "BPR": (0.132478, 0.441997, 0.388229, 0.212522, None, "MF (BPR)"),
    "LightGCN": (0.088526, 0.419846, 0.379626, 0.144336, None, "LightGCN"),
    "NCF": (0.107720, 0.396118, 0.347296, 0.180775, None, "MF (embeddings)"),
    "BiVAE": (0.146126, 0.475077, 0.411771, 0.219145, None, "implicit ALS"),
    "ALS": (0.004732, 0.044239, 0.048462, 0.017796, 0.965038, "ALS, predicted stars"),
    "SVD": (0.012873, 0.095930, 0.091198, 0.032783, 0.938681, "MF (embeddings), predicted stars"),
}
# The same project since then: pull requests 2372 (SAR), 2371 (BPR) and 2377 (LightGCN, 50 epochs).
RECOMMENDERS_2026 = {
    "SAR": ({"map@10": 0.244722}, "SAR, rebuilt"),
    "BPR": ({"ndcg@10": 0.3623}, ""),
    "LightGCN": ({"map@10": 0.319, "ndcg@10": 0.463, "precision@10": 0.402, "recall@10": 0.218}, ""),
}
# Dive into Deep Learning, new edition (repository smolix/d2l-neu, as printed in 2026): a random tenth, the last film.
D2L = {"MF": ({"rmse": 1.036}, "ALS"), "AutoRec": ({"rmse": 0.904}, "")}
D2L_LAST = {"NeuMF": {"hit_rate@50": 0.352, "auc": 0.883}, "Caser": {"hit_rate@50": 0.381, "auc": 0.882}}
# GC-MC (van den Berg et al. 2017) without and with features, IGMC (Zhang and Chen 2020): RMSE on u1.
U1 = {"GC-MC": 0.910, "GC-MC, features": 0.905, "IGMC": 0.905}
# Krichene and Rendle (2020), tables 1 and 2: AUC, AP, NDCG, recall at 10 of three recommenders, exact and with 99
# sampled negatives.
SAMPLED = {
    "A": ((0.990, 0.010, 0.150, 0.000), (0.990, 0.630, 0.724, 1.000)),
    "B": ((0.555, 0.010, 0.122, 0.000), (0.555, 0.336, 0.444, 0.400)),
    "C": ((0.843, 0.101, 0.208, 0.200), (0.843, 0.325, 0.460, 0.567)),
}
# BARS (Zhu et al. 2022), split Criteo_x1: AUC. DNN and both DCN are means of five seeds, the others are one run each;
# the leaderboard shows the best of DCN v2's five.
BARS = {"logistic regression": 0.7886, "DNN": 0.8137, "DCN v1": 0.8138, "DLRM": 0.8138, "DCN v2": 0.8139}


def rows() -> list[dict]:
    """One row a number: source, model, measure, value, the run of their code here, our model."""
    found = []

    def add(source: str, model: str, values: dict, rerun: str = "", ours: str = "") -> None:
        key = {"source": source, "model": model, "rerun": rerun, "ours": ours}
        found.extend({**key, "measure": m, "value": v} for m, v in values.items() if v is not None)

    for model, (rmse, mae, rerun, ours) in SURPRISE.items():
        add("surprise", model, {"rmse": rmse, "mae": mae}, rerun, ours)
    names = ["map/relevant@10", "ndcg@10", "precision@10", "recall@10", "rmse"]
    for model, (*values, ours) in RECOMMENDERS.items():
        add("recommenders", model, dict(zip(names, values, strict=True)), ours=ours)
    for model, (values, ours) in RECOMMENDERS_2026.items():
        add("recommenders 2026", model, values, ours=ours)
    for model, (values, ours) in D2L.items():
        add("d2l", model, values, ours=ours)
    for model, values in D2L_LAST.items():
        add("d2l last", model, values)
    for model, rmse in U1.items():
        add("u1", model, {"rmse": rmse}, ours="BayesianMF")
    for model, both in SAMPLED.items():
        for kind, values in zip(("exact", "sampled"), both, strict=True):
            names = [f"{kind} {m}" for m in ("auc", "ap", "ndcg", "recall@10")]
            add("krichene", model, dict(zip(names, values, strict=True)))
    for model, auc in BARS.items():
        add("bars", model, {"auc": auc}, ours=model)
    return found


if __name__ == "__main__":
    columns = ["source", "model", "measure", "value", "rerun", "ours"]
    write("ch20_published", pd.DataFrame(rows())[columns], keys=["source", "model", "measure"])
