"""Every core in the registry: it runs what it is given, in every bit, and says what it costs."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.cores import CORES, cortex_m_measuring, cortex_m_trace, find_core
from sparsectl.firmware_host.cores.core import Core
from tests.firmware_host.cores.policies import (
    c_policy,
    float_policy,
    integer_actions,
    integer_policy,
    recurrent_policy_folder,
)
from tests.policy.recurrent_policies import random_recurrent
from tests.tools import need

PROGRAMS = {
    "cortex": ("arm-none-eabi-gcc",),
    "rv32": ("riscv64-unknown-elf-gcc", "qemu-system-riscv32"),
    "atmega": ("avr-gcc", "simavr", "gcc"),
    "host": ("gcc",),
}
TWO = np.array([[0.5, -0.25], [-1.0, 2.0], [3.0, 0.125]], np.float32)


@pytest.fixture(params=CORES)
def core(request: pytest.FixtureRequest) -> Core:
    for prefix, programs in PROGRAMS.items():
        if request.param.startswith(prefix):
            need(*programs)
    return CORES[request.param]


def test_float_policy_bit_for_bit(core: Core, tmp_path: Path) -> None:
    folder, policy = float_policy(tmp_path / "policy")
    observations, actions = policy.vectors()
    found = core.measure(folder, _work(tmp_path), observations, 10)
    assert found.actions.view(np.uint32).tolist() == actions.view(np.uint32).tolist()
    where = "data" if core.name.startswith("atmega") else "tables"  # on AVR without PROGMEM
    assert found.flash[where] > 4 * 208 and found.flash["code"] > 0  # its weights
    assert (found.cycles_kind is None) == (found.cycles is None)
    assert found.note


@pytest.mark.parametrize("encoding", ["dense", "dense-int8"])
def test_recurrent_policy_bit_for_bit(encoding: str, core: Core, tmp_path: Path) -> None:
    """A GRU's golden sequences, reset where they begin; its state counts as RAM."""
    graph = random_recurrent((4,), actions=1, starts_at_zero=False)
    folder, golden = recurrent_policy_folder(graph, tmp_path / "policy", encoding)
    assert golden.sequence_length == 5 and len(golden.actions) == 10
    found = core.measure(folder, _work(tmp_path), golden.observations, 10)
    assert found.actions.view(np.uint32).tolist() == golden.actions.view(np.uint32).tolist()
    state_bytes = 2 if encoding == "dense-int8" else 4  # its state is in whole numbers
    assert found.ram_bytes == state_bytes * graph.state_size
    for counts in (found.instructions, found.cycles):
        assert counts is None or len(counts) == 10 and min(counts) > 0


def test_integer_policy_bit_for_bit(core: Core, tmp_path: Path) -> None:
    folder = integer_policy(tmp_path / "policy")
    found = core.measure(folder, _work(tmp_path), TWO, 10)
    wanted = integer_actions(TWO)
    assert found.actions.view(np.uint32).tolist() == wanted.view(np.uint32).tolist()
    assert wanted.min() == 0 < wanted.max()


def test_memory_is_what_the_policy_uses(core: Core, tmp_path: Path) -> None:
    """The stack as deep as it went, and static memory over that of an empty policy."""
    stack = "    volatile char b[200];\n    for (int i = 0; i < 200; i++) b[i] = (char)i;\n"
    static = "    static float kept[32];\n    kept[observation[0] > 0] = observation[1];\n"
    body = stack + static + "    action[0] = kept[0] + kept[31] + (float)b[7];"
    found = core.measure(c_policy(tmp_path / "policy", body), _work(tmp_path), TWO, 10)
    assert found.stack_bytes is not None
    assert 200 <= found.stack_bytes <= 280
    assert found.ram_bytes == 128


def test_work_grows_with_the_observation(core: Core, tmp_path: Path) -> None:
    """A call's own figures: the second observation's loop is ten times the first's."""
    body = (
        "    volatile int n = 0;\n    const int end = (int)observation[0];\n"
        "    for (int i = 0; i < end; i++) n = n + 1;\n    action[0] = (float)n;"
    )
    folder = c_policy(tmp_path / "policy", body)
    observations = np.array([[100, 0], [1000, 0]], np.float32)
    found = core.measure(folder, _work(tmp_path), observations, 10)
    assert found.actions.ravel().tolist() == [100, 1000]
    figures = [counts for counts in (found.instructions, found.cycles) if counts is not None]
    assert figures or core.name == "host"  # the host counts where valgrind is
    for counts in figures:
        assert 8 < counts[1] / counts[0] < 10.1


def test_the_share_of_activations(core: Core, tmp_path: Path) -> None:
    """Inlined or not, with what they call: here one takes about half of the time."""
    if core.name == "host":
        need("valgrind")
    loop = "    for (volatile int i = 0; i < 300; i++) x = x * 0.5f;\n"
    folder = c_policy(
        tmp_path / "policy", f"    float x = tanh_like(observation[0]);\n{loop}    action[0] = x;"
    )
    source = folder / "policy.c"
    activation = f"static float tanh_like(float x)\n{{\n{loop}    return x;\n}}\n"
    source.write_text(source.read_text().replace("\nvoid", f"\n{activation}\nvoid"))
    found = core.measure(folder, _work(tmp_path), TWO, 10)
    assert found.activation_share is not None
    assert 0.4 < found.activation_share < 0.6


@pytest.mark.parametrize("encoding", ["dense", "dense-int8"])
def test_running_gives_the_actions_of_all_observations(
    encoding: str, core: Core, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the state reset where golden sequences begin; what is measured may be fewer."""
    monkeypatch.setattr(cortex_m_measuring, "MAX_BLOCKS", 1)
    graph = random_recurrent((4,), actions=1, starts_at_zero=False)
    folder, golden = recurrent_policy_folder(graph, tmp_path / "policy", encoding)
    found = core.run(folder, _work(tmp_path), golden.observations)
    assert found.dtype == np.float32
    assert found.view(np.uint32).tolist() == golden.actions.view(np.uint32).tolist()


def test_names_and_limits() -> None:
    for name, core in CORES.items():
        assert core.name == name
        assert "-ffp-contract=off" in core.flags and "-std=c99" in core.flags
        assert core.compiler_package
    assert CORES["atmega328p"].flash_bytes == 32768
    with pytest.raises(UserError, match="no core 'z80'; known: cortex-m0"):
        find_core("z80")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cortex-m4f", "arm-none-eabi-gcc.*apt-get install gcc-arm-none-eabi"),
        ("rv32imac", "riscv64-unknown-elf-gcc.*apt-get install gcc-riscv64-unknown-elf"),
        ("atmega328p", "avr-gcc.*apt-get install gcc-avr"),
    ],
)
def test_no_compiler(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = integer_policy(tmp_path / "policy")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=message):
        CORES[name].measure(folder, _work(tmp_path), TWO, 1)


def test_no_emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("riscv64-unknown-elf-gcc")
    folder = integer_policy(tmp_path / "policy")
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("gcc", "size"):
        wrapper = bare / f"riscv64-unknown-elf-{name}"
        wrapper.write_text(f'#!/bin/sh\nexec {shutil.which(wrapper.name)} "$@"\n')
        wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", str(bare))
    with pytest.raises(UserError, match="qemu-system-riscv32 is not installed.*qemu-system-misc"):
        CORES["rv32imac"].measure(folder, _work(tmp_path), TWO, 1)


def test_policy_that_does_not_fit(tmp_path: Path) -> None:
    need("avr-gcc")
    body = "    static volatile float kept[3000];\n    action[0] = kept[(int)observation[0]];"
    folder = c_policy(tmp_path / "policy", body)
    with pytest.raises(UserError, match=r"12000 bytes of RAM, atmega328p has 2048|does not fit"):
        CORES["atmega328p"].run(folder, _work(tmp_path), TWO)


def test_code_that_does_not_fit(tmp_path: Path) -> None:
    need("avr-gcc")
    folder = c_policy(tmp_path / "policy", "    action[0] = observation[0];")
    source = folder / "policy.c"
    tables = "".join(f"const char t{i}[20000] PROGMEM = {{1}};\n" for i in range(2))
    read = "static float read(int i) { return t0[i] + t1[i]; }\n"
    text = source.read_text().replace("\nvoid", f"\n#include <avr/pgmspace.h>\n{tables}{read}void")
    source.write_text(text.replace("observation[0];", "read((int)observation[0]);"))
    with pytest.raises(UserError, match="does not fit the memory of atmega328p"):
        CORES["atmega328p"].measure(folder, _work(tmp_path), TWO, 1)


def test_policy_that_reaches_for_nothing(tmp_path: Path) -> None:
    need("arm-none-eabi-gcc")
    folder = c_policy(tmp_path / "policy", "    action[0] = *(volatile float *)0x60000000;")
    with pytest.raises(UserError, match="the compiled policy fails at 0x"):
        CORES["cortex-m4f"].measure(folder, _work(tmp_path), TWO, 1)


def test_policy_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("arm-none-eabi-gcc")
    folder = c_policy(tmp_path / "policy", "    for (volatile int on = 1; on;) {}")
    monkeypatch.setattr(cortex_m_trace, "RUN_TIMEOUT_S", 0.5)
    with pytest.raises(UserError, match="does not return within 0.5 s"):
        CORES["cortex-m4f"].measure(folder, _work(tmp_path), TWO, 1)
    (tmp_path / "again").mkdir()
    with pytest.raises(UserError, match="does not return within 0.5 s"):
        CORES["cortex-m4f"].run(folder, tmp_path / "again", TWO)


def _work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder
