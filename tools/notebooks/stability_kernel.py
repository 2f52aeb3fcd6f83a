"""Runs inside a notebook's kernel, before its first cell: shakes random draws, and writes down what cells computed.

A start-up file that ``stability.py`` writes loads it as a module, so that the notebook finds none of its names and can
overwrite none. Two environment variables steer it: ``STABILITY_RECORD``, the file to write, and
``STABILITY_PHASE``: when set, each number that torch or NumPy draws is multiplied by 1 + 1e-12 cos(1e6 x + phase). The
factor is a function of the number, so equal draws stay equal.
"""

import hashlib
import os
import pickle

import numpy as np
import torch

SHAKE = 1e-12
SAMPLE = 4096  # so many elements of a large array are kept, evenly spread
DEPTH = 2  # a value in a model in a list is still seen
DRAWS = [0]


def shaken(value, phase):
    """The drawn tensor, array or number, a little off; integers as they are."""
    if isinstance(value, torch.Tensor):
        if value.is_floating_point():
            with torch.no_grad():
                value.mul_(1 + SHAKE * torch.cos(1e6 * value.detach() + phase))
    elif isinstance(value, (float, np.ndarray)) and np.asarray(value).dtype.kind == "f":
        value = value * (1 + SHAKE * np.cos(1e6 * value + phase))
    return value


def wrapped(draw, phase):
    """The same function, counted, and shaken where a phase is given."""

    def drawn(*args, **kwargs):
        DRAWS[0] += 1
        value = draw(*args, **kwargs)
        return value if phase is None else shaken(value, phase)

    return drawn


def shake(phase):
    """Put the wrapped functions in the place of torch's and NumPy's."""
    for name in ("rand", "randn", "rand_like", "randn_like", "normal"):
        setattr(torch, name, wrapped(getattr(torch, name), phase))
    for name in ("normal_", "uniform_", "exponential_"):
        setattr(torch.Tensor, name, wrapped(getattr(torch.Tensor, name), phase))
    names = ("random", "uniform", "normal", "standard_normal", "exponential", "gamma", "beta", "dirichlet")
    methods = {name: wrapped(getattr(np.random.Generator, name), phase) for name in names}
    kind = type("Generator", (np.random.Generator,), methods)
    plain = np.random.default_rng
    np.random.default_rng = lambda seed=None: (
        seed if isinstance(seed, np.random.Generator) else kind(plain(seed).bit_generator)
    )


def numbers(value, depth=DEPTH):
    """The floats in a value of the notebook, or None when there are none: at most ``SAMPLE`` of each array."""
    if isinstance(value, torch.Tensor):
        value = value.detach()
        if not value.is_floating_point() or value.layout != torch.strided:
            return None
        value = value.to(torch.float64).numpy()
    elif hasattr(value, "select_dtypes"):
        value = value.select_dtypes("floating").to_numpy()
    elif hasattr(value, "to_numpy"):
        value = value.to_numpy()
    if isinstance(value, bool) or (callable(value) and not hasattr(value, "__dict__")):
        return None
    if isinstance(value, (float, np.floating, np.ndarray)):
        array = np.asarray(value)
        if array.dtype.kind != "f" or array.size == 0:
            return None
        array = array.ravel()
        return array[:: max(1, len(array) // SAMPLE)].astype(float)
    if depth == 0:
        return None
    if isinstance(value, torch.nn.Module):
        value = dict(value.state_dict()) | {k: v for k, v in vars(value).items() if not k.startswith("_")}
    if isinstance(value, (list, tuple)):
        value = dict(enumerate(value[:50]))
    elif not isinstance(value, dict):
        value = getattr(value, "__dict__", {}) if type(value).__module__.startswith("course_utils") else {}
    found = [numbers(part, depth - 1) for _, part in list(value.items())[:50]]
    found = [part for part in found if part is not None]
    return np.concatenate(found) if found else None


class Recorder:
    """After each cell: name -> floats, for names of the notebook whose floats are new."""

    def __init__(self, shell, path):
        self.shell, self.path, self.seen, self.cells = shell, path, {}, []
        self.given = set(shell.user_ns)

    def __call__(self, *_):
        """Called by IPython when a cell has run."""
        cell = {}
        for name, value in list(self.shell.user_ns.items()):
            if name.startswith("_") or name in self.given:
                continue
            try:
                found = numbers(value)
            except Exception:  # a value that cannot be read is not this tool's business
                continue
            if found is not None:
                digest = hashlib.sha256(found.tobytes()).digest()
                if self.seen.get(name) != digest:
                    self.seen[name], cell[name] = digest, found
        self.cells.append(cell)
        with open(self.path, "wb") as file:
            pickle.dump({"draws": DRAWS[0], "cells": self.cells}, file)


def begin(shell):
    """Wrap the draws and record from the next cell on; called once, by the kernel's start-up file."""
    shake(float(os.environ["STABILITY_PHASE"]) if os.environ.get("STABILITY_PHASE") else None)
    shell.events.register("post_run_cell", Recorder(shell, os.environ["STABILITY_RECORD"]))
