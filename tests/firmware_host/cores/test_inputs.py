"""What is measured on: golden vectors as the header has them, and others around them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sparsectl.common.errors import UserError
from sparsectl.common.quantities import bytes_from
from sparsectl.firmware_host.cores.measured_inputs import measured_inputs
from sparsectl.firmware_host.policy_folder import read_golden_vectors
from tests.firmware_host.small_policy import small_policy

FLOATS = st.floats(-100, 100, width=32)


def test_golden_vectors_are_read_in_every_bit(tmp_path: Path) -> None:
    policy = small_policy()
    folder = policy.write(tmp_path / "policy")
    found = read_golden_vectors(folder)
    observations, actions = policy.vectors()
    assert found.observations.tobytes() == observations.tobytes()
    assert found.actions.tobytes() == actions.tobytes()


@pytest.mark.parametrize("text", ["", "static const float policy_vector_observation[1][25] = {{"])
def test_a_file_without_vectors_is_refused(tmp_path: Path, text: str) -> None:
    folder = small_policy().write(tmp_path / "policy")
    (folder / "policy_vectors.h").write_text(text)
    with pytest.raises(UserError, match="holds no golden vectors"):
        read_golden_vectors(folder)


@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 20)), elements=FLOATS))
def test_the_inputs_have_the_golden_ones_first_and_reaches_around_them(golden: np.ndarray) -> None:
    found = measured_inputs(golden, random=3)
    assert found[: len(golden)].tobytes() == golden.tobytes()
    assert found.dtype == np.float32 and np.isfinite(found).all()
    rows = [row.tobytes() for row in found]
    assert golden.min(axis=0).tobytes() in rows and golden.max(axis=0).tobytes() in rows
    assert found.tobytes() == measured_inputs(golden, random=3).tobytes()


@pytest.mark.parametrize(
    ("text", "size"),
    [("300", 300), ("8K", 8192), ("8k", 8192), ("1.5K", 1536), ("2KiB", 2048), ("1M", 1 << 20)],
)
def test_sizes(text: str, size: int) -> None:
    assert bytes_from(text) == size


@pytest.mark.parametrize("text", ["", "K", "-8K", "8G", "8 K", "eight"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        bytes_from(text)


@pytest.mark.parametrize("text", ["9" * 400, "1" + "0" * 15 + "M"])
def test_sizes_beyond_any_memory(text: str) -> None:
    with pytest.raises(ValueError, match="more than any memory has") as error:
        bytes_from(text)
    assert len(str(error.value)) < 150
