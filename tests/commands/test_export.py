"""`export --board` and `bench MODEL` from end to end, on the emulators."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sparsectl.cli import parse
from sparsectl.command_line.config import ChooseConfig
from sparsectl.commands.bench import bench
from sparsectl.commands.choosing.measuring import candidates
from sparsectl.commands.export import export
from sparsectl.common.errors import UserError
from sparsectl.export.encodings.registry import ENCODINGS
from sparsectl.export.packaging.registry import PACKAGES
from sparsectl.firmware_host import policy_folder
from sparsectl.firmware_host.boards import BOARDS
from sparsectl.firmware_host.config import BenchConfig
from sparsectl.firmware_host.cores import CORES
from sparsectl.policy.graph import Layer, PolicyGraph, Signal
from sparsectl.policy.onnx_file.reader import read_onnx
from sparsectl.policy.onnx_file.writer import write_onnx
from tests.tools import need

FEW = {"observations": 200, "vectors": 8}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """3-6-1, half of the weights zero, for Gymnasium's Pendulum."""
    random = np.random.default_rng(5)
    first = random.normal(0, 1, (6, 3)) * (random.random((6, 3)) < 0.5)
    first[:, 0] += 0.3
    layers = (
        Layer(first.astype(np.float32), random.normal(0, 0.1, 6).astype(np.float32), "relu"),
        Layer(random.normal(0, 0.3, (1, 6)).astype(np.float32), np.zeros(1, np.float32), "tanh"),
    )
    limits = (("cos", 1.0), ("sin", 1.0), ("rate", 8.0))
    signals = tuple(Signal(name, low=-high, high=high) for name, high in limits)
    action = (Signal("torque", scale=2.0, low=-2.0, high=2.0),)
    graph = PolicyGraph(layers, signals, action, environment="Pendulum-v1")
    write_onnx(graph, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_the_choice_is_measured_written_and_proven(model: Path, tmp_path: Path) -> None:
    need("arm-none-eabi-gcc", "gcc")
    out = tmp_path / "policy"
    config = ChooseConfig(model, out, board=("cortex-m4f", "host"), error=1e-5, episodes=2, **FEW)
    result = export(config)
    choice = json.loads((out / "choice.json").read_text())
    assert {row["encoding"] for row in choice["candidates"]} == set(
        candidates("auto", "cortex-m4f")
    )
    chosen = next(c for c in choice["candidates"] if c["encoding"] == result["encoding"])
    fitting = [c for c in choice["candidates"] if "reason" not in c and not c["over"]]
    assert chosen["time"] == min(c["time"] for c in fitting)
    measured = bench(BenchConfig(model, board="cortex-m4f", error=1e-5))
    assert measured["encoding"] == measured["choice"]["encoding"] == result["encoding"] != "csr"
    assert chosen["kind"] == "float32" and chosen["front"]
    assert (out / "choice.svg").read_text().count(result["encoding"]) >= 1
    assert all(result["boards"][name]["bit_exact"] for name in config.board)
    assert result["boards"]["cortex-m4f"]["cycles_worst"] == chosen["time"]
    loop = result["closed_loop"]
    assert loop["environment"] == "Pendulum-v1"
    assert loop["greatest_return_difference"] < 1e-2
    assert loop["host_c"]["episodes"] == 2


def test_policy_h_states_the_memory_that_bench_measures(model: Path, tmp_path: Path) -> None:
    need("arm-none-eabi-gcc", "avr-gcc", "simavr")
    out = tmp_path / "policy"
    boards = ("cortex-m3", "atmega328p")
    export(ChooseConfig(model, out, encoding="packed-int16", board=boards, **FEW))
    measured = {board: bench(BenchConfig(out, board=board)) for board in boards}
    stated = {row["board"]: row for row in json.loads((out / "policy.json").read_text())["memory"]}
    header = (out / "policy.h").read_text()
    for board, found in measured.items():
        for name in ("stack_bytes", "ram_bytes", "flash_bytes"):
            assert stated[board][name] == found[name]
        assert f"bytes of stack {found['stack_bytes']} below the call" in header
        assert re.search(rf"{board} \(\S+gcc [\d.]+ -O2, \d+ calls\)", header)
    most = max(found["stack_bytes"] for found in measured.values())
    assert f"#define POLICY_STACK_BYTES {most}\n#define POLICY_RAM_BYTES 0\n" in header
    assert most >= largest_frame(out, "arm-none-eabi-gcc", "-mcpu=cortex-m3", "-mthumb") > 0


def largest_frame(policy: Path, compiler: str, *flags: str) -> int:
    """Of one function, as the compiler tells: a stack that is measured right is no less."""
    command = [compiler, *flags, "-std=c99", "-O2", "-fstack-usage", "-c", "policy.c", "-o", "p.o"]
    subprocess.run(command, cwd=policy, check=True)
    rows = [line.split("\t") for line in (policy / "p.su").read_text().splitlines()]
    return max(int(size) for _, size, _ in rows)


def test_without_a_board_this_computer_is_named(model: Path, tmp_path: Path) -> None:
    result = export(ChooseConfig(model, tmp_path / "policy", **FEW))
    header = (tmp_path / "policy" / "policy.h").read_text()
    assert "memory       this computer, as no --board was named" in header
    assert "POLICY_STACK_BYTES" not in header
    (need_of_host,) = result["memory"]
    assert need_of_host["stack_bytes"] == bench(BenchConfig(tmp_path / "policy"))["stack_bytes"]


def test_nothing_fits_says_what_comes_nearest(model: Path, tmp_path: Path) -> None:
    need("arm-none-eabi-gcc")
    config = ChooseConfig(
        model,
        tmp_path / "out",
        encoding="csr",
        board=("cortex-m0",),
        flash=100,
        cycles=10**9,
        **FEW,
    )
    with pytest.raises(
        UserError, match="stays within --flash 100 .*the closest, csr, takes .* bytes of"
    ):
        export(config)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flash": 8192}, "--flash 8192 is a limit that is measured on a board; name one"),
        ({"board": ("z80",)}, "no board 'z80'"),
        ({"board": ("host",), "cycles": 0}, "--cycles is 0; give a number over 0"),
        ({"board": ("host",), "error": -1.0}, "--error is -1.0; give a number over 0"),
        ({"error": float("nan")}, "--error is nan; give a number over 0"),
        ({"board": ("host",), "encoding": "origami"}, "encoding 'origami' is not known"),
        ({"board": ("host",), "calibration": Path("no.npz")}, "--calibration is no.npz, which is"),
    ],
)
def test_mistakes(model: Path, tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        export(ChooseConfig(model, tmp_path / "out", **change))  # type: ignore[arg-type]


def test_fixed_point_of_unknown_inputs_is_left_out_with_the_reason(
    model: Path, tmp_path: Path
) -> None:
    graph = read_onnx(model)
    blind = tuple(Signal(signal.name) for signal in graph.observation)
    write_onnx(replace(graph, observation=blind), model)
    config = ChooseConfig(model, tmp_path / "out", board=("host",), encoding="packed-int16", **FEW)
    with pytest.raises(UserError, match="packed-int16.* nothing says what .* --range LOW,HIGH"):
        export(config)


def test_episodes_need_an_environment(model: Path, tmp_path: Path) -> None:
    graph = PolicyGraph(
        (Layer(np.ones((1, 1), np.float32), np.zeros(1, np.float32), "tanh"),),
        (Signal("x"),),
        (Signal("y", low=-1.0, high=1.0),),
    )
    write_onnx(graph, model)
    with pytest.raises(UserError, match="names no environment to run episodes in"):
        export(ChooseConfig(model, tmp_path / "out", episodes=1, **FEW))
    assert not (tmp_path / "out").exists()


def test_episodes_in_an_environment_of_ones_own(model: Path, tmp_path: Path) -> None:
    """`export` has no --env with which it could be imported."""
    write_onnx(replace(read_onnx(model), environment="mine:Own-v0"), model)
    with pytest.raises(UserError, match="measure what export writes.*evaluate.*--env mine:Own-v0"):
        export(ChooseConfig(model, tmp_path / "out", episodes=1, **FEW))


def test_candidates_serve_the_core() -> None:
    for core in ("cortex-m4f", "atmega328p", "rv32imac"):
        for name in candidates("auto", core):
            cores = ENCODINGS[name].cores
            assert cores is None or core in cores
    assert {"dense", "csr"} <= set(candidates("auto", "cortex-m0"))


def test_the_help_names_every_board_core_and_encoding(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["export", "--help"])
    words = set(re.findall(r"[a-z0-9-]+", capsys.readouterr().out))
    assert words >= {*BOARDS, *CORES, *ENCODINGS, *PACKAGES}


def test_bench_takes_a_model(model: Path) -> None:
    need("arm-none-eabi-gcc")
    result = bench(BenchConfig(model, board="cortex-m3", encoding="csr"))
    assert (result["encoding"], result["bit_exact"]) == ("csr", True)
    assert 0 < result["max_abs_error"] < 1e-5  # against the model, which float32 only nears
    assert result["cycles_least"] <= result["cycles"] <= result["cycles_worst"]
    assert 0 < result["activation_share"] < 1
    assert result["flash_bytes"] == sum(result["flash"].values())


def test_bench_on_all_cores(model: Path) -> None:
    result = bench(BenchConfig(model, board="all", runs=10))
    named = {row[0]: row for row in result["table"][1:]}
    assert set(named) == set(result["cores"])
    column = result["table"][0].index("golden vectors")
    assert named["host"][column] == "bit for bit"
    for found in result["cores"].values():
        assert found.get("bit_exact") or "install" in found["reason"]
        assert found.get("reason") or min(found["flash"]["code"], found["flash"]["tables"]) > 0


@pytest.mark.parametrize("board", [(), ("cortex-m0",)])
def test_export_never_reads_the_c_that_it_wrote(
    board: tuple[str, ...], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if board:
        need("arm-none-eabi-gcc")
    read: list[Path] = []
    monkeypatch.setattr(policy_folder, "facts_of_header", read.append)
    monkeypatch.setattr(policy_folder, "vectors_of_header", lambda path, _: read.append(path))
    export(ChooseConfig(model, tmp_path / "p", board=board, encoding="csr", **FEW))  # type: ignore[arg-type]
    assert read == [] and (tmp_path / "p" / "policy.json").is_file()


def test_bench_of_a_folder_whose_golden_vectors_do_not_hold_is_an_error(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "policy"
    export(ChooseConfig(model, folder, **FEW))  # type: ignore[arg-type]
    source = (folder / "policy.c").read_text()
    changed = source.replace("odd[0] * 0x1p+1f", "odd[0] * 0x1.8p+0f")
    assert changed != source
    (folder / "policy.c").write_text(changed)
    with pytest.raises(UserError, match="not reproduce its golden vectors bit for bit on host:"):
        bench(BenchConfig(folder, runs=10))
    with pytest.raises(UserError, match="bit for bit on .*host"):
        bench(BenchConfig(folder, board="all", runs=10))
    shown = capsys.readouterr().err
    assert "golden vectors" in shown and "WRONG" in shown
    assert "host" in shown


def test_bench_of_what_is_no_policy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds neither policy.c nor policy.onnx"):
        bench(BenchConfig(tmp_path))
