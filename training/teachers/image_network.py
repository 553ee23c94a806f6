"""A teacher's convolutions, for observations that are images [height, width, channels].

Small images get MinAtar's one convolution (Young and Tian 2019), larger ones the three of DQN on
Atari (Mnih et al. 2015). Values are ordered pixel by pixel, as in students and on chips.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from sparsectl.common.errors import UserError
from sparsectl.policy.convolution import Convolution
from sparsectl.training.environments.image_layout import check_channels_last

LEAST_OF_ATARI = 36
"""Fewest rows and columns for the three convolutions of Atari."""


@dataclass(frozen=True)
class Kernel:
    """A convolution: its output channels, rows and columns, and stride."""

    channels: int
    size: int
    stride: int = 1


ATARI = (Kernel(32, 8, 4), Kernel(64, 4, 2), Kernel(64, 3))


def kernels_of(shape: tuple[int, int, int], channels: int) -> tuple[Kernel, ...]:
    """Return the convolutions for an image [height, width, channels].

    Args:
        shape: that of the image.
        channels: output channels of the single convolution for small images.

    Raises:
        UserError: the image is smaller than the kernel, or its channels seem to come first.
    """
    check_channels_last(shape, "wrap the environment so that observations are vectors")
    if min(shape[:2]) >= LEAST_OF_ATARI:
        return ATARI
    if min(shape[:2]) < 3:
        raise UserError(
            f"observations are images of {shape[0]} x {shape[1]}, smaller than the kernel of "
            "3 x 3; wrap the environment so that they are vectors"
        )
    return (Kernel(channels, 3),)


def geometries(shape: tuple[int, int, int], kernels: tuple[Kernel, ...]) -> tuple[Convolution, ...]:
    """Return the geometry of each convolution as a policy has it."""
    (height, width, channels), found = shape, []
    for kernel in kernels:
        size, stride = (kernel.size, kernel.size), (kernel.stride, kernel.stride)
        found.append(Convolution(channels, height, width, size, stride))
        (height, width), channels = found[-1].places, kernel.channels
    return tuple(found)


def as_matrix(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Convert weights [out, in, rows, columns] of torch and ONNX to [out, rows * columns * in]."""
    return np.ascontiguousarray(weight.transpose(0, 2, 3, 1)).reshape(len(weight), -1)


class ImageNetwork(BaseFeaturesExtractor):
    """Convolutions with ReLU: flat images [B, height * width * channels] to features [B, rows *
    columns * channels]."""

    def __init__(
        self, observation_space: Any, shape: tuple[int, int, int], kernels: tuple[Kernel, ...]
    ) -> None:
        last = geometries(shape, kernels)[-1]
        super().__init__(observation_space, last.count * kernels[-1].channels)
        self._shape = shape
        before = (shape[-1], *(kernel.channels for kernel in kernels))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels, kernel.channels, kernel.size, kernel.stride)
            for channels, kernel in zip(before, kernels, strict=False)
        )

    def forward(self, observations: Tensor) -> Tensor:
        """Return the results of the last convolution."""
        x = observations.reshape(-1, *self._shape).permute(0, 3, 1, 2)
        for convolution in self.convolutions:
            x = torch.relu(convolution(x))
        return x.permute(0, 2, 3, 1).flatten(1)
