"""A Stable-Baselines3 zip as a source: its actor in ONNX, run like any other file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sparsectl.export.source.onnx_source import OnnxSource
from sparsectl.policy.normalizer import read_normalizer
from sparsectl.policy.sb3_file import read_sb3
from sparsectl.policy.sb3_onnx import as_onnx


class Sb3Source(OnnxSource):
    """The acting network of a zip, behind its normaliser where one is given.

    What finds the network in the zip is shared with the reader, unlike what runs it: a mistake
    there is for the tests to show, which hold every head against the library's own `predict`.
    """

    def __init__(self, path: Path, normalizer: Path | None, sizes: tuple[int, int]) -> None:
        """sizes: of the observation and of the action, as the policy was read.

        Raises:
            UserError: what `read_sb3` and `read_normalizer` raise.
        """
        before = read_normalizer(normalizer) if normalizer else None
        data = path.read_bytes()
        super().__init__(path, None, sizes, as_onnx(read_sb3(path), before).SerializeToString())
        self.sha256 = hashlib.sha256(data).hexdigest()
        self.output = None  # a zip has no outputs with names
        if normalizer and before:
            self.data_sha256 = {normalizer.name: before.sha256}
