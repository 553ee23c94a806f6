"""Each test draws the same numbers, whichever were run before it in the same process."""

from __future__ import annotations

import pytest

from tests.policy.onnx_file import chains, policy_file

AT_FIRST = [(each, each.bit_generator.state) for each in (chains.GENERATOR, policy_file.GENERATOR)]


@pytest.fixture(autouse=True)
def _drawn_from_the_start() -> None:
    for generator, state in AT_FIRST:
        generator.bit_generator.state = state
