"""What a rebuilding of the project must leave as it is: the SHA-256 of everything that it makes.

    python benchmarks/unchanged.py --out before.json
    python benchmarks/unchanged.py --out after.json --before before.json

Every encoding of ten models and every package of one, the firmware of every board whose compiler is
there, two lockstep trials' journals, one student of the quick preset, and the tables of docs/. With
`--before` it prints what differs and ends with exit code 1 if anything does. The revision is
"unknown" in all of it, so that two revisions can be compared. Verifying the exports takes
minutes; `--only text` has all that they write but policy.json, unverified, in a minute or two.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a script, its folder is on the path, not the root

from benchmarks.networks import write_networks  # noqa: E402
from sparsectl.cli import COMMANDS, load, parse  # noqa: E402
from sparsectl.common.errors import UserError  # noqa: E402
from sparsectl.common.files import read_json, write_json  # noqa: E402

ENCODINGS = (
    *("dense", "blocks", "blocks-skip", "csr", "csr-float16", "packed-int16", "packed-int8"),
    *("stream-int16", "straight-float32", "straight-int16", "straight-int8"),
)
PACKAGES = ("plain", "arduino", "platformio", "cmake", "zephyr")
BOARDS = (
    *("host", "stm32f405", "nucleo-f446re", "mps2-an386", "microbit"),
    *("arduino-uno", "arduino-mega2560", "hifive1"),
)
MOST_ROUNDED_WEIGHTS = 5000
"""What fixed point is written of without verifying it: choosing its scales takes long."""
RIGS = ("sensorsini_cartpole", "qube_servo2")


@dataclass(frozen=True)
class UnchangedConfig:
    """Record, and compare with an earlier record."""

    out: Path
    """File for the record."""
    before: Path | None = None
    """An earlier record to compare with."""
    only: tuple[str, ...] = ()
    """Parts of it: text, exports, firmware, trials, tables, student. The record's other parts
    stay."""


Digests = dict[str, str]


def digests(folder: Path) -> Digests:
    """File → SHA-256, of all files of a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def command(*words: object) -> dict[str, Any]:
    """A subcommand's result."""
    arguments = [str(word) for word in words]
    return load(COMMANDS[arguments[0]].function)(parse(arguments))


def models(scratch: Path) -> Iterator[Path]:
    """Ten ONNX files: networks of random weights, the shipped teachers, and small ones."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper, save

    yield from write_networks(scratch)
    yield from (ROOT / "training" / "teachers" / f"{rig}.onnx" for rig in RIGS)
    generator = np.random.default_rng(7)
    for name, activation in (("tanh", "Tanh"), ("elu", "Elu")):
        shapes = ((6, 16), (16,), (16, 2), (2,))
        tensors = [
            numpy_helper.from_array(generator.normal(0, 0.4, shape).astype(np.float32), f"w{i}")
            for i, shape in enumerate(shapes)
        ]
        nodes = [
            helper.make_node("Gemm", ["observation", "w0", "w1"], ["h"]),
            helper.make_node(activation, ["h"], ["a"]),
            helper.make_node("Gemm", ["a", "w2", "w3"], ["y"]),
            helper.make_node("Tanh", ["y"], ["action"]),
        ]
        ends = [
            [helper.make_tensor_value_info(end, TensorProto.FLOAT, [1, size])]
            for end, size in (("observation", 6), ("action", 2))
        ]
        graph = helper.make_graph(nodes, name, ends[0], ends[1], tensors)
        opset = helper.make_opsetid("", 17)
        save(
            helper.make_model(graph, opset_imports=[opset], ir_version=8), scratch / f"{name}.onnx"
        )
        yield scratch / f"{name}.onnx"


def of_text(scratch: Path) -> Digests:
    """What is written of every model in every encoding, portable too, and what the packages make of
    that under two prefixes: without compiling or running any of it."""
    import numpy as np

    from sparsectl.export.c_style import CStyle
    from sparsectl.export.c_writer import c_files, header
    from sparsectl.export.encodings.registry import ROUNDED, encode
    from sparsectl.export.golden import golden_vectors
    from sparsectl.export.memory import MemoryNeed
    from sparsectl.export.packaging.package import PolicySources
    from sparsectl.export.packaging.registry import write_package
    from sparsectl.policy.onnx_file.reader import read_onnx
    from sparsectl.policy.onnx_file.writer import write_onnx
    from sparsectl.policy.passes import simplify

    found: Digests = {}
    memory = (MemoryNeed("cortex-m4f", "gcc 12", 120, 0, 4000, 40),)
    facts = ("source       a.onnx", "accuracy     within 1e-7 of the source")
    pairs = [(model, encoding) for model in models(scratch / "models") for encoding in ENCODINGS]
    for model, encoding in tqdm(pairs, desc="texts"):
        graph = simplify(read_onnx(model))
        generator = np.random.default_rng(3)
        met = generator.uniform(-3, 3, (200, graph.observation_size)).astype(np.float32)
        if graph.kept_weights > MOST_ROUNDED_WEIGHTS and encoding in ROUNDED:
            continue  # minutes each; the C is of the same parts as a smaller one's
        out = scratch / "texts" / model.stem / encoding
        out.mkdir(parents=True)
        try:
            policy = encode(encoding, graph, met, are_met=model.stem in "cdp")
        except UserError as error:
            found[f"text {model.stem} {encoding}"] = f"refused: {error}"
            continue
        golden = golden_vectors(policy, met[:32])
        for portable in (True, False):
            style = CStyle(portable=portable)
            texts = c_files(policy, golden, "unknown", facts, style)
            texts["with_memory.h"] = header(policy, "unknown", facts, memory, [(-3, 3)])
            for name, text in texts.items():
                digest = hashlib.sha256(text.encode()).hexdigest()
                found[f"text {model.stem} {encoding} {portable} {name}"] = digest
        if model.stem not in ("c", "tanh"):
            continue
        for package in PACKAGES:
            for prefix in ("policy", "Left_arm"):
                folder = out / package / prefix
                folder.mkdir(parents=True)
                style = CStyle(prefix)
                texts = c_files(policy, golden, "unknown", facts, style)
                head = header(policy, "unknown", facts, memory, [(-3, 3)], style)
                texts[f"{prefix}.h"] = head
                write_onnx(graph, folder / "policy.onnx", sparse=False)
                write_package(package, PolicySources(graph, texts, style), folder)
                said = f"package {model.stem} {encoding} {package} {prefix}"
                found |= {f"{said} {k}": v for k, v in digests(folder).items()}
    return found


def of_exports(scratch: Path) -> Digests:
    """Every encoding of every model; every package of one; what cannot be says why."""
    found: Digests = {}
    pairs = [(model, encoding) for model in models(scratch / "models") for encoding in ENCODINGS]
    for model, encoding in tqdm(pairs, desc="encodings"):
        out = scratch / "exports" / model.stem / encoding
        words = ("--encoding", encoding, "--range", "-3,3", "--error", 10, "--observations", 500)
        try:
            command("export", model, "--out", out, *words)
        except UserError as error:
            found[f"export {model.stem} {encoding}"] = f"refused: {error}"
            continue
        found |= {f"export {model.stem} {encoding} {k}": v for k, v in digests(out).items()}
    for package in tqdm(PACKAGES, desc="packages"):
        out = scratch / "packages" / package
        command("export", scratch / "models" / "c.onnx", "--out", out, "--package", package)
        found |= {f"package {package} {k}": v for k, v in digests(out).items()}
    return found


def _strip(elf: Path, board: str) -> None:
    """Without what names folders; an .elf beside a .hex or .bin, which have the code, goes."""
    objcopy = {"host": "objcopy", "mps2-an386": "arm-none-eabi-objcopy"}.get(board)
    if objcopy is None:
        elf.unlink()
    else:
        words = [objcopy, "--strip-debug", "--remove-section=.note.gnu.build-id", str(elf)]
        subprocess.run(words, check=True)


def of_firmware(scratch: Path) -> Digests:
    """The images of every board for a small policy."""
    found: Digests = {}
    policy, hil = scratch / "small", ROOT / "tests" / "hil"
    command("export", hil / "easy_policy.onnx", "--encoding", "csr", "--out", policy)
    for board in tqdm(BOARDS, desc="boards"):
        out = scratch / "firmware" / board
        command("build", policy, "--board", board, "--rig", hil / "easy_rig.toml", "--out", out)
        (out / "build.json").unlink()  # it names folders
        _strip(out / "firmware.elf", board)
        found |= {f"firmware {board} {k}": v for k, v in digests(out).items()}
    return found


def of_trials(scratch: Path) -> Digests:
    """The journals of two lockstep trials with the plant simulated on the host."""
    found: Digests = {}
    for rig in RIGS:
        policy, out = scratch / "policies" / rig, scratch / "trials" / rig
        command("export", ROOT / "training" / "teachers" / f"{rig}.onnx", "--out", policy)
        words = ("--port", "virtual", "--mode", "pil", "--clock", "lockstep", "--seconds", 6)
        os.chdir(scratch)
        command("trial", "--policy", policy.relative_to(scratch), *words, "--out", out)
        os.chdir(ROOT)
        found[f"journal {rig}"] = hashlib.sha256((out / "journal.bin").read_bytes()).hexdigest()
    return found


def of_student(scratch: Path) -> Digests:
    """The weights of a student that the quick preset makes."""
    from safetensors.numpy import load_file

    teacher = ROOT / "training" / "teachers" / f"{RIGS[0]}.onnx"
    env = f"sparsectl/{RIGS[0]}-v0"
    dataset, out = scratch / "dataset.npz", scratch / "distilled"
    command(
        "collect", "--teacher", teacher, "--env", env, "--out", dataset, "--transitions", 20_000
    )
    words = ("--preset", "quick", "--keep", 236, "--teacher", teacher, "--env", env)
    command("distill", "--dataset", dataset, *words, "--out", out)
    tensors = load_file(out / "student.safetensors")
    return {
        f"student {name}": hashlib.sha256(tensor.tobytes()).hexdigest()
        for name, tensor in sorted(tensors.items())
    }


def of_tables(scratch: Path) -> Digests:
    """Every line of a table in README and docs/."""
    found: Digests = {}
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
        found[f"tables {page.name}"] = hashlib.sha256("\n".join(rows).encode()).hexdigest()
    return found


PARTS = {
    "text": of_text,
    "tables": of_tables,
    "firmware": of_firmware,
    "trials": of_trials,
    "student": of_student,
    "exports": of_exports,
}


def differences(before: Digests, after: Digests) -> list[str]:
    """A line for each thing that is gone, new or other."""
    lines = [f"gone: {name}" for name in before if name not in after]
    lines += [f"new: {name}" for name in after if name not in before]
    lines += [f"other: {name}" for name in before if name in after and before[name] != after[name]]
    return lines


def main(config: UnchangedConfig) -> None:
    """Record, compare."""
    os.environ["GIT_DIR"] = os.devnull  # the revision is "unknown" then
    sys.argv = sys.argv[:1]  # provenance has the command
    before = read_json(config.before) if config.before else None
    with tempfile.TemporaryDirectory(prefix="sparsectl-unchanged-") as folder:
        scratch = Path(folder)
        found = read_json(config.out) if config.out.is_file() else {}
        for part in config.only or PARTS:
            found |= PARTS[part](scratch)
            write_json(config.out, found)
    print(f"{len(found)} digests in {config.out}")
    if before is not None:
        lines = differences(before, found)
        print("\n".join(lines) or "nothing differs")
        sys.exit(bool(lines))


if __name__ == "__main__":
    main(tyro.cli(UnchangedConfig))
