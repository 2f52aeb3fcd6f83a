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
TABLE = pd.DataFrame({"user_id": 1, "item_id": range(4), "rating": 1.0, "timestamp": [8, 9, 10, 11]})
NOW = 1_700_000_000


@pytest.mark.parametrize("door", DOORS)
class TestTimes:
    @pytest.mark.parametrize("kind", ["str", "string", "category", "object"])
    def test_text_would_sort_as_text(self, door, kind):
        with pytest.raises(InputError, match="timestamp: got a column of type"):
            DOORS[door](TABLE.astype({"timestamp": str}).astype({"timestamp": kind}))

    @pytest.mark.parametrize("factor", [10**3, 10**6, 10**9])
    @pytest.mark.parametrize("kind", ["int64", "float64", "Int64", "uint64"])
    def test_another_unit_is_refused_by_name(self, door, factor, kind):
        with pytest.raises(InputError, match=r"such as 1\.7e\+\d+, beyond the year 3000.*milliseconds"):
            DOORS[door](TABLE.assign(timestamp=(TABLE.timestamp + NOW) * factor).astype({"timestamp": kind}))

    @pytest.mark.parametrize("wrong", [[1, 2, 3.5, 4], [True, False, True, True], [1, 2, np.inf, 4]])
    def test_what_is_no_whole_number(self, door, wrong):
        with pytest.raises(InputError, match="timestamp"):
            DOORS[door](TABLE.assign(timestamp=wrong))

    @pytest.mark.parametrize("kind", ["int32", "int64", "Int64", "uint32", "float64"])
    def test_numbers_of_every_type_are_taken(self, door, kind):
        table = TABLE.assign(timestamp=TABLE.timestamp + NOW).astype({"timestamp": kind})
        found = DOORS[door](table)
        assert (found.timestamps if door == "from_frame" else found[1].timestamp).tolist()[-1] == NOW + 11


def test_times_are_exact():
    far = pd.Series([32_503_680_000, -32_503_680_000, 0])
    assert times(far).tolist() == far.tolist()
    assert times(far).dtype == np.int64
    assert times(pd.Series([], dtype="float64")).tolist() == []


@pytest.mark.parametrize("door", [*DOORS, "random_split"])
@pytest.mark.parametrize("name", ["user_id", "timestamp"])
def test_a_column_that_stands_there_twice(door, name):
    call = DOORS.get(door, splits.random_split)
    if (door, name) in (("temporal_split", "user_id"), ("random_split", "timestamp")):
        return  # not looked at
    with pytest.raises(InputError, match=f"2 columns '{name}'"):
        call(pd.concat([TABLE, TABLE[[name]]], axis=1))
