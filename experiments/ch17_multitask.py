"""One network for two questions, or two networks? Chapter 17 says what ``results/ch17_multitask.csv`` holds.

The task ``movielens`` of chapter 8 with a second label on the same rows: will this user rate this film 4 or 5
(``liked``), and will she rate it 5 (``loved``)? Parts, features, budget and stopping are those of ``ch08_clicks``.
A multi-task network is judged, on the validation part, by the sum of the two log losses; a network for one question by
its own, so that it may choose a setting of its own. Five seeds with the setting that was chosen. About fifteen minutes.

- ``apart``: two networks of chapter 8 (``DNN``), one a question.
- ``shared bottom`` (Caruana 1997): one set of embeddings and hidden layers, a linear head a question.
- ``MMoE`` (Ma et al. 2018): four small networks, the experts; each question has a gate, a softmax of the input, that
  mixes what they say, and a linear head.
"""

import pandas as pd
import torch
from _tables import movielens, write
from ch08_clicks import HIDDEN, MOST, PATIENCE, SETTINGS, D, encoded, parts
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from course_utils.evaluation import metrics
from course_utils.learning import loop
from course_utils.models.dlrm import inputs, mlp
from course_utils.models.embedding_bags import EmbeddingBags

QUESTIONS = ("liked", "loved")
SEEDS = range(5)
EXPERTS = 4
MORE = ((0.01, 3e-5), (0.03, 3e-5), (0.03, 1e-4), (0.1, 1e-4), (0.1, 3e-4), (0.1, 1e-3))  # MMoE asks for large steps
GRID = (*SETTINGS, *MORE)


class Network(nn.Module):
    """Logits ``(B, questions)`` by experts and gates; with one expert the gates are 1, and it is the shared bottom."""

    def __init__(self, num_dense: int, cardinalities: tuple[int, ...], questions: int, experts: int) -> None:
        super().__init__()
        self.embeddings = EmbeddingBags(cardinalities, D)
        width, hidden = num_dense + len(cardinalities) * D, [size // (2 if experts > 1 else 1) for size in HIDDEN]
        self.experts = nn.ModuleList(mlp([width, *hidden]) for _ in range(experts))
        self.gates = nn.ModuleList(nn.Linear(width, experts) for _ in range(questions)) if experts > 1 else None
        self.heads = nn.ModuleList(nn.Linear(hidden[-1], 1) for _ in range(questions))

    def forward(self, dense: Tensor, indices: object, offsets: object = None) -> Tensor:
        """Features as the click models take them."""
        x = torch.cat([dense, self.embeddings(indices, offsets).flatten(1)], dim=1)  # (B, width)
        said = torch.stack([expert(x) for expert in self.experts], dim=1)  # (B, experts, H)
        mixed = [said[:, 0]] * len(self.heads)
        if self.gates is not None:
            mixed = [(gate(x).softmax(1)[..., None] * said).sum(1) for gate in self.gates]  # (B, H) a question
        return torch.cat([head(each) for head, each in zip(self.heads, mixed, strict=True)], dim=1)


MODELS = {  # questions that one network answers, and its experts
    **{f"apart, {question}": ((question,), 1) for question in QUESTIONS},
    "shared bottom": (QUESTIONS, 1),
    "MMoE": (QUESTIONS, EXPERTS),
}


def tensors(rows: object, stars: Tensor, questions: tuple[str, ...]) -> tuple[Tensor, ...]:
    """What a batch is cut from: features, and the labels ``(n, questions)`` in place of the one label."""
    labels = torch.stack([(stars >= {"liked": 4, "loved": 5}[question]).double() for question in questions], dim=1)
    return (*rows.tensors()[:-1], labels)


def loss(module: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """Cross entropy of each question."""
    logits = module(*inputs(batch))
    pairs = zip(logits.T, batch[-1].T, strict=True)
    return {str(place): binary_cross_entropy_with_logits(*pair) for place, pair in enumerate(pairs)}


def fit(name: str, setting: tuple[float, float], past: tuple, sizes: tuple, seed: int, epochs: int, **stop: object):
    """A trained network and its history."""
    torch.manual_seed(seed)
    questions, experts = MODELS[name]
    module = Network(past[0].shape[1], sizes, len(questions), experts)
    generator = torch.Generator().manual_seed(seed)
    batches = loop.batches(*past, batch_size=1024, generator=generator)
    lr, decay = setting
    return module, loop.fit(module, batches, loss, epochs=epochs, lr=lr, weight_decay=decay, **stop)


def main() -> None:
    """All settings of all networks, then five seeds of each with the setting that was best."""
    inner, validation, test, features = parts("movielens")
    ratings = movielens().ratings.set_index(["user_id", "item_id"])["rating"]
    whole = pd.concat([inner, validation]).sort_index()
    stars = [
        torch.tensor(ratings.loc[pd.MultiIndex.from_frame(part[["user_id", "item_id"]])].to_numpy())
        for part in (inner, validation, whole, test)
    ]
    tried = [*encoded(features, inner, validation), *encoded(features, whole, test)]
    rows, found = [], []
    for name, (questions, _) in MODELS.items():
        past, later, everything, held = (tensors(*each, questions) for each in zip(tried, stars, strict=True))

        def validate(module: nn.Module, later: tuple = later) -> float:
            return sum(loss(module, later).values()).item()

        for setting in GRID:
            stop = {"validate": validate, "patience": PATIENCE}
            _, history = fit(name, setting, past, tried[0].cardinalities, 0, MOST, **stop)
            best = history.attrs["best_epoch"]
            rows.append([name, *setting, best, history["validation"][best]])
            print(*rows[-1], flush=True)
        _, lr, decay, epochs, _ = min((row for row in rows if row[0] == name), key=lambda row: row[-1])
        for seed in SEEDS:
            module, _ = fit(name, (lr, decay), everything, tried[2].cardinalities, seed, epochs)
            with torch.no_grad():
                logits = module(*inputs(held))
            for question, one, label in zip(questions, logits.T, held[-1].T, strict=True):
                measured = metrics.log_loss(one, label), metrics.auc(one, label)
                found.append([name.partition(",")[0], question, seed, lr, decay, epochs, *measured])
                print(*found[-1], flush=True)
    columns = ["model", "lr", "weight_decay", "epochs", "validation"]
    write("ch17_multitask_search", pd.DataFrame(rows, columns=columns), keys=columns[:3])
    columns = ["model", "question", "seed", "lr", "weight_decay", "epochs", "log_loss", "auc"]
    write("ch17_multitask", pd.DataFrame(found, columns=columns), keys=columns[:3])


if __name__ == "__main__":
    main()
