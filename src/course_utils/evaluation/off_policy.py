r"""What would another policy have earned? Estimates from logs of the policy that ran; taught in chapter 15.

A log has, for each step t, the action taken :math:`a_t`, its reward :math:`r_t` and the chance :math:`p_t` with which
the logging policy took it, its propensity, above 0. The **target** policy :math:`\pi` would have taken it with chance
:math:`\pi_t`. All arguments end with the steps, ``(..., T)``: leading dimensions are logs of their own, and each
estimate has one number a log, ``(...)``, in units of the rewards.
"""

import numpy as np

from course_utils.errors import InputError, check_range, check_shape, refuse


def naive_average(rewards: np.ndarray, target: np.ndarray) -> np.ndarray:
    r"""Mean reward where the target agrees, :math:`\sum \pi_t r_t / \sum \pi_t`: biased; nan if it never does."""
    return snips(rewards, target, np.ones(np.shape(target)))


def ips(rewards: np.ndarray, target: np.ndarray, propensities: np.ndarray) -> np.ndarray:
    r"""Inverse propensity score, :math:`\frac1T \sum_t \frac{\pi_t}{p_t} r_t`; it may leave the range of the rewards.

    Right on average when every action that the target takes had a chance in the log.
    """
    rewards, target, propensities = _checked(rewards, target, propensities)
    return (target / propensities * rewards).mean(axis=-1)


def snips(rewards: np.ndarray, target: np.ndarray, propensities: np.ndarray) -> np.ndarray:
    r"""Self-normalised IPS, :math:`\sum_t w_t r_t / \sum_t w_t` with :math:`w_t = \pi_t / p_t`.

    It stays within the range of the rewards: slightly biased, usually far steadier; nan if the target never agrees.
    """
    rewards, target, propensities = _checked(rewards, target, propensities)
    weight = target / propensities
    with np.errstate(invalid="ignore"):  # 0 / 0 is nan
        return (weight * rewards).sum(axis=-1) / weight.sum(axis=-1)


def effective_share(target: np.ndarray, propensities: np.ndarray) -> np.ndarray:
    r"""How much of a log speaks about the target: :math:`(\sum_t w_t)^2 / (T \sum_t w_t^2)`, 0 to 1.

    At a tenth the estimate varies like one from a tenth as many steps (Kish).
    """
    _, target, propensities = _checked(np.zeros(np.shape(target)), target, propensities)
    weight = target / propensities
    with np.errstate(invalid="ignore"):
        return weight.sum(axis=-1) ** 2 / (weight.shape[-1] * (weight**2).sum(axis=-1))


def _checked(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Rewards, target and propensities as floats."""
    rewards, target, propensities = (np.asarray(a, dtype=float) for a in arrays)
    if rewards.ndim == 0 or rewards.shape[-1] == 0:
        raise InputError("rewards", got=f"shape {rewards.shape}", expected="(..., T) with at least one step")
    check_shape(*rewards.shape, target=target, propensities=propensities)
    refuse(not np.isfinite(rewards).all(), "rewards", "nan or infinity", "the reward of every logged action")
    check_range("from 0 to 1", target=target)
    check_range("above 0, 1 at most", propensities=propensities)
    return rewards, target, propensities
