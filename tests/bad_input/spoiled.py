"""Files that a person may give by mistake, or a stranger on purpose."""

from __future__ import annotations

import json
import os
import struct
import zipfile
import zlib
from pathlib import Path

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d4944415478da6364f8ffbf1e000584027f7ad1e6b00000000049454e44ae426082"
)
HUGE = 10 * 2**30
"""Bytes of a sparse file, which takes no room on the disk."""
BLOCK = 64 * 2**20
BLOCKS = 32
"""Zeros of a bomb's member: 2 GiB of 64 MiB each."""


def make_spoiled(folder: Path, good: dict[str, Path]) -> dict[str, Path]:
    """One file of each kind in `folder`; `good` are files whose first halves are some of them."""
    folder.mkdir(parents=True)
    made = {name: folder / name for name in ("picture.png", "empty", "sparse.npz", "sparse.onnx")}
    made["picture.png"].write_bytes(PNG)
    made["empty"].touch()
    for name in ("sparse.npz", "sparse.onnx"):
        with made[name].open("wb") as file:
            file.truncate(HUGE)
    for suffix, value in {"list": [], "text": "x", "deep": {"config": {"rig": {}}}}.items():
        made[suffix] = folder / f"{suffix}.json"
        made[suffix].write_text(json.dumps(value))
    made["nested"] = folder / "nested.json"
    made["nested"].write_text("[" * 100_000)
    made["folder"] = folder / "folder"
    made["folder"].mkdir()
    for name in ("pipe", "pipe.onnx", "pipe.npz"):
        made[name] = folder / name
        os.mkfifo(made[name])
    made["endless.onnx"] = folder / "endless.onnx"
    made["endless.onnx"].symlink_to("/dev/zero")
    made["nested.toml"] = folder / "nested.toml"
    made["nested.toml"].write_text("a = " + "[" * 10_000 + "]" * 10_000)
    made["circle"] = folder / "circle"
    made["circle"].symlink_to(made["circle"])
    made["below a file"] = made["picture.png"] / "policy.onnx"
    made["missing"] = folder / "missing.zip"
    made["too long"] = folder / ("n" * 300)
    made["endless"] = Path("/dev/zero")
    for name in ("bomb.npz", "bomb.zip"):
        made[name] = make_bomb(folder / name, "observations.npy" if name == "bomb.npz" else "data")
    for name, path in good.items():
        for part in ("half", "short"):
            file = path if path.is_file() else path / "policy.onnx"
            whole = file.read_bytes()
            cut = folder / f"{part}_{name}{file.suffix}"
            cut.write_bytes(whole[: len(whole) // 2] if part == "half" else whole[:-1])
            made[f"{part} {name}"] = cut
    return made


def make_bomb(path: Path, member: str) -> Path:
    """A zip of one member that is two gigabytes of zeros, with its checksum."""
    zeros = bytes(BLOCK)
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    block = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = block * BLOCKS + packer.flush()
    size = BLOCK * BLOCKS
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, b"")
    name = member.encode()
    head = struct.pack(
        "<IHHHHHIIIHH", 0x04034B50, 20, 0, 8, 0, 33, 0, len(packed), size, len(name), 0
    )
    entry = struct.pack(
        "<IHHHHHHIIIHHHHHII",
        0x02014B50,
        20,
        20,
        0,
        8,
        0,
        33,
        0,
        len(packed),
        size,
        len(name),
        0,
        0,
        0,
        0,
        0,
        0,
    )
    start = len(head) + len(name) + len(packed)
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 1, 1, len(entry) + len(name), start, 0)
    path.write_bytes(head + name + packed + entry + name + end)
    return path
