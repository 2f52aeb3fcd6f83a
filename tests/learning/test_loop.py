"""The training loop: its tally, its stop, its memory of the best weights, and what it refuses."""

from __future__ import annotations

import math

import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss
from tqdm import tqdm

from course_utils import errors
from course_utils.errors import CourseError, InputError
from course_utils.learning import loop


class Constant(nn.Module):
    """One weight, the same prediction for each row."""

    def __init__(self, start: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(start))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight.expand(len(x))


def squared(module: nn.Module, batch: loop.Batch) -> torch.Tensor:
    return mse_loss(module(batch[0]), batch[1])


def data(rows: int = 40, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 3, generator=generator)
    return x, x @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.25


def still(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(module.parameters(), lr=0.0)


class TestBatches:
    def test_each_row_once_and_tensors_stay_together(self) -> None:
        rows, double = torch.arange(10), 2 * torch.arange(10)
        passes = list(loop.batches(rows, double, batch_size=4, generator=torch.Generator().manual_seed(0)))
        assert [len(batch[0]) for batch in passes] == [4, 4, 2]
        assert torch.cat([batch[0] for batch in passes]).sort().values.equal(rows)
        assert all(batch[1].equal(2 * batch[0]) for batch in passes)

    def test_order_is_kept_without_generator(self) -> None:
        rows = torch.arange(5)
        batches = loop.batches(rows, batch_size=2)
        assert len(batches) == 3
        assert torch.cat([batch[0] for batch in batches]).equal(rows)

    def test_each_pass_has_its_own_order_and_the_seed_decides(self) -> None:
        def orders(seed: int) -> list[list[int]]:
            generator = torch.Generator().manual_seed(seed)
            batches = loop.batches(torch.arange(50), batch_size=8, generator=generator)
            return [torch.cat([batch[0] for batch in batches]).tolist() for _ in range(2)]

        assert orders(0) == orders(0)
        assert orders(0)[0] != orders(0)[1]
        assert orders(0) != orders(1)

    @pytest.mark.parametrize(
        ("tensors", "size", "argument"),
        [
            ((), 1, "tensors"),
            ((torch.zeros(0),), 1, "tensors"),
            ((torch.zeros(2), torch.zeros(3)), 1, "tensors"),
            ((torch.zeros(2),), 0, "batch_size"),
        ],
    )
    def test_refuses(self, tensors: tuple[torch.Tensor, ...], size: int, argument: str) -> None:
        with pytest.raises(InputError, match=f"^{argument}: got"):
            loop.batches(*tensors, batch_size=size)


class TestTally:
    def test_batches_of_four_and_one(self) -> None:
        # Squared errors 1, 1, 1, 1 | 0 would be .5 as a mean of means; 0, 0, 0, 0 | 4 is the syllabus' example.
        target = torch.tensor([0.0, 0.0, 0.0, 0.0, 2.0])
        module = Constant()
        history = loop.fit(
            module,
            loop.batches(torch.zeros(5), target, batch_size=4),
            squared,
            epochs=1,
            optimizer=still(module),
            progress=False,
        )
        assert history["loss"].tolist() == pytest.approx([0.8])  # the mean of the batch means is 2.0
        assert math.sqrt(history["loss"].item()) == pytest.approx(0.894, abs=5e-4)  # not 1.0

    def test_named_terms_have_columns_and_their_sum_is_minimised(self) -> None:
        def loss(module: nn.Module, batch: loop.Batch) -> dict[str, torch.Tensor]:
            return {"mse": squared(module, batch), "penalty": 3.0 * module.weight.square()}

        module = Constant(4.0)
        batches = loop.batches(torch.zeros(6), torch.full((6,), 4.0), batch_size=4)
        history = loop.fit(module, batches, loss, epochs=300, lr=0.1, progress=False)
        assert history.columns.tolist() == ["loss", "mse", "penalty"]
        assert module.weight.item() == pytest.approx(1.0, abs=1e-6)  # (w - 4)^2 + 3 w^2 is least at w = 1
        torch.testing.assert_close(
            torch.tensor(history["loss"].to_numpy()),
            torch.tensor((history["mse"] + history["penalty"]).to_numpy()),
        )

    def test_loss_is_measured_before_its_step(self) -> None:
        module = Constant()
        history = loop.fit(
            module,
            loop.batches(torch.zeros(1), torch.ones(1), batch_size=1),
            squared,
            epochs=2,
            optimizer=torch.optim.SGD(module.parameters(), lr=0.25),
            progress=False,
        )
        assert history["loss"].tolist() == [1.0, 0.25]  # w: 0, then 0.5, then 0.75
        assert module.weight.item() == 0.75


class TestFit:
    def test_learns_a_linear_map(self) -> None:
        torch.manual_seed(0)
        module = nn.Linear(3, 1)
        batches = loop.batches(*data(), batch_size=8, generator=torch.Generator().manual_seed(0))
        history = loop.fit(module, batches, squared, epochs=200, lr=0.05, progress=False)
        assert history.index.tolist() == list(range(1, 201))
        assert history.index.name == "epoch"
        assert history["loss"].iloc[-1] < 1e-6 < history["loss"].iloc[0]
        assert history.attrs["best_epoch"] == 200
        assert not module.training
        torch.testing.assert_close(module.weight, torch.tensor([[1.0, -2.0, 0.5]]), atol=1e-3, rtol=0)

    def test_same_seed_same_weights(self) -> None:
        def weights(seed: int) -> torch.Tensor:
            torch.manual_seed(0)
            module = nn.Linear(3, 1)
            batches = loop.batches(*data(), batch_size=8, generator=torch.Generator().manual_seed(seed))
            loop.fit(module, batches, squared, epochs=3, progress=False)
            return module.weight.detach()

        assert weights(0).equal(weights(0))
        assert not weights(0).equal(weights(1))

    def test_gradients_are_reset(self) -> None:
        module = Constant()
        batches = loop.batches(torch.zeros(4), torch.ones(4), batch_size=1)
        optimizer = torch.optim.SGD(module.parameters(), lr=0.25)
        loop.fit(module, batches, squared, epochs=1, optimizer=optimizer, progress=False)
        assert (
            module.weight.item() == 1 - 0.5**4
        )  # each step halves the distance; added-up gradients overshoot

    def test_own_adam_uses_lr_and_weight_decay(self) -> None:
        def run(**options: object) -> float:
            module = Constant(5.0)
            batches = loop.batches(torch.zeros(4), torch.full((4,), 5.0), batch_size=4)
            loop.fit(module, batches, squared, epochs=1, progress=False, **options)
            return module.weight.item()

        assert run(lr=0.3) == 5.0  # no gradient, no move
        assert run(lr=0.3, weight_decay=0.1) == pytest.approx(4.7)  # Adam's first step has the length lr
        assert run(weight_decay=0.1) == pytest.approx(4.99)

    def test_scheduler_steps_once_a_batch(self) -> None:
        module = Constant()
        optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
        batches = loop.batches(torch.zeros(6), torch.zeros(6), batch_size=2)
        loop.fit(module, batches, squared, epochs=2, optimizer=optimizer, scheduler=scheduler, progress=False)
        assert scheduler.get_last_lr() == [0.5**6]

    def test_decay_is_a_line_from_the_start_to_zero(self) -> None:
        module = Constant(100.0)  # the gradient of |w| is 1: each step moves by the step size
        before: list[float] = []

        def distance(module: Constant, batch: loop.Batch) -> torch.Tensor:
            before.append(module.weight.item())
            return module.weight.abs()

        batches = loop.batches(torch.zeros(4), batch_size=2)
        optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
        loop.fit(module, batches, distance, epochs=2, optimizer=optimizer, decay=True, progress=False)
        moves = -torch.tensor([*before, module.weight.item()]).diff()
        torch.testing.assert_close(moves, torch.tensor([1, 3 / 4, 2 / 4, 1 / 4]))

    def test_decay_must_know_how_many_steps_there_are(self) -> None:
        batches = zip([torch.zeros(1)], [torch.zeros(1)], strict=True)
        with pytest.raises(InputError, match=r"^decay: got True, expected batches that have a length"):
            loop.fit(Constant(), batches, squared, epochs=1, decay=True, progress=False)

    def test_modes(self) -> None:
        seen: list[tuple[str, bool, bool]] = []

        def loss(module: nn.Module, batch: loop.Batch) -> torch.Tensor:
            seen.append(("loss", module.training, torch.is_grad_enabled()))
            return squared(module, batch)

        def validate(module: nn.Module) -> float:
            seen.append(("validate", module.training, torch.is_grad_enabled()))
            return 1.0

        module = Constant()
        batches = loop.batches(torch.zeros(2), torch.zeros(2), batch_size=2)
        loop.fit(module, batches, loss, epochs=2, validate=validate, progress=False)
        assert seen == [("loss", True, True), ("validate", False, False)] * 2
        assert not module.training

    def test_any_iterable_of_batches_and_any_loss(self) -> None:
        """Triplets with a pairwise loss; a plain list for batches."""

        def pairwise(module: nn.Embedding, batch: loop.Batch) -> torch.Tensor:
            users, positives, negatives = (module(codes) for codes in batch)
            return -((users * (positives - negatives)).sum(-1)).sigmoid().log().mean()

        torch.manual_seed(0)
        batches = [(torch.tensor([0, 1]), torch.tensor([2, 3]), torch.tensor([3, 2]))]
        history = loop.fit(nn.Embedding(4, 3), batches, pairwise, epochs=200, lr=0.05, progress=False)
        assert history["loss"].iloc[-1] < 0.02 < 0.4 < history["loss"].iloc[0]

    @pytest.mark.parametrize(("progress", "said"), [(True, None), (False, True)])
    def test_bar_leaves_tqdm_disable_its_say(
        self, progress: bool, said: bool | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An explicit ``disable=False`` would overrule the environment variable."""
        asked: dict[str, object] = {}

        def bar(**options: object) -> tqdm:
            asked.update(options)
            return tqdm(**{**options, "disable": True})

        monkeypatch.setattr(loop, "tqdm", bar)
        batches = loop.batches(torch.zeros(5), torch.zeros(5), batch_size=2)
        loop.fit(Constant(), batches, squared, epochs=4, progress=progress)
        assert asked.get("disable") is said
        assert asked["total"] == 12


class TestValidation:
    @staticmethod
    def run(values: list[float], **options: object) -> tuple[Constant, pd.DataFrame]:
        """Train with validation values that are given in advance; the weight is the number of epochs."""
        module, rest = Constant(), iter(values)
        history = loop.fit(
            module,
            [(torch.zeros(1),)],
            lambda module, batch: -module.weight,
            epochs=len(values),
            optimizer=torch.optim.SGD(module.parameters(), lr=1.0),
            validate=lambda module: next(rest),
            progress=False,
            **options,
        )
        return module, history

    def test_best_weights_are_restored(self) -> None:
        module, history = self.run([3.0, 1.0, 2.0, 1.0])
        assert module.weight.item() == 2.0
        assert history.attrs["best_epoch"] == 2  # the first of equals
        assert history["validation"].tolist() == [3.0, 1.0, 2.0, 1.0]

    def test_patience_counts_epochs_since_the_best(self) -> None:
        module, history = self.run([3.0, 1.0, 2.0, 1.5, 0.5], patience=2)
        assert len(history) == 4
        assert module.weight.item() == 2.0

    def test_higher_is_better(self) -> None:
        module, _ = self.run([0.1, 0.4, 0.3], higher_is_better=True)
        assert module.weight.item() == 2.0

    def test_named_values_of_which_the_first_decides(self) -> None:
        values = [
            pd.Series({"rmse": 2.0, "mae": 1.0}),
            {"rmse": 1.0, "mae": math.nan},
            {"rmse": 3.0, "mae": 0.0},
        ]
        module, history = self.run(values)
        assert module.weight.item() == 2.0
        assert history.columns.tolist() == ["loss", "rmse", "mae"]
        assert history["rmse"].tolist() == [2.0, 1.0, 3.0]

    def test_nan_is_an_error_that_names_the_epoch(self) -> None:
        with pytest.raises(errors.DivergedError, match="epoch 2, after its last batch: validation is nan"):
            self.run([1.0, math.nan])

    def test_an_interrupt_leaves_the_best_weights(self) -> None:
        module = Constant()
        values = iter([2.0, 1.0, 3.0])

        def validate(module: nn.Module) -> float:
            value = next(values)
            if value == 3.0:
                raise KeyboardInterrupt
            return value

        with pytest.raises(KeyboardInterrupt):
            loop.fit(
                module,
                [(torch.zeros(1),)],
                lambda module, batch: -module.weight,
                epochs=5,
                optimizer=torch.optim.SGD(module.parameters(), lr=1.0),
                validate=validate,
                progress=False,
            )
        assert module.weight.item() == 2.0
        assert not module.training


class TestRefusals:
    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_loss_that_is_not_finite(self, bad: float) -> None:
        target = torch.tensor([1.0, 1.0, bad, 1.0])
        module = Constant()
        with pytest.raises(errors.DivergedError, match=f"epoch 1, batch 2: loss is {bad}") as caught:
            loop.fit(module, loop.batches(target, target, batch_size=2), squared, epochs=3, progress=False)
        assert isinstance(caught.value, CourseError)
        assert math.isfinite(module.weight.item())  # the step of the bad batch is not taken

    @pytest.mark.parametrize(
        ("options", "argument"),
        [
            ({"epochs": 0}, "epochs"),
            ({"patience": 1}, "patience"),
            ({"patience": 0, "validate": lambda module: 1.0}, "patience"),
            ({"optimizer": "own", "lr": 0.1}, "lr, weight_decay"),
            ({"scheduler": "any"}, "scheduler"),
            ({"optimizer": "own", "scheduler": "any", "decay": True}, "decay"),
            ({"validate": lambda module: {}}, "validate"),
        ],
    )
    def test_arguments(self, options: dict[str, object], argument: str) -> None:
        with pytest.raises(InputError, match=f"^{argument}: got"):
            loop.fit(
                Constant(),
                [(torch.zeros(1), torch.zeros(1))],
                squared,
                progress=False,
                **{"epochs": 1, **options},
            )

    def test_loss_of_each_row(self) -> None:
        with pytest.raises(InputError, match=r"^loss: got 'loss' of shape \(2,\)"):
            loop.fit(
                Constant(),
                [(torch.zeros(2),)],
                lambda module, batch: module(batch[0]),
                epochs=1,
                progress=False,
            )

    def test_batches_that_run_dry(self) -> None:
        once = iter([(torch.zeros(1), torch.zeros(1))])
        with pytest.raises(InputError, match=r"^batches: got nothing in epoch 2"):
            loop.fit(Constant(), once, squared, epochs=2, progress=False)
