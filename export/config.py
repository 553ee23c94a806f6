"""What `sparsectl export` takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from sparsectl.common.signal_ranges import Range


@dataclass(frozen=True)
class ExportConfig:
    """Write a policy as ONNX and as C, and prove that both compute the same controller."""

    model: Positional[Path]
    """student.safetensors as `distill` writes it, an ONNX file, a Stable-Baselines3 zip (SAC, TQC,
    TD3, DDPG, PPO, A2C, TRPO), or a folder with policy.onnx."""
    out: Path = Path("runs/export/policy")
    """Folder for policy.onnx, policy.c, policy.h and policy_vectors.h."""
    output: str | None = None
    """Of an ONNX file, the output that is the actions; needed where its names do not say."""
    normalizer: Path | None = None
    """Of a zip, an .npz of its VecNormalize: mean, var, epsilon, clip (docs/own_policy.md)."""
    task: int | None = None
    """Of a student of several tasks: the one whose head is written, from 0, for its own
    observations. Not given: all heads, the choice of each at its task's place in the action."""
    encoding: str = "auto"
    """How the weights lie in flash: dense, blocks, blocks-skip, csr, csr-float16, dense-int16,
    dense-int8, packed-int16, packed-int8, stream-int16, straight-float32, straight-int16 or
    straight-int8. auto: with a board the best there, else the smaller of dense and csr."""
    calibration: Path | None = None
    """A dataset (.npz with "observations", as of `collect`): what the policy meets. The export is
    judged on it; for fixed-point encodings scales fit it, and a small policy's weights make up for
    one another's rounding. Not given: observations spread over the signals' limits, or around the
    model's normaliser."""
    range: tuple[Range, ...] = ()
    """What the signals range over, where the model does not say: LOW,HIGH such as -5,5; one for all
    signals or one a signal. Fixed point needs that, a calibration or a normaliser."""
    error: float | None = None
    """Greatest difference allowed between ways to run it, relative to the action's range. Not
    given: 1e-6 (float16, int16: 5e-3, int8: 5e-2) or, where a steep policy is beyond it, what
    float32's own rounding explains. Of a policy that takes one of a few choices, in an encoding
    that rounds: the greatest share of observations for which it may choose otherwise."""
    package: str = "plain"
    """What the C comes as: plain (a folder of files), arduino, platformio, cmake or zephyr."""
    prefix: str = "policy"
    """What all names of the C begin with, its files' too: one of its own for each policy of a
    program that has several."""
    portable: bool = False
    """Write C without unions, #pragma, assembly and hexadecimal floats, as coding rules such as
    MISRA's want it; it is C++98 too. The bits are the same; docs/integration.md has the rest."""
    sparse_onnx: bool = False
    """Write the weights of policy.onnx as sparse_initializer where that is smaller. onnxruntime
    reads it; many other tools do not."""
    vectors: int = 32
    """Golden vectors to write into policy_vectors.h."""
    observations: int = 10_000
    """Observations to verify on, of those that the policy meets; docs/proof.md has the rest."""
    seed: int = 0
    """Seed of those observations and of the golden vectors."""
