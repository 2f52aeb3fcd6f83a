"""What the hidden tests of all assignments share. It goes into the autograders alone."""

import numpy as np


def same(given, right, within=1e-3):
    """Fail unless an answer is a number, or a table of the right shape, and near enough; give nothing away."""
    assert given is not None, "not answered"
    assert given is not ..., "not answered"
    given = np.asarray(given.detach().cpu() if hasattr(given, "detach") else given, dtype=float)
    right = np.asarray(right.detach().cpu() if hasattr(right, "detach") else right, dtype=float)
    assert given.shape == right.shape, f"the shape is {given.shape}, not {right.shape}"
    assert np.isfinite(given).all(), "not a finite number"
    assert (np.abs(given - right) <= within * np.maximum(1, np.abs(right))).all(), "not the right number"
