"""The order of an image's dimensions, which its shape does not state."""

from __future__ import annotations

from sparsectl.common.errors import UserError

WRAPPER = "sparsectl.training.environments.families:ChannelsLast"


def check_channels_last(shape: tuple[int, int, int], otherwise: str) -> None:
    """Refuse an image whose channels seem to come before its rows and columns: a kernel would
    slide over channels as if they were rows, and nothing would show it but a poor network.

    Rows and columns are mostly as many, and channels fewer than either, by which Stable-Baselines3
    decides too (`is_image_space_channels_first`). Of three equal sizes, as Seaquest's of MinAtar,
    the last is the channels.

    Args:
        shape: that of the image, as the environment gives it.
        otherwise: what can be done in place of turning it, for the message.

    Raises:
        UserError: the first dimension looks like the channels.
    """
    first, second, third = shape
    squares = first == second, second == third
    come_first = squares == (False, True) or (squares == (False, False) and first < min(shape[1:]))
    if come_first:
        raise UserError(
            f"observations are images of {list(shape)}, whose channels seem to come first, and a "
            f"convolution here is over rows, columns and channels; give --wrapper {WRAPPER} to all "
            f"commands from the first on, or {otherwise}"
        )
