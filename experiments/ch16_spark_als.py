"""ALS of Spark MLlib beside ours: same ratings, same lambda, same folds (chapter 16). Needs Java.

python experiments/ch16_spark_als.py     -> results/ch16_spark_als.csv
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
from _tables import movielens, write
from pyspark.ml import recommendation

from course_utils.data import splits
from course_utils.models.als import ALS
from course_utils.scale import spark

SETTING = {"factors": 10, "regularization": 0.1, "iterations": 10}
COLUMNS = {"userCol": "user_id", "itemCol": "item_id", "ratingCol": "rating"}


def mllib(session, past: pd.DataFrame, future: pd.DataFrame, seed: int = 0) -> pd.Series:
    """MLlib's predictions for the test part, in its order; nan where user or item is new."""
    with tempfile.TemporaryDirectory() as name:
        past.to_parquet(f"{name}/past.parquet")
        future.assign(row=range(len(future))).to_parquet(f"{name}/future.parquet")
        model = recommendation.ALS(
            rank=SETTING["factors"],
            regParam=SETTING["regularization"],
            maxIter=SETTING["iterations"],
            numUserBlocks=2,
            numItemBlocks=2,
            seed=seed,
            **COLUMNS,
        ).fit(session.read.parquet(f"{name}/past.parquet"))
        predicted = model.transform(session.read.parquet(f"{name}/future.parquet"))
        predicted.write.parquet(f"{name}/predicted.parquet")
        table = pd.read_parquet(Path(name, "predicted.parquet"))
    return table.set_index("row")["prediction"].sort_index()


def main() -> None:
    """Five folds, three models, equal settings."""
    data, rows = movielens(), []
    session = spark.session()
    for fold, (past, future) in enumerate(splits.k_fold(data.ratings, seed=0)):
        train, test = data.interactions(past), data.interactions(future)
        predicted = {"MLlib": mllib(session, past, future)}
        for name, biases in (("ours without biases", False), ("ours", True)):
            model = ALS(**SETTING, weighted=True, biases=biases).fit(train)
            predicted[name] = pd.Series(model.predict(test.users, test.items).numpy())
        for name, values in predicted.items():
            error = (
                values.astype(float).fillna(past["rating"].mean()).clip(1, 5).to_numpy() - future["rating"].to_numpy()
            )
            rmse = (error**2).mean() ** 0.5
            rows.append({"model": name, "fold": fold, "rmse": rmse, "without prediction": values.isna().sum()})
    session.stop()
    write("ch16_spark_als", pd.DataFrame(rows).sort_values(["model", "fold"]), keys=["model", "fold"])


if __name__ == "__main__":
    main()
