"""What every test shares: float64, one thread, a closed figure drawer."""

import matplotlib as mpl
import pytest
import torch
from hypothesis import settings

mpl.use("Agg")
settings.register_profile("course", deadline=None)  # a busy machine is not a fault of the code
settings.load_profile("course")


@pytest.fixture(autouse=True)
def float64():
    """The default type of the book; restored so that one test cannot change the next."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    yield
    torch.set_default_dtype(before)
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="session")
def movielens():
    """MovieLens-100K, or a skip with one clear line where no source of it can be reached."""
    from course_utils import data, errors

    try:
        return data.load_movielens()
    except errors.DataError as error:
        pytest.skip(f"MovieLens-100K is not to be had: {str(error).splitlines()[0]}")


@pytest.fixture
def fold(movielens):
    """Training and test part of the first fold, for ratings."""
    from course_utils.data import splits

    return tuple(map(movielens.interactions, next(splits.k_fold(movielens.ratings, seed=0))))


@pytest.fixture
def split(movielens):
    """Training and test part of the first split, for lists."""
    from course_utils.data import splits

    return tuple(map(movielens.interactions, splits.random_split(movielens.ratings, seed=0)))
