"""Compare the C with its numpy reference, bit for bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.policy.activations import Float32


def require_same_bits(
    reference: Float32, host_c: Float32, lost: Callable[[], NDArray[np.bool_]]
) -> None:
    """lost: the observations for which the C may give infinity or NaN instead, [count].

    Raises:
        UserError: an action of the C is not the reference's, NaN for NaN.
    """
    same = reference.view(np.uint32) == host_c.view(np.uint32)
    same |= np.isnan(reference) & np.isnan(host_c)
    if not same.all():
        same |= lost()[:, None] & ~np.isfinite(host_c)
    different = np.argwhere(~same)
    if len(different):
        row, column = different[0]
        raise UserError(
            f"host C differs from the numpy reference in {len(different)} of {reference.size} "
            f"actions (the first: {host_c[row, column]!r}, not {reference[row, column]!r}); use a "
            "compiler with IEEE float32 arithmetic (gcc or clang)"
        )
