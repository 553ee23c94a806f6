"""A file of an RL library as a source: its actor as ONNX, run like any other file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sparsectl.export.source.onnx_source import OnnxSource
from sparsectl.policy.actor_file import read_actor
from sparsectl.policy.actor_onnx import as_onnx
from sparsectl.policy.normalizer import read_normalizer


class ActorSource(OnnxSource):
    """The acting network of a file, behind its normaliser if one is given.

    What finds the network in the file is shared with the reader, unlike what runs it: a mistake
    there is for the tests to show, which hold every head against the library's own acting.
    """

    def __init__(self, path: Path, normalizer: Path | None, sizes: tuple[int, int]) -> None:
        """sizes: of the observation and of the action, as the policy was read.

        Raises:
            UserError: what `read_actor` and `read_normalizer` raise.
        """
        before = read_normalizer(normalizer) if normalizer else None
        data = path.read_bytes()
        super().__init__(path, None, sizes, as_onnx(read_actor(path), before).SerializeToString())
        self.sha256 = hashlib.sha256(data).hexdigest()
        self.output = None  # the file has no outputs with names
        if normalizer and before:
            self.data_sha256 = {normalizer.name: before.sha256}
