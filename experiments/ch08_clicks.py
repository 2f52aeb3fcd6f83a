"""Click models on two real tasks. Chapter 8 shows ``results/ch08_clicks*.csv``.

Tasks, each split in time: ``movielens`` (the latest fifth of each user's ratings is the test part, chapter 3),
``movielens, global`` (the latest fifth of all ratings: most test users are new), ``movielens, global, borrowed`` (the
same with the settings of ``movielens``), ``journey`` (weeks 49 to 53 are the test part). The validation part is cut
from the end of the training part in the same way as the test part from the whole.

Every model has the same tuning budget, twelve settings (fourteen for the last two tasks), judged by log loss on the
validation part. Networks stop there after five epochs without a better loss. Then a model is trained anew on the whole
training part, for as many epochs as were best, with three seeds or five.

On another processor the chosen settings are the same, and so are all rows but those of DLRM, DCN v1 and of linear
models with a weak penalty, which differ by less than 0.001 in the log loss (their means over seeds by 0.0001), and
three rows of DNN without a group, by up to 0.0023: a group is worth something only where it is worth more than that.

- ``clicks``: the test measures of each seed, with the setting that was chosen.
- ``clicks_tuning``: validation log loss of each setting, seed 0, and what a patience of two epochs would have kept.
- ``clicks_curves``: task ``movielens``, loss and accuracy after each epoch without stopping, seed 0.
- ``clicks_ablation``: task ``movielens``, without one group of features: logistic regression, and the network with the
  lowest validation loss.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import torch
from _tables import COMMITTED, RESULTS, movielens, write
from sklearn.linear_model import LogisticRegression
from torch import nn

from course_utils.data import clicks, splits
from course_utils.data.encoder import Encoder, Rows
from course_utils.evaluation import metrics
from course_utils.learning import loop
from course_utils.models.dlrm import DCN, DLRM, DNN, click_loss, inputs
from course_utils.models.factorization_machines import FactorizationMachine

TASKS = ("movielens", "movielens, global, borrowed", "movielens, global", "journey")
SEEDS = {task: range(5 if task == "movielens" else 3) for task in TASKS}
D, HIDDEN = 8, [64, 32]  # embedding width and hidden layers of all networks
SETTINGS = (  # step size and weight decay: four pairs in the middle, and all their neighbours
    *((0.001, decay) for decay in (3e-4, 1e-3)),
    *((0.003, decay) for decay in (1e-4, 3e-4, 1e-3, 3e-3)),
    *((0.01, decay) for decay in (1e-4, 3e-4, 1e-3, 3e-3)),
    *((0.03, decay) for decay in (3e-4, 1e-3)),
)
PENALTIES = (0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0, 3.0, 10.0)  # C of the linear models
MORE = {  # step size and weight decay, C: where several models chose from the edge of the others
    "movielens, global": (((0.003, 1e-2), (0.01, 1e-2)), (0.003, 0.01)),
    "journey": (((0.0003, 1e-3), (0.001, 3e-3)), (0.07, 0.12)),
}
PATIENCE, MOST = 5, 100  # epochs without a better validation loss, and epochs at most
NETWORKS: dict[str, Callable[[int, tuple[int, ...]], nn.Module]] = {
    "FM": lambda n, sizes: FactorizationMachine(sizes, D, num_dense=n),
    "DNN": lambda n, sizes: DNN(n, sizes, D, HIDDEN),
    "DLRM": lambda n, sizes: DLRM(n, sizes, D, [32, D], [*HIDDEN, 1]),
    "DCN v1": lambda n, sizes: DCN(n, sizes, D, 2, HIDDEN, version=1),
    "DCN v2": lambda n, sizes: DCN(n, sizes, D, 2, HIDDEN, version=2),
}
LINEAR = ("bias model", "logistic regression")
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
    split = splits.temporal_split if task.startswith("movielens, global") else splits.per_user_temporal
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
    """A trained network and its history; ``stop`` goes to ``loop.fit``."""
    torch.manual_seed(seed)
    module = NETWORKS[name](past.dense.shape[1], past.cardinalities)
    history = loop.fit(
        module,
        loop.batches(*past.tensors(), batch_size=1024, generator=torch.Generator().manual_seed(seed)),
        click_loss,
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


def stopped(losses: pd.Series, patience: int) -> int:
    """The epoch whose weights a patience keeps, of validation losses by epoch."""
    best = losses.index[0]
    for epoch, loss in losses.items():
        if loss < losses[best]:
            best = epoch
        elif epoch - best >= patience:
            break
    return best


def grid(task: str, name: str) -> tuple:
    """The settings that a model may try: equally many for each model of a task."""
    more = MORE.get(task, ((), ()))
    return (*PENALTIES, *more[1]) if name in LINEAR else (*SETTINGS, *more[0])


def tune(task: str, names: list[str]) -> None:
    """All settings of each model, on the validation part."""
    inner, validation, _, features = parts(task)
    past, later = encoded(features, inner, validation)
    rows = []
    for name in names:
        for setting in grid(task, name):
            if name in LINEAR:
                loss = metrics.log_loss(fit_linear(name, setting, past, later), later.labels)
                rows.append([task, name, setting, np.nan, np.nan, 0, loss, 0, loss])
            else:
                stop = {"validate": lambda m: metrics.log_loss(logits_of(m, later), later.labels), "patience": PATIENCE}
                _, history = fit_network(name, setting, past, seed=0, epochs=MOST, **stop)
                losses = history["validation"]
                kept = [value for p in (PATIENCE, 2) for value in (stopped(losses, p), losses[stopped(losses, p)])]
                assert kept[0] == history.attrs["best_epoch"]
                rows.append([task, name, np.nan, *setting, *kept])
            print(*rows[-1], flush=True)
    columns = ["task", "model", "C", "lr", "weight_decay", "epochs", "validation", "epochs_2", "validation_2"]
    merge("ch08_clicks_tuning", pd.DataFrame(rows, columns=columns), ["task", "model"], columns[2:5])


def chosen(task: str, name: str) -> pd.Series:
    """The best of the settings on the validation part, or what another task borrows from ``movielens``."""
    task = "movielens" if task.endswith("borrowed") else task
    file = "ch08_clicks_tuning.csv"
    table = pd.read_csv((RESULTS if (RESULTS / file).exists() else COMMITTED) / file)
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
    columns = ["task", "model", "seed", "C", "lr", "weight_decay", "epochs", *measured(constant, later.labels)]
    merge("ch08_clicks", pd.DataFrame(rows, columns=columns), ["task", "model"], ["seed"])


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
    merge("ch08_clicks_ablation", pd.DataFrame(rows, columns=columns), ["model"], columns[1:3])


def curve(task: str, names: list[str]) -> None:
    """Loss and accuracy after each of twenty epochs, on the inner training part and on the validation part."""
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
                epochs=20,
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
    merge("ch08_clicks_curves", pd.DataFrame(rows, columns=columns), ["model"], columns[1:5])


def merge(name: str, table: pd.DataFrame, replaced: list[str], more: list[str]) -> None:
    """Write a table, keeping what an earlier run wrote for other tasks and models."""
    order = ["majority", *LINEAR, *NETWORKS]
    path = RESULTS / f"{name}.csv"
    old = pd.read_csv(path) if path.exists() else table.iloc[:0]
    fresh = pd.MultiIndex.from_frame(table[replaced])
    table = pd.concat(
        [part for part in (old[~pd.MultiIndex.from_frame(old[replaced]).isin(fresh)], table) if len(part)]
    )
    table = table.sort_values("model", key=lambda m: m.map(order.index), kind="stable")
    if "task" in table:
        table = table.sort_values("task", kind="stable")
    write(name, table, keys=[*replaced, *more])


CURVES = ("DNN", "DLRM", "DCN v1", "DCN v2")
STEPS = {"tune": tune, "final": final, "ablate": ablate, "curve": curve}


def main(step: str = "", task: str = "", *names: str) -> None:
    """All of it (about half an hour on an idle core), or one step of one task, for the models named or for all."""
    if step:
        STEPS[step](task, list(names) or [*LINEAR, *NETWORKS])
        return
    for each in TASKS:
        if not each.endswith("borrowed"):
            tune(each, [*LINEAR, *NETWORKS])
        final(each, [*LINEAR, *NETWORKS])
    curve("movielens", list(CURVES))
    best = min(NETWORKS, key=lambda name: chosen("movielens", name)["validation"])
    ablate("movielens", ["logistic regression", best])


if __name__ == "__main__":
    main(*sys.argv[1:])
