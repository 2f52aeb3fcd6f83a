"""Slates: each interaction once an epoch, padding marked, negatives never met."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.data.interactions import Interactions
from course_utils.errors import InputError
from course_utils.learning.slates import Slates


def interactions(pairs: list[tuple[int, int]], n_users: int = 4, n_items: int = 12) -> Interactions:
    frame = pd.DataFrame(pairs, columns=["user_id", "item_id"])
    return Interactions.from_frame(frame, user_ids=range(n_users), item_ids=range(n_items))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


SOME = [(0, item) for item in range(7)] + [(2, 3)] + [(3, item) for item in range(5)]


class TestSlates:
    @given(
        st.sets(st.tuples(st.integers(0, 3), st.integers(0, 10)), min_size=1, max_size=44),
        st.integers(1, 6),
        st.integers(1, 5),
        st.integers(1, 9),
        st.integers(0, 2**20),
    )
    @settings(max_examples=60)
    def test_an_epoch(
        self, pairs: set[tuple[int, int]], positives: int, negatives: int, batch_size: int, seed: int
    ) -> None:
        batches = Slates(
            interactions(sorted(pairs)),  # nobody has met item 11
            positives=positives,
            negatives=negatives,
            batch_size=batch_size,
            generator=seeded(seed),
        )
        dealt, rows = [], []
        epoch = list(batches)
        for users, items, real, unseen in epoch:
            assert items.shape == real.shape == (len(users), positives)
            assert unseen.shape == (len(users), negatives)
            assert real[:, 0].all()
            dealt += zip(users[:, None].expand_as(items)[real].tolist(), items[real].tolist(), strict=True)
            assert not pairs & set(
                zip(users.repeat_interleave(negatives).tolist(), unseen.flatten().tolist(), strict=True)
            )
            rows += users.tolist()
        assert sorted(dealt) == sorted(pairs)
        assert len(epoch) == len(batches)
        assert all(len(users) == batch_size for users, *_ in epoch[:-1])
        for user in range(4):
            of_user = sum(u == user for u, _ in pairs)
            assert rows.count(user) == -(-of_user // positives)

    def test_dealt_anew_and_by_the_generator(self) -> None:
        known = interactions(SOME)
        first, second = Slates(known, generator=seeded()), Slates(known, generator=seeded())
        one, other, later = next(iter(first)), next(iter(second)), next(iter(first))
        assert all(a.equal(b) for a, b in zip(one, other, strict=True))
        assert not one[3].equal(later[3])

    def test_every_order_of_a_user_is_as_likely(self) -> None:
        batches = Slates(interactions(SOME), positives=7, generator=seeded())
        first = []
        for _ in range(2000):
            users, items, *_ = next(iter(batches))
            first.append(items[users == 0, 0].item())
        shares = torch.bincount(torch.tensor(first), minlength=7).double() / 2000
        torch.testing.assert_close(shares, torch.full((7,), 1 / 7), atol=0.04, rtol=0)

    @pytest.mark.parametrize("name", ["positives", "negatives", "batch_size"])
    def test_refuses_sizes(self, name: str) -> None:
        with pytest.raises(InputError, match=f"^{name}: got 0"):
            Slates(interactions(SOME), generator=seeded(), **{name: 0})

    def test_refuses_nothing_and_a_user_without_unseen_items(self) -> None:
        with pytest.raises(InputError, match=r"^interactions: got none"):
            Slates(
                Interactions.from_frame(
                    pd.DataFrame({"user_id": [], "item_id": []}, dtype="int64"), user_ids=[0], item_ids=[0]
                ),
                generator=seeded(),
            )
        full = Slates(interactions([(0, 0), (0, 1)], 1, 2), generator=seeded())
        with pytest.raises(InputError, match="who has met every item"):
            next(iter(full))
