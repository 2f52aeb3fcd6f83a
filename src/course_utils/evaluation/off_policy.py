r"""What would another policy have earned? Estimates from logs of the policy that ran; chapter 15.

A log has, for each step t, a context, the action taken :math:`a_t`, its reward :math:`r_t` and the chance
:math:`p_t` with which the logging policy took it. The **target** policy :math:`\pi` would have taken it with chance
:math:`\pi_t`. All arguments end with the steps, ``(..., T)``: leading dimensions are logs of their own, and each
estimate has one number a log. Everything is an array of NumPy or of torch; a NumPy array comes back.
"""

from __future__ import annotations

import numpy as np

from course_utils.errors import InputError


def naive_average(rewards: np.ndarray, target: np.ndarray) -> np.ndarray:
    r"""Mean reward of the steps in which the target agrees, :math:`\sum \pi_t r_t / \sum \pi_t`: biased, chapter 15.

    Biased as soon as the log showed an action more often where it does well. Here to be convicted.

    Args:
        rewards: r, ``(..., T)``.
        target: the target's chance of the logged actions, ``(..., T)``, in 0..1.

    Returns:
        ``(...)``; nan where the target never agrees.
    """
    rewards, target, _ = _checked(rewards, target, np.ones(np.shape(target)))
    return _ratio((target * rewards).sum(axis=-1), target.sum(axis=-1))


def ips(rewards: np.ndarray, target: np.ndarray, propensities: np.ndarray) -> np.ndarray:
    r"""Inverse propensity score, :math:`\frac1T \sum_t \frac{\pi_t}{p_t} r_t`; taught in chapter 15.

    Right on average when every action that the target takes had a chance in the log. It varies much when p is small.

    Args:
        rewards: r, ``(..., T)``.
        target: the target's chance of the logged actions, ``(..., T)``, in 0..1.
        propensities: p, the log's own chance of them, ``(..., T)``, above 0.

    Returns:
        ``(...)``, in units of the rewards; it may leave their range.

    Raises:
        InputError: the shapes differ, there is no step, or a chance is out of range.
    """
    rewards, target, propensities = _checked(rewards, target, propensities)
    return (target / propensities * rewards).mean(axis=-1)


def snips(rewards: np.ndarray, target: np.ndarray, propensities: np.ndarray) -> np.ndarray:
    r"""Self-normalised IPS, :math:`\sum_t w_t r_t / \sum_t w_t` with :math:`w_t = \pi_t / p_t`; taught in chapter 15.

    A weighted mean, so it stays within the range of the rewards. Slightly biased, and usually far steadier.

    Takes and refuses the same arguments as :func:`ips`; nan where the target never agrees.
    """
    rewards, target, propensities = _checked(rewards, target, propensities)
    weight = target / propensities
    return _ratio((weight * rewards).sum(axis=-1), weight.sum(axis=-1))


def doubly_robust(
    rewards: np.ndarray,
    target: np.ndarray,
    propensities: np.ndarray,
    *,
    predicted: np.ndarray,
    expected: np.ndarray,
) -> np.ndarray:
    r"""A model's estimate, and IPS for what the model missed; taught in chapter 15.

    :math:`\frac1T \sum_t \big[ \sum_a \pi(a) \hat r_t(a) + \frac{\pi_t}{p_t} (r_t - \hat r_t(a_t)) \big]`. Right on
    average if the propensities *or* the model are right.

    Args:
        rewards: r, ``(..., T)``.
        target: the target's chance of the logged actions, ``(..., T)``.
        propensities: p, ``(..., T)``, above 0.
        predicted: the model's reward of the logged actions, ``(..., T)``. The model must not have learned from this
            log's rewards.
        expected: the model's reward of the target in the same contexts, :math:`\sum_a \pi(a) \hat r_t(a)`,
            ``(..., T)``. Its mean alone is called the direct method.

    Raises:
        InputError: as in :func:`ips`.
    """
    rewards, target, propensities = _checked(rewards, target, propensities)
    for name, values in (("predicted", predicted), ("expected", expected)):
        if np.shape(values) != rewards.shape:
            raise InputError(name, got=f"shape {np.shape(values)}", expected=f"shape {rewards.shape}")
    correction = target / propensities * (rewards - np.asarray(predicted))
    return (np.asarray(expected) + correction).mean(axis=-1)


def effective_share(target: np.ndarray, propensities: np.ndarray) -> np.ndarray:
    r"""How much of a log speaks about the target: :math:`(\sum_t w_t)^2 / (T \sum_t w_t^2)`, 0 to 1; chapter 15.

    1 where every step counts the same. A tenth: the estimate varies like one from a tenth as many steps (Kish).

    Args:
        target: the target's chance of the logged actions, ``(..., T)``.
        propensities: p, ``(..., T)``, above 0.
    """
    _, target, propensities = _checked(np.zeros(np.shape(target)), target, propensities)
    weight = target / propensities
    return _ratio(weight.sum(axis=-1) ** 2, weight.shape[-1] * (weight**2).sum(axis=-1))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    below = np.asarray(below, dtype=float)
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan)


def _checked(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    rewards, target, propensities = (np.asarray(a, dtype=float) for a in arrays)
    if rewards.ndim == 0 or rewards.shape[-1] == 0:
        raise InputError("rewards", got=f"shape {rewards.shape}", expected="(..., T) with at least one step")
    for name, values in (("target", target), ("propensities", propensities)):
        if values.shape != rewards.shape:
            raise InputError(name, got=f"shape {values.shape}", expected=f"shape {rewards.shape}")
    if not np.isfinite(rewards).all():
        raise InputError("rewards", got="nan or infinity", expected="the reward of every logged action")
    if not ((target >= 0) & (target <= 1)).all():
        raise InputError("target", got="a value outside 0..1", expected="chances")
    if not ((propensities > 0) & (propensities <= 1)).all():
        raise InputError("propensities", got="a value outside (0, 1]", expected="chances above 0")
    return rewards, target, propensities
