"""One check of a table's columns, at every public door that takes one."""

import numpy as np
import pandas as pd
import pytest

from course_utils.data import splits
from course_utils.data.columns import times
from course_utils.data.interactions import Interactions
from course_utils.errors import InputError

DOORS = {
    "from_frame": Interactions.from_frame,
    "temporal_split": lambda t: splits.temporal_split(t, 0.25),
    "per_user_temporal": lambda t: splits.per_user_temporal(t, 0.25),
    "leave_last_out": splits.leave_last_out,
}
NOW = 1_700_000_000
TIMES = pd.Series([8, 9, 10, 11]) + NOW
TABLE = pd.DataFrame({"user_id": 1, "item_id": range(4), "rating": 1.0, "timestamp": TIMES})
TEXT = [TIMES.astype(str).astype(kind) for kind in ("str", "string", "category", "object")]  # would sort as text
KINDS = ("int64", "float64", "Int64", "uint64")
OTHER_UNITS = [(TIMES * factor).astype(kind) for factor in (10**3, 10**6, 10**9) for kind in KINDS]


WRONG = [(values, "a column of type") for values in (*TEXT, [True, False, True, True])]
WRONG += [(values, r"such as 1\.7e\+\d+, beyond the year 3000.*milliseconds") for values in OTHER_UNITS]
WRONG += [([1, 2, 3.5, 4], "fractions"), ([1, 2, np.inf, 4], "1 missing or infinite")]


@pytest.mark.parametrize("door", DOORS)
class TestTimes:
    @pytest.mark.parametrize(("wrong", "words"), WRONG)
    def test_what_is_no_time_is_refused_by_name(self, door, wrong, words):
        with pytest.raises(InputError, match=f"timestamp: got .*{words}"):
            DOORS[door](TABLE.assign(timestamp=wrong))

    @pytest.mark.parametrize("kind", ["int32", "int64", "Int64", "uint32", "float64"])
    def test_numbers_of_every_type_are_taken(self, door, kind):
        found = DOORS[door](TABLE.astype({"timestamp": kind}))
        assert (found.timestamps if door == "from_frame" else found[1].timestamp).tolist()[-1] == NOW + 11


def test_times_are_exact():
    far = pd.Series([32_503_680_000, -32_503_680_000, 0])
    assert (times(far).tolist(), times(far).dtype) == (far.tolist(), np.int64)
    assert times(pd.Series([], dtype="float64")).tolist() == []


@pytest.mark.parametrize("door", [*DOORS, "random_split"])
@pytest.mark.parametrize("name", ["user_id", "timestamp"])
def test_a_column_that_stands_there_twice(door, name):
    if (door, name) not in (("temporal_split", "user_id"), ("random_split", "timestamp")):  # not looked at
        with pytest.raises(InputError, match=f"2 columns '{name}'"):
            DOORS.get(door, splits.random_split)(pd.concat([TABLE, TABLE[[name]]], axis=1))
