"""Keep Stable-Baselines3's logger from making a folder."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.logger import Logger


def quietened(model: Any) -> Any:
    """Give a model of Stable-Baselines3 or SBX a logger that writes nothing, and return the model.

    By default each call of `learn` makes a folder `SB3-DATE` among the temporary files, which
    nobody deletes, even where nothing is logged.
    """
    model.set_logger(Logger(folder=None, output_formats=[]))
    return model
