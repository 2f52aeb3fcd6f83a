"""What the last bit of a weight becomes in the log loss of a click model.

Chapter 8 shows ``results/ch08_last_bits.csv``.

Task ``movielens`` of ``experiments/ch08_clicks.py``, the setting that each model chose there, the test part.
Two recipes:
``all`` is that of ``ch08_clicks.py``, where weight decay pulls on every parameter; ``not biases`` spares the biases and
changes nothing else. ``shaken`` 0 is the run as it is. In the others each starting weight w is multiplied by
1 + 1e-12 cos(1e6 w + shaken), a change in its last digits. Seed 0 has every epoch and five of these runs, the other
seeds the recipe ``not biases`` and the last epoch alone.

For ``all`` a table made on another processor has other digits from the eighth epoch of DLRM on: this is what the table
shows. The columns ``near`` and ``switches`` say why. ``near`` counts units of the first layer after DLRM's dot products
(of DCN's first deep layer) whose input is within 0.001 of zero for all rows of the epoch's last batch. ``switches``
counts how often in the epoch such a layer's units fell silent on a whole batch, or woke.
"""

from __future__ import annotations

import pandas as pd
import torch
from _tables import write
from ch08_clicks import NETWORKS, chosen, encoded, logits_of, parts

from course_utils.data.encoder import Rows
from course_utils.evaluation import metrics
from course_utils.learning import loop
from course_utils.models.dlrm import click_loss

SHAKEN = range(5)
SEEDS = range(5)
LAYERS = {"DLRM": "top_mlp.0", "DCN v2": "deep.0"}  # whose ReLU units are watched
RECIPES = ("all", "not biases")


@torch.no_grad()
def shake(module: torch.nn.Module, phase: int) -> None:
    """Change the last digits of all weights: equal weights stay equal, and 0 is the identity."""
    for weight in module.parameters() if phase else ():
        weight *= 1 + 1e-12 * torch.cos(1e6 * weight + phase)


def optimizer(module: torch.nn.Module, setting: pd.Series, recipe: str) -> torch.optim.Adam:
    """The Adam of ``loop.fit``, with its weight decay on all parameters, or on all but the biases."""
    spared = [p for name, p in module.named_parameters() if recipe == "not biases" and name.endswith("bias")]
    decayed = [p for p in module.parameters() if not any(p is other for other in spared)]
    groups = [{"params": decayed, "weight_decay": setting["weight_decay"]}]
    return torch.optim.Adam([*groups, {"params": spared}] if spared else groups, lr=setting["lr"])


class Watch:
    """Counts units that sit at the kink of a ReLU, and units that fall silent or wake, in one linear layer."""

    def __init__(self, layer: torch.nn.Linear) -> None:
        self.near, self.switches, self.awake = 0, 0, None
        layer.register_forward_hook(self.look)

    def look(self, module: torch.nn.Module, _: object, out: torch.Tensor) -> None:
        """Before the ReLU; only while the module trains."""
        if not module.training:
            return
        awake = (out > 0).any(dim=0)
        self.near = int((out.abs() < 1e-3).all(dim=0).sum())
        self.switches += int((awake != self.awake).sum()) if self.awake is not None else 0
        self.awake = awake


def path(name: str, recipe: str, seed: int, phase: int, past: Rows, test: Rows) -> pd.DataFrame:
    """Measures on the test part after each epoch of one training run."""
    setting = chosen("movielens", name)
    torch.manual_seed(seed)
    module = NETWORKS[name](past.dense.shape[1], past.cardinalities)
    shake(module, phase)
    watch = Watch(module.get_submodule(LAYERS[name]))

    def measured(trained: torch.nn.Module) -> dict[str, float]:
        logits = logits_of(trained, test)
        switches, watch.switches = watch.switches, 0
        return {
            "log_loss": metrics.log_loss(logits, test.labels),
            "auc": metrics.auc(logits, test.labels),
            "near": watch.near,
            "switches": switches,
        }

    history = loop.fit(
        module,
        loop.batches(*past.tensors(), batch_size=1024, generator=torch.Generator().manual_seed(seed)),
        click_loss,
        epochs=int(setting["epochs"]),
        optimizer=optimizer(module, setting, recipe),
        validate=measured,
    )
    print(name, recipe, seed, phase, history["log_loss"].iloc[-1], flush=True)
    table = history.drop(columns="loss").astype({"near": int, "switches": int}).reset_index()
    for place, (column, value) in enumerate({"model": name, "decay": recipe, "seed": seed, "shaken": phase}.items()):
        table.insert(place, column, value)
    return table


def main() -> None:
    """All of it, about five minutes on an idle core."""
    inner, validation, test, features = parts("movielens")
    past, later = encoded(features, pd.concat([inner, validation]).sort_index(), test)
    tables = []
    for name in LAYERS:
        for recipe in RECIPES:
            tables += [path(name, recipe, 0, phase, past, later) for phase in SHAKEN]
        tables += [path(name, "not biases", seed, 0, past, later).tail(1) for seed in SEEDS if seed]
    keys = ["model", "decay", "seed", "shaken", "epoch"]
    write("ch08_last_bits", pd.concat(tables), keys=keys, digits=17)  # all digits: the differences matter


if __name__ == "__main__":
    main()
