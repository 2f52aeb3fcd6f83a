"""Click models on two real tasks. Chapter 8 shows ``results/clicks*.csv``.

Tasks, each split in time: ``movielens`` (the latest fifth of each user's ratings is the test part, chapter 3),
``movielens, global`` (the latest fifth of all ratings: most test users are new; the settings are those of the task
before), ``journey`` (weeks 49 to 53 are the test part). The validation part is the end of the training part.

Every model has the same tuning budget, six settings, judged by log loss on the validation part, and it stops there
too. Then it is trained anew on the whole training part, for as many epochs as were best, with three seeds or five.

- ``clicks``: the test measures of each seed, with the setting that was chosen; and, since the curves showed that two
  epochs of patience are too few for it, DCN v2 with twelve epochs.
- ``clicks_tuning``: validation log loss of each setting, seed 0.
- ``clicks_curves``: task ``movielens``, loss and accuracy after each epoch without stopping, seed 0.
- ``clicks_ablation``: task ``movielens``, logistic regression without one group of features.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
import pandas as pd
import torch
from _tables import movielens, write
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from course_utils import clicks, metrics, splits, train
from course_utils.dlrm import DCN, DLRM, DNN
from course_utils.encode import Encoder, Rows, inputs
from course_utils.fm import FactorizationMachine

SEEDS = {"movielens": range(5), "movielens, global": range(3), "journey": range(3)}
D, HIDDEN = 8, [64, 32]  # embedding width and hidden layers of all networks
SETTINGS = list(product((0.001, 0.003), (1e-5, 1e-4, 1e-3)))  # step size, weight decay
PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # C of the linear models
NETWORKS: dict[str, Callable[[int, tuple[int, ...]], nn.Module]] = {
    "FM": lambda n, sizes: FactorizationMachine(sizes, D, num_dense=n),
    "DNN": lambda n, sizes: DNN(n, sizes, D, HIDDEN),
    "DLRM": lambda n, sizes: DLRM(n, sizes, D, [32, D], [*HIDDEN, 1]),
    "DCN v1": lambda n, sizes: DCN(n, sizes, D, 2, HIDDEN, version=1),
    "DCN v2": lambda n, sizes: DCN(n, sizes, D, 2, HIDDEN, version=2),
}
LINEAR = ("bias model", "logistic regression")
PATIENT = "DCN v2, 12 epochs"
GROUPS = {
    "nothing": [],
    "user and film ids": ["user_id", "item_id"],
    "genres": ["genres"],
    "age, gender, occupation, zip": ["age", "gender", "occupation", "zip_region"],
    "hour and weekday": ["hour", "weekday"],
    "film age": ["film_age"],
    "history of the user": ["user_count", "user_rate"],
    "history of the film": ["item_count", "item_rate"],
}
Parts = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, list[str]]]


def parts(task: str) -> Parts:
    """Inner training part, validation part, test part, and the features of a task."""
    ratings = movielens()
    if task == "journey":
        table = clicks.journey_clicks()
        cut = [table[table["week"].between(*weeks)] for weeks in ((13, 44), (45, 48), (49, 53))]
        return (*cut, clicks.JOURNEY_FEATURES)
    split = splits.temporal_split if task == "movielens, global" else splits.per_user_temporal
    past, test = split(clicks.movielens_clicks(ratings))
    return (*split(past), test, clicks.MOVIELENS_FEATURES)


def encoded(features: dict[str, list[str]], past: pd.DataFrame, *later: pd.DataFrame) -> list[Rows]:
    """The training part and later parts, by an encoder that saw the training part alone."""
    encoder = Encoder(**features, min_count=5).fit(past)
    return [encoder.transform(part) for part in (past, *later)]


def measured(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """The measures of the chapter."""
    return {
        "log_loss": metrics.log_loss(logits, labels),
        "auc": metrics.auc(logits, labels),
        "normalized_entropy": metrics.normalized_entropy(logits, labels),
        "accuracy": ((logits > 0) == (labels > 0.5)).double().mean().item(),
        "mean_p": logits.sigmoid().mean().item(),
    }


def fit_linear(name: str, penalty: float, past: Rows, other: Rows) -> torch.Tensor:
    """Logits of a logistic regression on all features, or on user and item alone, which is the bias model."""
    first = past.dense.shape[1]
    columns = slice(first, first + sum(past.cardinalities[:2])) if name == "bias model" else slice(None)
    model = LogisticRegression(C=penalty, max_iter=1000)
    model.fit(past.one_hot()[:, columns], past.labels.numpy())
    return torch.as_tensor(model.decision_function(other.one_hot()[:, columns]))


def fit_network(
    name: str, setting: tuple[float, float], past: Rows, *, seed: int, epochs: int, **stop: object
) -> tuple[nn.Module, pd.DataFrame]:
    """A trained network and its history; ``stop`` goes to ``train.fit``."""
    torch.manual_seed(seed)
    module = NETWORKS[name](past.dense.shape[1], past.cardinalities)
    history = train.fit(
        module,
        train.batches(*past.tensors(), batch_size=1024, generator=torch.Generator().manual_seed(seed)),
        lambda m, batch: binary_cross_entropy_with_logits(m(*inputs(batch)), batch[-1]),
        epochs=epochs,
        lr=setting[0],
        weight_decay=setting[1],
        **stop,
    )
    return module, history


@torch.no_grad()
def logits_of(module: nn.Module, rows: Rows) -> torch.Tensor:
    """Logits of all rows at once, ``(n,)``."""
    return module(*inputs(rows.tensors()))


def tune(task: str, names: list[str]) -> None:
    """Six settings for each model, on the validation part."""
    inner, validation, _, features = parts(task)
    past, later = encoded(features, inner, validation)
    rows = []
    for name in names:
        for setting in PENALTIES if name in LINEAR else SETTINGS:
            if name in LINEAR:
                penalty, lr, decay, epochs = setting, np.nan, np.nan, 0
                loss = metrics.log_loss(fit_linear(name, penalty, past, later), later.labels)
            else:
                penalty, (lr, decay) = np.nan, setting
                stop = {
                    "validate": lambda m: metrics.log_loss(logits_of(m, later), later.labels),
                    "patience": 2,
                }
                _, history = fit_network(name, setting, past, seed=0, epochs=15, **stop)
                epochs = history.attrs["best_epoch"]
                loss = history.loc[epochs, "validation"]
            rows.append([task, name, penalty, lr, decay, epochs, loss])
            print(*rows[-1], flush=True)
    columns = ["task", "model", "C", "lr", "weight_decay", "epochs", "validation"]
    merge("clicks_tuning", pd.DataFrame(rows, columns=columns), ["task", "model"], columns[2:5])


def chosen(task: str, name: str) -> pd.Series:
    """The best of the six settings; the global split takes those of the other one."""
    task = task.split(",")[0]
    table = pd.read_csv("results/clicks_tuning.csv")
    table = table[(table["task"] == task) & (table["model"] == name)]
    return table.loc[table["validation"].idxmin()]


def seeds_of(
    name: str, best: pd.Series, seeds: range, past: Rows, test: Rows
) -> Iterator[tuple[int, dict[str, float]]]:
    """Test measures of a model, trained on the whole training part with the chosen setting, seed by seed."""
    if name in LINEAR:  # nothing random in it
        yield 0, measured(fit_linear(name, best["C"], past, test), test.labels)
        return
    setting = best["lr"], best["weight_decay"]
    for seed in seeds:
        module, _ = fit_network(name, setting, past, seed=seed, epochs=int(best["epochs"]))
        yield seed, measured(logits_of(module, test), test.labels)


def final(task: str, names: list[str]) -> None:
    """Test measures of the chosen settings, and of the constant that predicts the training part's mean."""
    inner, validation, test, features = parts(task)
    past, later = encoded(features, pd.concat([inner, validation]).sort_index(), test)
    constant = torch.logit(past.labels.mean()).expand(len(later))
    rows = [[task, "majority", 0, *[np.nan] * 4, *measured(constant, later.labels).values()]]
    for name in names:
        best = chosen(task, name)
        for seed, values in seeds_of(name, best, SEEDS[task], past, later):
            rows.append([task, name, seed, *best[["C", "lr", "weight_decay", "epochs"]], *values.values()])
            print(*rows[-1], flush=True)
    columns = [
        "task",
        "model",
        "seed",
        "C",
        "lr",
        "weight_decay",
        "epochs",
        *measured(constant, later.labels),
    ]
    merge("clicks", pd.DataFrame(rows, columns=columns), ["task", "model"], ["seed"])


def patient(task: str, names: list[str]) -> None:
    """DCN v2 for twelve epochs: its validation loss falls a second time after the stopping rule gave up on it."""
    inner, validation, test, features = parts(task)
    past, later = encoded(features, pd.concat([inner, validation]).sort_index(), test)
    best = chosen(task, "DCN v2").copy()
    best["epochs"] = 12
    rows = []
    for seed, values in seeds_of("DCN v2", best, range(3), past, later):
        rows.append([task, PATIENT, seed, *best[["C", "lr", "weight_decay", "epochs"]], *values.values()])
        print(*rows[-1], flush=True)
    columns = ["task", "model", "seed", "C", "lr", "weight_decay", "epochs", *values]
    merge("clicks", pd.DataFrame(rows, columns=columns), ["task", "model"], ["seed"])


def ablate(task: str, names: list[str]) -> None:
    """The same models and settings without one group of features."""
    inner, validation, test, features = parts(task)
    rows = []
    for group, left_out in GROUPS.items():
        kept = {kind: [c for c in columns if c not in left_out] for kind, columns in features.items()}
        past, later = encoded(kept, pd.concat([inner, validation]).sort_index(), test)
        for name in names:
            for seed, values in seeds_of(name, chosen(task, name), range(3), past, later):
                rows.append([name, group, seed, values["auc"], values["log_loss"]])
                print(*rows[-1], flush=True)
    columns = ["model", "without", "seed", "auc", "log_loss"]
    merge("clicks_ablation", pd.DataFrame(rows, columns=columns), ["model"], columns[1:3])


def curve(task: str, names: list[str]) -> None:
    """Loss and accuracy after each of twelve epochs, on the inner training part and on the validation part."""
    inner, validation, _, features = parts(task)
    past, later = encoded(features, inner, validation)
    rows = []
    for name in [name for name in CURVES if name in names]:
        best = chosen(task, name)
        for seed in range(1):
            _, history = fit_network(
                name,
                (best["lr"], best["weight_decay"]),
                past,
                seed=seed,
                epochs=12,
                validate=lambda m: {
                    f"{part} {measure}": measured(logits_of(m, rows), rows.labels)[measure]
                    for part, rows in (("validation", later), ("training", past))
                    for measure in ("log_loss", "accuracy")
                },
            )
            for epoch, values in history.drop(columns="loss").iterrows():
                rows += [[name, seed, *key.split(), epoch, value] for key, value in values.items()]
            print(name, seed, history.round(4).iloc[-1].to_dict(), flush=True)
    columns = ["model", "seed", "part", "measure", "epoch", "value"]
    merge("clicks_curves", pd.DataFrame(rows, columns=columns), ["model"], columns[1:5])


def merge(name: str, table: pd.DataFrame, replaced: list[str], more: list[str]) -> None:
    """Write a table, keeping what an earlier run wrote for other tasks and models."""
    order = ["majority", *LINEAR, *NETWORKS, PATIENT]
    try:
        old = pd.read_csv(f"results/{name}.csv")
    except FileNotFoundError:
        old = table.iloc[:0]
    fresh = pd.MultiIndex.from_frame(table[replaced])
    table = pd.concat(
        [part for part in (old[~pd.MultiIndex.from_frame(old[replaced]).isin(fresh)], table) if len(part)]
    )
    table = table.sort_values("model", key=lambda m: m.map(order.index), kind="stable")
    if "task" in table:
        table = table.sort_values("task", kind="stable")
    write(name, table, keys=[*replaced, *more])


CURVES = ("DLRM", "DCN v1", "DCN v2")
STEPS = {"tune": tune, "final": final, "ablate": ablate, "curve": curve, "patient": patient}
TASKS = ("movielens", "movielens, global", "journey")


def main(step: str = "", task: str = "", *names: str) -> None:
    """All of it (about half an hour), or one step of one task, for the models named or for all."""
    if step:
        STEPS[step](task, list(names) or [*LINEAR, *NETWORKS])
        return
    for each in TASKS:
        if each != "movielens, global":
            tune(each, [*LINEAR, *NETWORKS])
        final(each, [*LINEAR, "DCN v2"] if each == "movielens, global" else [*LINEAR, *NETWORKS])
    curve("movielens", list(NETWORKS))
    patient("movielens", [])
    ablate("movielens", ["logistic regression"])


if __name__ == "__main__":
    main(*sys.argv[1:])
