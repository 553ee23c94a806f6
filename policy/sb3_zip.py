"""Read a Stable-Baselines3 zip without unpickling.

Its member `policy.pth` is a state dict, read by torch's weights-only loader from memory. Its member
`data` is JSON whose objects carry base64 pickles, which are never unpickled (see `sb3_bounds`).
"""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.policy.state_dict import POLICY_BYTES_LIMIT

DATA_BYTES_LIMIT = 16 * 2**20


def read_members(path: Path) -> tuple[bytes, dict[str, Any]]:
    """Return the bytes of `policy.pth` and the plain fields of `data`.

    Raises:
        UserError: the file is not a zip of a model, or a member is too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            policy = _member(path, archive, "policy.pth", POLICY_BYTES_LIMIT)
            data = json.loads(_member(path, archive, "data", DATA_BYTES_LIMIT))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path} is not a whole zip ({error}); save the model again") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: its member `data` is not JSON; save the model again") from error
    return policy, data if isinstance(data, dict) else {}


def _member(path: Path, archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    if name not in archive.namelist():
        raise UserError(f"{path} has no member `{name}`; it is not a Stable-Baselines3 model")
    size = archive.getinfo(name).file_size
    if size > limit:
        raise UserError(f"{path}: member `{name}` unpacks to {size} bytes; the limit is {limit}")
    return archive.read(name)
