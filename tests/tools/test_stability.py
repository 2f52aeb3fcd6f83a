"""What would move on another machine is found on this one, and what is calm is left alone."""

from __future__ import annotations

import math
import os
import pickle

import numpy as np
import pytest
import torch
from nbformat import v4

from tools.notebooks import execute, stability, stability_kernel

CHAOS = """
import torch

x = float(torch.rand(1, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
for _ in range(STEPS):
    x = 4 * x * (1 - x)  # the logistic map doubles a difference at each step
"""


def notebook(path, *cells):
    """A notebook that ran here, undisturbed."""
    cells = [v4.new_code_cell(source.strip()) for source in cells]
    path.write_text(execute.dumps(v4.new_notebook(cells=cells)))
    execute.run(path)
    return path


@pytest.mark.parametrize(
    ("steps", "show", "words"),
    [
        (60, "print(f'{x:.3f}')", ["stdout", "x moved"]),
        (60, "assert f'{x:.6f}' == VALUE, 'another x'", ["another x", "x moved"]),
        (25, "print(f'{x:.0f}.')", ["x moved"]),  # no printed digit moves: about to, and found
        (3, "print(f'{x:.3f}')", []),
    ],
)
def test_a_chaotic_notebook_is_caught_by_what_it_prints_asserts_or_holds(tmp_path, steps, show, words):
    source = CHAOS.replace("STEPS", str(steps))
    scope: dict = {}
    exec(source, scope)
    path = notebook(tmp_path / "n.ipynb", source, show.replace("VALUE", repr(f"{scope['x']:.6f}")))
    found, runs = stability.judge(path, quick=True)
    assert runs == 1
    assert all(any(word in line for line in found) for word in words), found
    assert bool(found) == bool(words), found


def test_a_notebook_without_draws_is_not_run_again_and_all_paths_are_tried_in_the_deep_form(tmp_path):
    path = notebook(tmp_path / "n.ipynb", "x = sum(1 / k for k in range(1, 9))\nprint(round(x, 3))")
    assert stability.judge(path, quick=True) == ([], 0)
    assert stability.judge(path, quick=False) == ([], len(stability.PHASES) + len(stability.PATHS))


def test_a_cell_that_is_said_to_move_may_hold_what_moves_and_not_print_it(tmp_path):
    path = notebook(tmp_path / "n.ipynb", CHAOS.replace("STEPS", "60"), "print(f'{x:.3f}')")
    nb = execute.read(path)
    nb.cells[0].metadata["tags"] = ["moves"]
    path.write_text(execute.dumps(nb))
    found, _ = stability.judge(path, quick=True)
    assert len(found) == 1
    assert "stdout" in found[0]


def test_two_runs_that_fail_alike_are_not_calm(tmp_path):
    path = notebook(tmp_path / "n.ipynb", "x = 1")
    path.write_text(path.read_text().replace("x = 1", "assert x == 1"))
    found, _ = stability.judge(path, quick=False)
    assert found == ["as it is: cell 1: NameError: name 'x' is not defined"]


def test_the_recorder_and_the_notebook_do_not_see_each_other(tmp_path):
    path = notebook(
        tmp_path / "n.ipynb", CHAOS.replace("STEPS", "60"), "numbers, shaken, DRAWS = 1, 2, 3", "y = x"
    )
    assert any("y moved" in line for line in stability.judge(path, quick=True)[0]), (
        "after its names were taken"
    )
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
    import pandas as pd

    from course_utils.models.embedding_mf import MatrixFactorization

    table = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"], "c": [1, 2]})
    assert stability_kernel.numbers(table).tolist() == [1.0, 2.0]
    assert stability_kernel.numbers([1.5, {"k": torch.tensor([2.5])}]).tolist() == [1.5, 2.5]
    model = MatrixFactorization(3, 2, factors=4)
    assert len(stability_kernel.numbers(model)) >= sum(each.numel() for each in model.parameters())
    assert stability_kernel.numbers("0.5") is None
    assert stability_kernel.numbers(torch.arange(3)) is None
    assert stability_kernel.numbers(True) is None
    assert len(stability_kernel.numbers(np.zeros(10**6))) < 2 * stability_kernel.SAMPLE


def test_a_record_older_than_the_code_is_not_taken(tmp_path, monkeypatch):
    path = notebook(tmp_path / "n.ipynb", "x = 1.5")
    record = tmp_path / "record.pickle"
    record.write_bytes(pickle.dumps({"draws": 7, "cells": [{}]}))
    monkeypatch.setattr(stability, "record_file", lambda path: record)
    monkeypatch.setattr(stability, "run", lambda path: "run anew")
    monkeypatch.setattr(stability, "ROOT", tmp_path)
    assert stability.first(path).draws == 7
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "new.py").write_text("")
    later = record.stat().st_mtime + 10
    os.utime(tmp_path / "src" / "new.py", (later, later))
    assert stability.first(path) == "run anew"
