"""One loop of dampings for all least squares."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sparsectl.common.levenberg_marquardt import Damping


def test_a_step_that_helps_lowers_the_damping_and_each_that_does_not_raises_it() -> None:
    tried: list[float] = []

    def attempt(damping: float) -> str | None:
        tried.append(damping)
        return "lower" if damping >= 4.0 else None

    found, after = Damping(down=0.5, up=2.0).step(1.0, attempt)
    assert (found, tried, after) == ("lower", [1.0, 2.0, 4.0], 2.0)


def test_it_gives_up_after_its_tries_or_at_its_greatest_damping() -> None:
    tried: list[float] = []
    assert Damping(up=2.0, tries=3).step(1.0, tried.append) == (None, 8.0)
    assert tried == [1.0, 2.0, 4.0]
    assert Damping(up=2.0, most=4.0).step(1.0, tried.append) == (None, 4.0)
    assert Damping(least=0.25, down=0.5).step(0.3, lambda damping: True) == (True, 0.25)


@given(st.integers(0, 2**32 - 1))
def test_it_finds_the_bottom_of_rosenbrocks_valley(seed: int) -> None:
    """Residuals 10 (y - x²) and 1 - x, whose plain Gauss-Newton step overshoots."""
    x = np.random.default_rng(seed).uniform(-2, 2, 2)

    def residuals(at: np.ndarray) -> np.ndarray:
        return np.array([10 * (at[1] - at[0] ** 2), 1 - at[0]])

    damping = 1.0
    for _ in range(200):
        now, jacobian = residuals(x), np.array([[-20 * x[0], 10.0], [-1.0, 0.0]])
        matrix, gradient = jacobian.T @ jacobian, jacobian.T @ now

        def attempt(
            damping: float,
            x: np.ndarray = x,
            now: np.ndarray = now,
            matrix: np.ndarray = matrix,
            gradient: np.ndarray = gradient,
        ) -> np.ndarray | None:
            damped = matrix + damping * np.diag(matrix.diagonal() + 1e-12)
            moved = x - np.linalg.solve(damped, gradient)
            return moved if np.sum(residuals(moved) ** 2) < np.sum(now**2) else None

        found, damping = Damping(tries=30).step(damping, attempt)
        if found is None:
            break
        x = found
    assert np.allclose(x, 1.0, atol=1e-6)
