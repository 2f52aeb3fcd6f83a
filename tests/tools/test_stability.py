"""What would move on another machine is found on this one, and what is calm is left alone."""

import math
import os
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sample_notebook import written

from course_utils.models.embedding_mf import MatrixFactorization
from tools.notebooks import execute, stability, stability_kernel

CHAOS = """import torch

x = float(torch.rand(1, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
for _ in range(60):
    x = 4 * x * (1 - x)  # the logistic map doubles a difference at each step
"""


@pytest.fixture
def ran(tmp_path):
    """A call that makes a notebook of these cells and runs it here, undisturbed."""

    def notebook(*sources):
        path = written(tmp_path / "n.ipynb", *sources)
        execute.run(path)
        return path

    return notebook


SHOWN = [(60, "print(f'{x:.3f}')", ["stdout", "x moved"]), (3, "print(f'{x:.3f}')", [])]
SHOWN += [(60, "assert f'{x:.6f}' == VALUE, 'another x'", ["another x", "x moved"])]
SHOWN += [(25, "print(f'{x:.0f}.')", ["x moved"])]  # no printed digit moves: about to, and found


@pytest.mark.parametrize(("steps", "show", "words"), SHOWN)
def test_a_chaotic_notebook_is_caught_by_what_it_prints_asserts_or_holds(ran, steps, show, words):
    source, scope = CHAOS.replace("60", str(steps)), {}
    exec(source, scope)
    found, runs = stability.judge(ran(source, show.replace("VALUE", repr(f"{scope['x']:.6f}"))), quick=True)
    assert runs == 1
    assert all(word in "\n".join(found) for word in words), found
    assert bool(found) == bool(words), found


def test_a_notebook_without_draws_is_not_run_again_and_all_paths_are_tried_in_the_deep_form(ran):
    path = ran("x = 1 / 3\nprint(round(x, 3))")
    assert stability.judge(path, quick=True) == ([], 0)
    assert stability.judge(path, quick=False) == ([], len(stability.PHASES) + len(stability.PATHS))
    path.write_text(path.read_text().replace("x = 1 / 3", "assert x == 1"))
    found, _ = stability.judge(path, quick=False)
    assert found == ["as it is: cell 1: NameError: name 'x' is not defined"], "two runs that fail alike are not calm"


def test_a_cell_that_is_said_to_move_may_hold_what_moves_and_not_print_it(ran):
    path = ran(CHAOS, "print(f'{x:.3f}')")
    notebook = execute.read(path)
    notebook.cells[0].metadata["tags"] = ["moves"]
    path.write_text(execute.dumps(notebook))
    (found,), _ = stability.judge(path, quick=True)
    assert "stdout" in found


def test_the_quick_form_turns_the_knobs_after_it_has_looked_for_what_moves(ran):
    path = ran("k = 2  # Change this: 3, 5", "assert k != 3, 'all is lost'\nprint(k)")
    (fault,), _ = stability.judge(path, quick=True)
    assert "with k = 3" in fault
    assert "all is lost" in fault
    assert stability.judge(path, quick=False)[0] == []


def test_the_recorder_and_the_notebook_do_not_see_each_other(ran):
    path = ran(CHAOS, "numbers, shaken, DRAWS = 1, 2, 3", "y = x")
    found, _ = stability.judge(path, quick=True)
    assert any("y moved" in line for line in found), "after its names were taken"
    path.write_text(path.read_text().replace("y = x", "y = np.pi"))
    found, _ = stability.judge(path, quick=True)
    assert found[0] == "as it is: cell 3: NameError: name 'np' is not defined"


def test_change_is_a_share_of_the_largest_value():
    assert stability.change(np.array([100.0, 1.0]), np.array([100.0, 1.5])) == 0.5 / 100
    assert stability.change(np.array([1e-16]), np.array([3e-16])) == 0, "the rounding of a zero"
    assert stability.change(np.array([math.nan, 1.0]), np.array([math.nan, 1.0])) == 0
    assert stability.change(np.array([math.nan]), np.array([1.0])) == math.inf


def test_a_shake_is_a_function_of_the_number():
    drawn = torch.tensor([0.25, 0.5, 0.25], dtype=torch.float64)
    moved = stability_kernel.shaken(drawn.clone(), 1.0)
    assert moved[0] == moved[2] != drawn[0]
    assert torch.allclose(moved, drawn, rtol=1e-11, atol=0)
    assert torch.equal(stability_kernel.shaken(torch.tensor([3]), 1.0), torch.tensor([3]))
    assert stability_kernel.shaken(0.5, 1.0) == pytest.approx(0.5, rel=1e-11)


def test_floats_are_found_in_tables_models_and_lists():
    table = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"], "c": [1, 2]})
    assert stability_kernel.numbers(table).tolist() == [1.0, 2.0]
    assert stability_kernel.numbers([1.5, {"k": torch.tensor([2.5])}]).tolist() == [1.5, 2.5]
    model = MatrixFactorization(3, 2, factors=4)
    assert len(stability_kernel.numbers(model)) >= sum(each.numel() for each in model.parameters())
    assert all(stability_kernel.numbers(each) is None for each in ("0.5", torch.arange(3), True))
    assert len(stability_kernel.numbers(np.zeros(10**6))) < 2 * stability_kernel.SAMPLE


def test_a_record_older_than_the_code_is_not_taken(tmp_path, monkeypatch):
    path = written(tmp_path / "n.ipynb", "x = 1.5")
    record = tmp_path / "record.pickle"
    record.write_bytes(pickle.dumps({"draws": 7, "cells": [{}]}))
    doubles = {"record_file": lambda path: record, "run": lambda path: "run anew", "ROOT": tmp_path}
    for name, double in doubles.items():
        monkeypatch.setattr(stability, name, double)
    assert stability.first(path).draws == 7
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "new.py").touch()
    os.utime(record, (0, 0))
    assert stability.first(path) == "run anew"
