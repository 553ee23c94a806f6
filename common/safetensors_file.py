"""Safetensors files that are either whole or absent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors

from sparsectl.common.errors import UserError
from sparsectl.common.files import atomic_path

Save = Callable[[Any, Path, dict[str, str]], None]
"""`safetensors.torch.save_file`, or numpy's: tensors by name, where to, metadata."""


def write_safetensors(path: Path, save: Save, tensors: Any, metadata: dict[str, str]) -> None:
    """Write tensors atomically.

    Raises:
        UserError: the file cannot be written.
    """
    with atomic_path(path) as temporary:
        try:
            save(tensors, temporary, metadata)
        except safetensors.SafetensorError as error:  # a full disk, too, comes as one of these
            raise UserError(
                f"cannot write {path} ({error}); free disk space, or give another --out"
            ) from error
