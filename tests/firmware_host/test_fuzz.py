"""The frame receiver under clang's coverage-guided fuzzer, with address and UB sanitizers."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from sparsectl.firmware_host.boards.board import FIRMWARE
from sparsectl.protocol import wire
from sparsectl.protocol.framing import cobs_decode
from tests.tools import need

RUNS = 100_000


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fuzz target, compiled."""
    need("clang")
    program = tmp_path_factory.mktemp("fuzz") / "fuzz_frames"
    core = FIRMWARE / "core"
    sources = [FIRMWARE / "fuzz" / "fuzz_frames.c", core / "frame.c", core / "crc32.c"]
    command = ["clang", "-std=c99", "-O1", "-g", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
    command += ["-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
    subprocess.run([*command, f"-I{core}", "-o", program, *sources], check=True)
    return program


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Whole frames to begin with: by chance a fuzzer takes long to come past the check value."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number, name in enumerate(("HOME", "ARM", "STEP")):
        frame = wire.encode(name, number, **dict.fromkeys(wire.fields_to_board(name), 1))
        packet = cobs_decode(frame.strip(b"\0"))
        assert packet is not None
        (folder / name).write_bytes(bytes([1, len(packet) - 4]) + packet[:-4])
    return folder


def test_the_receiver_survives_a_guided_fuzzer(fuzzer: Path, corpus: Path, tmp_path: Path) -> None:
    command = [fuzzer, f"-runs={RUNS}", "-seed=1", "-max_len=600", f"-artifact_prefix={tmp_path}/"]
    # A process starts with the peak memory of the one that it was forked from, here pytest's, and
    # the fuzzer goes by that; what it allocates itself stays bounded.
    command += ["-rss_limit_mb=0", "-malloc_limit_mb=256"]
    result = subprocess.run([*command, corpus], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    covered = [int(found) for found in re.findall(r"cov: (\d+)", result.stderr)]
    assert covered[-1] > 60  # beyond the check value: frames were received and built again


def test_the_fuzzer_finds_a_receiver_that_overflows(tmp_path: Path) -> None:
    """The same target around a receiver that does not look at its buffer's end."""
    need("clang")
    core = FIRMWARE / "core"
    source = (core / "frame.c").read_text()
    broken = source.replace(
        "if (receiver->size < WIRE_MAX_PACKET) {", "if (receiver->size < 400) {"
    )
    assert broken != source
    (tmp_path / "frame.c").write_text(broken)
    program = tmp_path / "fuzz_broken"
    command = ["clang", "-std=c99", "-O1", "-g", "-fsanitize=fuzzer,address", f"-I{core}"]
    sources = [FIRMWARE / "fuzz" / "fuzz_frames.c", tmp_path / "frame.c", core / "crc32.c"]
    subprocess.run([*command, "-o", program, *sources], check=True)
    run = [program, f"-runs={RUNS}", "-seed=1", "-max_len=600", f"-artifact_prefix={tmp_path}/"]
    assert subprocess.run(run, capture_output=True, timeout=300).returncode != 0
