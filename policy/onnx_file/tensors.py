"""Constants of an ONNX file: dense, sparse and external tensors, decoded within limits.

Sizes in a file may lie; each is checked against the bytes that are there, and against what a whole
model may hold, before an array is allocated.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from onnx import SparseTensorProto, TensorProto, numpy_helper
from onnx.external_data_helper import ExternalDataInfo

from sparsectl.common.errors import UserError
from sparsectl.policy.graph import MAX_WEIGHTS

Array = np.ndarray

_ITEM_BYTES: dict[int, int] = {
    TensorProto.FLOAT: 4,
    TensorProto.DOUBLE: 8,
    TensorProto.FLOAT16: 2,
    TensorProto.INT8: 1,
    TensorProto.UINT8: 1,
    TensorProto.INT16: 2,
    TensorProto.UINT16: 2,
    TensorProto.BOOL: 1,
    TensorProto.INT32: 4,
    TensorProto.INT64: 8,
}
_HALVES = (TensorProto.INT4, TensorProto.UINT4)
"""Types of which a byte holds two numbers."""
_TYPED_FIELD: dict[int, str] = {
    TensorProto.FLOAT: "float_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.FLOAT16: "int32_data",
    TensorProto.INT8: "int32_data",
    TensorProto.UINT8: "int32_data",
    TensorProto.INT16: "int32_data",
    TensorProto.UINT16: "int32_data",
    TensorProto.BOOL: "int32_data",
    TensorProto.INT32: "int32_data",
    TensorProto.INT64: "int64_data",
    TensorProto.INT4: "int32_data",
    TensorProto.UINT4: "int32_data",
}


class TensorReader:
    """Decodes the tensors of one file; all of them and the layers made of them
    together may hold 12 times the largest graph."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._elements_left = 12 * MAX_WEIGHTS

    def spend(self, elements: int, what: str) -> None:
        """Take `elements` numbers from what one file may hold.

        Raises:
            UserError: nothing is left; `what` is named.
        """
        if elements > self._elements_left:
            raise UserError(
                f"{what} would hold {elements} numbers; a policy for a microcontroller has at "
                f"most {MAX_WEIGHTS} weights"
            )
        self._elements_left -= elements

    def dense(self, tensor: TensorProto) -> Array:
        """Return a TensorProto's numbers, in its own type and shape."""
        what = f"tensor {short(tensor.name)}"
        if tensor.data_type not in _TYPED_FIELD:
            kind = type_name(tensor.data_type)
            raise UserError(f"{what} is of type {kind}; give float, double, float16 or int")
        elements = _elements(tensor.dims, what)
        self.spend(elements, what)
        if tensor.data_location == TensorProto.EXTERNAL:
            return self._external(tensor, elements, what)
        self._check_length(tensor, elements, what)
        array: Array = numpy_helper.to_array(tensor)
        return array

    def sparse(self, tensor: SparseTensorProto) -> Array:
        """Return a SparseTensorProto's numbers as a dense array (COO, linear or full indices)."""
        what = f"sparse tensor {short(tensor.values.name)}"
        dims = list(tensor.dims)
        elements = _elements(dims, what)
        self.spend(elements, what)
        values, indices = self.dense(tensor.values), self.dense(tensor.indices)
        if (
            indices.ndim == 2
            and indices.shape[1] == len(dims)
            and np.issubdtype(indices.dtype, np.integer)
        ):
            inside = np.all((indices >= 0) & (indices < dims), axis=None)
            linear = indices @ np.array([math.prod(dims[i + 1 :]) for i in range(len(dims))])
        else:
            linear = indices
            inside = np.all((linear >= 0) & (linear < elements), axis=None)
        if not inside or linear.shape != values.shape or values.ndim != 1:
            raise UserError(f"{what} has indices that do not fit its shape {dims}; export it again")
        array = np.zeros(elements, values.dtype)
        array[linear] = values
        return array.reshape(dims)

    def _check_length(self, tensor: TensorProto, elements: int, what: str) -> None:
        if tensor.HasField("raw_data"):
            found, wanted = len(tensor.raw_data), _bytes_of(tensor, elements)
            unit = "bytes"
        else:
            found, wanted = len(getattr(tensor, _TYPED_FIELD[tensor.data_type])), elements
            unit = "numbers"
            if tensor.data_type in _HALVES:
                wanted, unit = _bytes_of(tensor, elements), "bytes"
        if found != wanted:
            raise UserError(
                f"{what} says {list(tensor.dims)} but has {found} {unit}, not {wanted}; "
                "export it again"
            )

    def _external(self, tensor: TensorProto, elements: int, what: str) -> Array:
        """Read numbers from a file beside the model; a path that leaves the model's folder is
        refused."""
        info = _external_info(tensor, what)
        folder = self._folder.resolve()
        try:
            path = (folder / info.location).resolve()
            is_there = path.is_file()
        except OSError as error:  # a name that is too long, a link to itself
            raise UserError(
                f"{what} names a file that cannot be read ({error.strerror}); export it again"
            ) from error
        if not path.is_relative_to(folder):
            raise UserError(
                f"{what} points outside the model's folder ({short(info.location)}); export it "
                "with its weights inside (torch: external_data=False)"
            )
        if not is_there:
            raise UserError(f"{what} is in {short(info.location)}, which is not there; copy it too")
        wanted, offset = _bytes_of(tensor, elements), int(info.offset or 0)
        if offset < 0 or offset + wanted > path.stat().st_size:
            raise UserError(
                f"{what} needs bytes {offset} to {offset + wanted} of {short(info.location)}, "
                f"which has {path.stat().st_size}; export it again"
            )
        length: Any = info.length  # onnx's class says None, whatever the file says
        if length is not None and length != wanted:
            raise UserError(
                f"{what} says {list(tensor.dims)}, which is {wanted} bytes, but has {length} "
                f"in {short(info.location)}; export it again"
            )
        with path.open("rb") as file:
            file.seek(offset)
            inside = TensorProto()
            inside.CopyFrom(tensor)
            inside.data_location = TensorProto.DEFAULT
            del inside.external_data[:]
            inside.raw_data = file.read(wanted)
        array: Array = numpy_helper.to_array(inside)
        return array


def _bytes_of(tensor: TensorProto, elements: int) -> int:
    if tensor.data_type in _HALVES:
        return (elements + 1) // 2
    return elements * _ITEM_BYTES[tensor.data_type]


def short(text: Any) -> str:
    """Return a name from a file, quoted, on one line and shortened if it is long."""
    shown = repr(str(text))
    return shown if len(shown) <= 80 else shown[:76] + "...'"


def _external_info(tensor: TensorProto, what: str) -> ExternalDataInfo:
    try:
        info = ExternalDataInfo(tensor)
        int(info.offset or 0)
    except (ValueError, TypeError) as error:
        raise UserError(f"{what} has broken external data ({error}); export it again") from error
    if not isinstance(info.location, str) or not info.location or "\0" in info.location:
        raise UserError(f"{what} names no file for its external data; export it again")
    return info


def _elements(dims: Any, what: str) -> int:
    sizes = list(dims)
    if len(sizes) > 8 or any(size < 0 for size in sizes):
        raise UserError(f"{what} has the shape {sizes[:9]}; export it again")
    return math.prod(sizes)


def type_name(data_type: int) -> str:
    names: dict[int, str] = {number: name for name, number in TensorProto.DataType.items()}
    return names.get(data_type, f"number {data_type}")
