"""What each measure refuses: the tables BAD hold a function, what it must say, and the arguments of some calls."""

import pytest
import test_fairness
import test_metrics
import test_significance

from course_utils.errors import InputError

BAD = test_fairness.BAD + test_metrics.BAD + test_significance.BAD


@pytest.mark.parametrize(("function", "message", "calls"), BAD)
def test_bad_input_is_refused_by_name(function, message, calls):
    for arguments in calls:
        with pytest.raises(InputError, match=message):
            function(*arguments)
