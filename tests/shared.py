"""What the tests share: calls that are refused, as a table; interactions from a few pairs; a process of its own."""

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from course_utils.data.interactions import Interactions
from course_utils.errors import InputError


def refusals(*cases, error=InputError):
    """The test that each call is refused with these words: ``(words, call, *arguments)``, a dict at the end by name.

    The words are a pattern of how the message begins; an argument's name alone stands for "name: got".
    """

    @pytest.mark.parametrize("case", cases)
    def test(case):
        words, call, *arguments = case
        options = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
        with pytest.raises(error, match=f"^{words}: got" if re.fullmatch(r"[\w, ]+", words) else f"^{words}"):
            call(*arguments, **options)

    return test


def coded(rows, n_users, n_items):
    """Interactions of rows (user, item, rating, timestamp), of which the last two may be missing; ids are codes."""
    rows = list(rows)
    names = ["user_id", "item_id", "rating", "timestamp"][: len(rows[0]) if rows else 2]
    frame = pd.DataFrame(rows, columns=names).astype({"user_id": int, "item_id": int})
    return Interactions.from_frame(frame, user_ids=range(n_users), item_ids=range(n_items))


def placed(seen, ratings=None):
    """Interactions where a matrix is True, with the rating in that place of another; ids are codes."""
    users, items = np.nonzero(seen)
    ratings = np.ones(np.shape(seen)) if ratings is None else ratings
    return coded(zip(users, items, ratings[users, items], strict=True), *np.shape(seen))


def python(code, *arguments, **options):
    """Run code in a Python of its own; what it said, as text."""
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, **options)
