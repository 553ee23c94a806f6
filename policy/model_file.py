"""Check a model's file before any of it is read."""

from __future__ import annotations

from pathlib import Path

from sparsectl.common.errors import UserError


def check_model_file(path: Path, limit_bytes: int) -> None:
    """Refuse a path that is not a file, and a file over the limit, before any of it is read.

    Raises:
        UserError: the path is missing, a folder, empty, over the limit, or may not be read.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the file of a model in it")
    if not path.is_file():
        raise UserError(f"{path} does not exist; give a student.safetensors, .onnx or .zip file")
    size = path.stat().st_size
    if size == 0:
        raise UserError(f"{path} is empty; make it again")
    if size > limit_bytes:
        raise UserError(
            f"{path} has {size} bytes; a policy for a microcontroller has at most {limit_bytes}"
        )
    try:
        path.open("rb").close()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; mend that") from error
