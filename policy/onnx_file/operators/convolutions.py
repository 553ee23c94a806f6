"""Conv in one and two dimensions, also fused with an activation by onnxruntime."""

from __future__ import annotations

from math import prod

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.policy.convolution import Convolution
from sparsectl.policy.graph import MAX_WIDTH
from sparsectl.policy.onnx_file import spelling
from sparsectl.policy.onnx_file.node import Node
from sparsectl.policy.onnx_file.operators.layers import FUSED
from sparsectl.policy.onnx_file.operators.registry import Result, operator
from sparsectl.policy.onnx_file.symbol import Symbol
from sparsectl.policy.onnx_file.tensors import Array

PRODUCT = 3
"""Share of a file's budget that each weight at each place uses."""


@operator("Conv")
def conv(node: Node) -> Result:
    """Y = W * X + B over [1, channels, (height,) width]; kernels are not flipped."""
    value, weight = node.symbol(0), node.constant(1)
    dimensions = value.ndim - 2
    if dimensions not in (1, 2) or weight.ndim != value.ndim:
        node.refuse(
            f"an image of the shape {list(value.shape)} and a kernel of {list(weight.shape)}; "
            "convolutions of one and two dimensions are possible"
        )
    if value.shape[0] != 1 or value.batch not in (0, None):
        node.refuse(f"an image of the shape {list(value.shape)}: its first dimension is not 1")
    if 0 in weight.shape:
        node.refuse(f"a kernel of the shape {list(weight.shape)}")
    kernel = node.wholes(99, "kernel_shape")
    if kernel is not None and kernel != list(weight.shape[2:]):
        node.refuse(f"its kernel_shape is {kernel[:9]}, its weights are {list(weight.shape)}")
    geometry = _geometry(node, value, weight)
    outputs = geometry.count * len(weight)
    if outputs > MAX_WIDTH:
        rows, columns = geometry.places
        node.refuse(
            f"{len(weight)} channels at {rows} x {columns} places are {outputs} values; give at "
            f"most {MAX_WIDTH}"
        )
    node.tensors.spend(PRODUCT * outputs * geometry.patch_size, node.label)
    image = value.moved(lambda v: v.reshape(geometry.channels, geometry.height, geometry.width))
    found = node.program.convolve(image, geometry, _whole(node, weight, geometry), _bias(node))
    shape = (1, len(weight), *geometry.places[2 - dimensions :])
    return found.moved(lambda v: v.reshape(shape), value.batch)


@operator("com.microsoft.FusedConv")
def fused_conv(node: Node) -> Result:
    name = node.text("activation", "")
    if name not in (*FUSED, "Clip") or node.input(3) is not None:
        node.refuse(f"its activation {name[:40]!r}, or a sum with another value, is not supported")
    sums = conv(node)
    if not isinstance(sums, Symbol):
        node.refuse("it does not depend on the observation")
    numbers = [*node.numbers("activation_params", []), 0.0, 0.0, 0.0][:3]
    if name == "Clip":
        return spelling.clip(node.program, sums, numbers[0], numbers[1])
    return FUSED[name](node.program, sums, *numbers)


def _geometry(node: Node, value: Symbol, weight: Array) -> Convolution:
    """Return the convolution; in one dimension that of an image of one row."""
    dimensions = value.ndim - 2
    image = (1, *value.shape[2:])[-2:]
    kernel = (1, *weight.shape[2:])[-2:]
    steps = {}
    for name in ("strides", "dilations"):
        given = node.wholes(99, name) or [1] * dimensions
        if len(given) != dimensions or not all(1 <= each <= MAX_WIDTH for each in given):
            node.refuse(f"its {name} are {given[:9]}; give {dimensions} from 1 to {MAX_WIDTH}")
        steps[name] = (1, *given)[-2:]
    pads = _pads(node, image, kernel, steps)
    try:
        return Convolution(
            int(value.shape[1]),
            int(image[0]),
            int(image[1]),
            (int(kernel[0]), int(kernel[1])),
            strides=(steps["strides"][0], steps["strides"][1]),
            dilations=(steps["dilations"][0], steps["dilations"][1]),
            pads=pads,
            channels_first=True,
        )
    except UserError as error:
        node.refuse(str(error))


def _pads(
    node: Node, image: tuple[int, ...], kernel: tuple[int, ...], steps: dict[str, tuple[int, ...]]
) -> tuple[int, int, int, int]:
    """Return the pads above, on the left, below and on the right."""
    dimensions = node.symbol(0).ndim - 2
    kind = node.text("auto_pad", "NOTSET")
    if kind in ("SAME_UPPER", "SAME_LOWER"):
        before, after = [], []
        for axis in range(2):
            stride, reach = (
                steps["strides"][axis],
                steps["dilations"][axis] * (kernel[axis] - 1) + 1,
            )
            places = -(-image[axis] // stride)
            total = max(0, (places - 1) * stride + reach - image[axis])
            less, more = total // 2, total - total // 2
            before.append(less if kind == "SAME_UPPER" else more)
            after.append(more if kind == "SAME_UPPER" else less)
        return before[0], before[1], after[0], after[1]
    if kind not in ("NOTSET", "VALID"):
        node.refuse(f"its auto_pad is {kind[:40]!r}")
    given = node.wholes(99, "pads") if kind == "NOTSET" else None
    given = given or [0] * (2 * dimensions)
    if len(given) != 2 * dimensions or not all(0 <= each <= MAX_WIDTH for each in given):
        node.refuse(
            f"its pads are {given[:9]}; give {2 * dimensions} from 0 to {MAX_WIDTH}, and crop with "
            "Slice"
        )
    if dimensions == 1:
        return 0, given[0], 0, given[1]
    return given[0], given[1], given[2], given[3]


def _whole(node: Node, weight: Array, geometry: Convolution) -> Array:
    """Return the kernel as [output channels, patch_size], 0 where a group does not read a
    channel."""
    groups = node.whole("group", 1)
    outputs, own = weight.shape[:2]
    if groups < 1 or outputs % groups or own * groups != geometry.channels:
        node.refuse(
            f"a kernel of {list(weight.shape)} in {groups} groups for {geometry.channels} channels"
        )
    node.tensors.spend(outputs * geometry.patch_size, node.label)
    whole = np.zeros((outputs, *geometry.kernel, geometry.channels))
    kernel = weight.reshape(outputs, own, *geometry.kernel).transpose(0, 2, 3, 1)
    each = outputs // groups
    for group in range(groups):
        rows = slice(group * each, (group + 1) * each)
        whole[rows, :, :, group * own : (group + 1) * own] = kernel[rows]
    return whole.reshape(outputs, prod(whole.shape[1:]))


def _bias(node: Node) -> Array | None:
    if node.input(2) is None:
        return None
    bias, outputs = node.constant(2), node.constant(1).shape[0]
    if bias.shape != (outputs,):
        node.refuse(f"biases of the shape {list(bias.shape)} for {outputs} channels")
    return bias.astype(np.float64)
