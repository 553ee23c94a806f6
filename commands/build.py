"""`sparsectl build`: compile an exported policy and its rig into firmware."""

from __future__ import annotations

import sys
from typing import Any

from sparsectl.commands.any_rig.policies import for_rig
from sparsectl.common.errors import UserError
from sparsectl.firmware_host.build import build_firmware
from sparsectl.firmware_host.config import BuildConfig
from sparsectl.plants.plausible import warn_of_fractional_counts
from sparsectl.plants.rig import load_rig
from sparsectl.policy.onnx_file.reader import read_onnx


def build(config: BuildConfig) -> dict[str, Any]:
    """Compile the firmware, with the constants of the rig that the policy names.

    Raises:
        UserError: the folder is not a policy's, the rig or board is unknown, or there is no
            compiler.
    """
    policy, its_rig = for_rig(config.policy, config.rig, config.board)
    graph = read_onnx(policy / "policy.onnx")
    rig_name = its_rig or graph.rig
    if rig_name is None:
        raise UserError(
            f"{config.policy} names no rig; give one with --rig NAME or --rig FILE.toml"
        )
    rig = load_rig(rig_name)
    warn_of_fractional_counts(rig)
    constants = rig.firmware_constants()
    out = config.out or policy.parent / "firmware"
    built = build_firmware(policy, config.board, constants, out, measure=True)
    edges, tick = built["encoder_share"] or 0.0, built["tick_share"] or 0.0
    if edges + tick > 1.0:
        print(
            f"with both encoders at their rate limits ({built['encoder_edges']} edges a second, "
            f"{edges:.0%} of {config.board}) the control tick ({tick:.0%} of its period) would "
            "skip ticks; lower the rate limits to what the rig really does, or keep fewer weights",
            file=sys.stderr,
        )
    return built
