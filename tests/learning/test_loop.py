"""The training loop: its tally, its stop, its memory of the best weights, and what it refuses."""

import math

import pandas as pd
import pytest
import torch
from shared import refusals
from torch import nn
from torch.nn.functional import mse_loss
from torch.optim import SGD
from tqdm import tqdm

from course_utils.errors import CourseError, DivergedError
from course_utils.learning import loop


class Constant(nn.Module):
    """One weight, the same prediction for each row."""

    def __init__(self, start=0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(start))

    def forward(self, x):
        return self.weight.expand(len(x))


def squared(module, batch):
    return mse_loss(module(batch[0]), batch[1])


def fit(module, batches, loss=squared, sgd=None, epochs=1, **options):
    """``loop.fit`` without a bar, with plain gradient steps of this size if one is given."""
    if sgd is not None:
        options["optimizer"] = SGD(module.parameters(), lr=sgd)
    return loop.fit(module, batches, loss, epochs=epochs, **{"progress": False, **options})


def constant(rows, value, batch_size):
    return loop.batches(torch.zeros(rows), torch.full((rows,), value), batch_size=batch_size)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


class TestBatches:
    def test_each_row_once_and_tensors_stay_together(self):
        rows = torch.arange(10)
        for generator in (None, seeded()):
            batches = loop.batches(rows, 2 * rows, batch_size=4, generator=generator)
            passed = list(batches)
            assert [len(batch[0]) for batch in passed] == [4, 4, 2]
            assert len(batches) == 3
            first, second = (torch.cat(column) for column in zip(*passed, strict=True))
            assert second.equal(2 * first)
            assert (first if generator is None else first.sort().values).equal(rows)

    def test_each_pass_has_its_own_order_and_the_seed_decides(self):
        def orders(seed):
            batches = loop.batches(torch.arange(50), batch_size=8, generator=seeded(seed))
            return [torch.cat([batch[0] for batch in batches]).tolist() for _ in range(2)]

        assert orders(0) == orders(0)
        assert orders(0)[0] != orders(0)[1]
        assert orders(0) != orders(1)


class TestFit:
    def test_the_tally_counts_rows_not_batches(self):
        # Squared errors 0, 0, 0, 0 | 4, the syllabus' example: the mean of the batch means would be 2.
        batches = loop.batches(torch.zeros(5), torch.tensor([0.0, 0.0, 0.0, 0.0, 2.0]), batch_size=4)
        assert fit(Constant(), batches, sgd=0.0)["loss"].tolist() == pytest.approx([0.8])

    def test_named_terms_have_columns_and_their_sum_is_minimised(self):
        def loss(module, batch):
            return {"mse": squared(module, batch), "penalty": 3.0 * module.weight.square()}

        module = Constant(4.0)
        history = fit(module, constant(6, 4.0, 4), loss, epochs=300, lr=0.1)
        assert history.columns.tolist() == ["loss", "mse", "penalty"]
        assert history.index.equals(pd.RangeIndex(1, 301))
        assert history.index.name == "epoch"
        assert history.attrs["best_epoch"] == 300
        assert module.weight.item() == pytest.approx(1.0, abs=1e-6)  # (w - 4)^2 + 3 w^2 is least at w = 1
        assert history["loss"].tolist() == pytest.approx((history["mse"] + history["penalty"]).tolist())

    def test_loss_is_measured_before_its_step_and_gradients_are_reset(self):
        module = Constant()
        history = fit(module, constant(1, 1.0, 1), sgd=0.25, epochs=3)
        assert history["loss"].tolist() == [1.0, 0.25, 0.0625]  # each step halves the distance
        assert module.weight.item() == 0.875

    def test_own_adam_uses_lr_and_weight_decay(self):
        for lr, decay, expected in ((0.3, None, 0), (0.3, 0.1, 0.3), (None, 0.1, 0.01)):
            fit(module := Constant(5.0), constant(4, 5.0, 4), lr=lr, weight_decay=decay)
            assert module.weight.item() == pytest.approx(5 - expected)  # Adam's first step has the length lr

    def test_decay_is_a_line_from_the_start_to_zero(self):
        module = Constant(100.0)  # the gradient of |w| is 1: each step moves by the step size
        before = []

        def distance(module, batch):
            before.append(module.weight.item())
            return module.weight.abs()

        fit(module, constant(4, 0.0, 2), distance, sgd=1.0, epochs=2, decay=True)
        moves = -torch.tensor([*before, module.weight.item()]).diff()
        torch.testing.assert_close(moves, torch.tensor([1, 3 / 4, 2 / 4, 1 / 4]))

    def test_modes(self):
        module, seen = Constant(), []

        def note(module, *batch):
            seen.append((len(batch), module.training, torch.is_grad_enabled()))
            return module.weight.square()

        fit(module, constant(2, 0.0, 2), note, epochs=2, validate=note)
        assert seen == [(1, True, True), (0, False, False)] * 2
        assert not module.training

    @pytest.mark.parametrize(("progress", "said"), [(True, None), (False, True)])
    def test_bar_leaves_tqdm_disable_its_say(self, progress, said, monkeypatch):
        """An explicit ``disable=False`` would overrule the environment variable."""
        asked = {}

        def bar(**options):
            asked.update(options)
            return tqdm(**{**options, "disable": True})

        monkeypatch.setattr(loop, "tqdm", bar)
        fit(Constant(), constant(5, 0.0, 2), epochs=4, progress=progress)
        assert asked.get("disable") is said
        assert asked["total"] == 12


BEST = [([3.0, 1.0, 2.0, 1.0], {}, 4), ([0.1, 0.4, 0.3], {"higher_is_better": True}, 3)]  # of equals the first
BEST += [([3.0, 1.0, 2.0, 1.5, 0.5], {"patience": 2}, 4)]  # since the best


class TestValidation:
    @staticmethod
    def run(values, module=None, **options):
        """Train on a plain list of batches with values given in advance; the weight is the number of epochs."""
        module, rest = module or Constant(), iter(values)

        def validate(module):
            value = next(rest)
            if value is KeyboardInterrupt:
                raise value
            return value

        options |= {"sgd": 1.0, "epochs": len(values), "validate": validate}
        return module, fit(module, [(torch.zeros(1),)], lambda module, batch: -module.weight, **options)

    @pytest.mark.parametrize(("values", "options", "epochs"), BEST)
    def test_best_weights_are_restored(self, values, options, epochs):
        module, history = self.run(values, **options)
        assert module.weight.item() == history.attrs["best_epoch"] == 2
        assert history["validation"].tolist() == values[:epochs]

    def test_named_values_of_which_the_first_decides(self):
        values = [{"rmse": 1.0, "mae": math.nan}, {"rmse": 3.0, "mae": 0.0}]
        module, history = self.run([pd.Series({"rmse": 2.0, "mae": 1.0}), *values])
        assert module.weight.item() == 2.0
        assert history.columns.tolist() == ["loss", "rmse", "mae"]
        assert history["rmse"].tolist() == [2.0, 1.0, 3.0]

    @pytest.mark.parametrize("values", [[2.0, 1.0, KeyboardInterrupt, 4.0], [2.0, 1.0, math.nan]])
    def test_an_interrupt_and_an_error_leave_the_best_weights(self, values):
        module = Constant()
        said = "^$|epoch 3, after its last batch: validation is nan"
        with pytest.raises((KeyboardInterrupt, DivergedError), match=said):
            self.run(values, module)
        assert module.weight.item() == 2.0
        assert not module.training


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite(bad):
    target = torch.tensor([1.0, 1.0, bad, 1.0])
    module = Constant()
    with pytest.raises(DivergedError, match=f"epoch 1, batch 2: loss is {bad}") as caught:
        fit(module, loop.batches(target, target, batch_size=2), epochs=3)
    assert isinstance(caught.value, CourseError)
    assert math.isfinite(module.weight.item())  # the step of the bad batch is not taken


def refused(*batches, **options):
    fit(Constant(), *batches or [[torch.zeros(2, 1)]], **options)


test_refusals = refusals(
    *(("tensors", loop.batches, *map(torch.zeros, sizes), {"batch_size": 1}) for sizes in ((), (0,), (2, 3))),
    ("epochs", refused, {"epochs": 0}),
    ("patience", refused, {"patience": 1}),
    ("patience", refused, {"patience": 0, "validate": lambda module: 1.0}),
    *(("lr, weight_decay", refused, {"sgd": 0.1, name: 0.0}) for name in ("lr", "weight_decay")),
    ("validate", refused, {"validate": lambda module: {}}),
    ("decay: got True, expected batches that have a length", refused, iter([(torch.zeros(1),)]), {"decay": True}),
    (r"loss: got 'loss' of shape \(2,\)", refused, {"loss": lambda module, batch: module(torch.zeros(2))}),
    ("loss: got 'loss' of shape float", refused, {"loss": lambda module, batch: 1.0}),
    ("batches: got nothing in epoch 2", refused, iter([torch.zeros(2, 1)]), {"epochs": 2}),
)
