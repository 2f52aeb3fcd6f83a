"""Policies on rated films, and what they log: the semi-synthetic world of chapter 15, section 9.

A policy is the chance of each arm for each user, ``(n, A)``; the rows sum to 1, and an arm that was not rated has 0.
Logs stand side by side: S of T steps each.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from course_utils.errors import check_range, check_shape
from course_utils.evaluation.off_policy import ips
from course_utils.simulation.logs import RatedArms


class PolicyLog(NamedTuple):
    """Logs made by a known policy."""

    users: np.ndarray  # rows of the world, (S, T)
    arms: np.ndarray  # the arm shown, (S, T)
    rewards: np.ndarray  # what it gave, (S, T)
    propensities: np.ndarray  # the chance that the policy gave to that arm, (S, T), above 0


def policy_log(world: RatedArms, policy: np.ndarray, runs: int, steps: int, *, seed: int = 0) -> PolicyLog:
    """Users arrive uniformly, a policy shows each an arm, and its chance is written down."""
    ends = world.check(policy).cumsum(axis=1)
    generator = np.random.default_rng(seed)
    users = generator.integers(0, len(world.users), (runs, steps))
    arms = np.empty((runs, steps), dtype=np.int64)
    for run in range(runs):
        line = ends[users[run]]  # (T, A): an arm is as long as its chance
        point = generator.random((steps, 1)) * line[:, -1:]
        arms[run] = (line <= point).sum(axis=1)
    return PolicyLog(users, arms, world.rewards[users, arms], policy[users, arms])


def greedy_policy(world: RatedArms, values: np.ndarray) -> np.ndarray:
    """The rated arm with the highest value, ``(n, A)`` or ``(A,)``, with certainty; of equal ones the first wins."""
    best = np.where(world.rated, values, -np.inf).argmax(axis=1)
    return np.eye(world.rated.shape[1])[best]


def softmax_policy(world: RatedArms, values: np.ndarray, temperature: float) -> np.ndarray:
    """Rated arms in proportion to exp(value / temperature), which is above 0: every one of them has a chance."""
    check_range("above 0", temperature=temperature)
    logits = np.where(world.rated, values, -np.inf) / temperature
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def ridge_rewards(world: RatedArms, contexts: np.ndarray, learned_from: np.ndarray) -> np.ndarray:
    """Expected rewards by one ridge regression (λ = 5) an arm, around the arm's mean: ``(n, A)``, clipped to 0..1.

    They are learned from the contexts ``(n, d)`` of the users whose ``learned_from``, bool ``(n,)``, is True.
    """
    predicted = np.empty(world.rated.shape)
    eye = 5.0 * np.eye(contexts.shape[1])
    for arm in range(predicted.shape[1]):
        rows = world.rated[:, arm] & learned_from
        x, rewards = contexts[rows], world.rewards[rows, arm]
        mean = rewards.mean() if len(rewards) else 0.5
        predicted[:, arm] = mean + contexts @ np.linalg.solve(eye + x.T @ x, x.T @ (rewards - mean))
    return predicted.clip(0, 1)


def doubly_robust(
    rewards: np.ndarray, target: np.ndarray, propensities: np.ndarray, *, predicted: np.ndarray, expected: np.ndarray
) -> np.ndarray:
    r"""A model's estimate, and IPS for what it missed; right on average if the propensities *or* the model are right.

    :math:`\frac1T \sum_t \big[ \sum_a \pi(a) \hat r_t(a) + \frac{\pi_t}{p_t} (r_t - \hat r_t(a_t)) \big]`, where
    ``predicted`` is the model's reward of the logged actions, :math:`\hat r_t(a_t)`, and ``expected`` that of the
    target, :math:`\sum_a \pi(a) \hat r_t(a)`. The model must not have learned from this log.
    """
    plain = ips(rewards, target, propensities)
    target, predicted, expected = np.asarray(target), np.asarray(predicted), np.asarray(expected)
    check_shape(*target.shape, predicted=predicted, expected=expected)
    return plain + (expected - target / propensities * predicted).mean(axis=-1)
