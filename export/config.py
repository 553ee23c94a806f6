"""Settings of `sparsectl export`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from sparsectl.common.signal_ranges import Range


@dataclass(frozen=True)
class ExportConfig:
    """Write a policy as ONNX and as C, and prove that both compute the same controller."""

    model: Positional[Path]
    """student.safetensors as `distill` writes it, an ONNX file, a zip of Stable-Baselines3 or
    sb3-contrib (docs/own_policy.md lists the algorithms), a .cleanrl_model, or a folder with
    policy.onnx."""
    out: Path = Path("runs/export/policy")
    """Folder for policy.onnx, policy.c, policy.h and policy_vectors.h."""
    output: str | None = None
    """For an ONNX file: the output that holds the actions, if its name does not show that."""
    argmax: bool = False
    """For an ONNX file whose output has a value for each choice (Q-values, logits, probabilities):
    the action is the index of the greatest, from 0."""
    normalizer: Path | None = None
    """For a zip or a .cleanrl_model: an .npz with the statistics of its normaliser: mean, var,
    epsilon, clip (docs/own_policy.md)."""
    rig: str | None = None
    """For a zip or an ONNX file of a policy that was trained in a rig's environment
    (sparsectl/NAME-v0) and does not say so: the rig, by its name or as a TOML file. `trial` and
    `build` need it to know the signals and frames of the observation."""
    task: int | None = None
    """For a student of several tasks: the task whose head is written, from 0. By default all heads
    are written, and the action contains the choice of each task."""
    encoding: str = "auto"
    """How the weights are stored: dense, blocks, blocks-skip, csr, csr-float16, dense-int16,
    dense-int8, packed-int16, packed-int8, stream-int16, straight-float32, straight-int16 or
    straight-int8. auto: with --board the best there, otherwise the smaller of dense and csr."""
    calibration: Path | None = None
    """A dataset of observations that the policy encounters (an .npz with "observations", as
    `collect` writes it). The export is judged on it; fixed-point scales are fitted to it, and the
    weights of a small policy compensate for each other's rounding. By default, observations are
    spread over the signals' limits, or around the model's normaliser."""
    range: tuple[Range, ...] = ()
    """The range of the signals, if the model does not give it: LOW,HIGH such as -5,5, once for all
    signals or once per signal. Fixed point needs this, --calibration or a normaliser."""
    error: float | None = None
    """Greatest allowed difference from the model, relative to the action's range. By default 1e-6
    (float16 and int16: 5e-3, int8: 5e-2), or float32's own rounding error where a steep policy
    exceeds that. For discrete actions in an encoding that rounds: the greatest share of
    observations for which its choice may differ."""
    package: str = "plain"
    """Form of the C: plain (a folder of files), arduino, platformio, cmake or zephyr."""
    prefix: str = "policy"
    """Prefix of the names in the C and of its files. Give each policy of a program its own."""
    portable: bool = False
    """Write C without unions, #pragma, assembly and hexadecimal floats, for coding rules such as
    MISRA's; it is also valid C++98 and computes the same bits (docs/integration.md)."""
    sparse_onnx: bool = False
    """Write the weights of policy.onnx as sparse_initializer if that is smaller. onnxruntime reads
    it; many other tools do not."""
    vectors: int = 32
    """Golden vectors to write into policy_vectors.h."""
    observations: int = 10_000
    """Observations on which to verify the export (docs/proof.md)."""
    seed: int = 0
    """Seed of those observations and of the golden vectors."""
