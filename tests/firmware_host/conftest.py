"""What is compiled once for all tests of the firmware."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sparsectl.firmware_host.build import build_firmware
from tests.firmware_host.core_library import RIG, Core
from tests.firmware_host.small_policy import SmallPolicy, small_policy

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-Werror")


@pytest.fixture(scope="session")
def core(tmp_path_factory: pytest.TempPathFactory) -> Core:
    return Core(tmp_path_factory.mktemp("core"))


@pytest.fixture(scope="session")
def policy() -> SmallPolicy:
    return small_policy()


@pytest.fixture(scope="session")
def policy_dir(policy: SmallPolicy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return policy.write(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Builds a policy's folder for the host, address and undefined-behaviour sanitizers in."""

    def build(policy_dir: Path) -> Path:
        out = tmp_path_factory.mktemp("firmware")
        return Path(build_firmware(policy_dir, "host", RIG, out, SANITIZERS)["elf"])

    return build


@pytest.fixture(scope="session")
def elf(policy_dir: Path, build: Callable[[Path], Path]) -> Path:
    return build(policy_dir)
