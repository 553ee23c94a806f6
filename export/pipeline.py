"""`sparsectl export`: a model in; policy.onnx and C out, verified before they are there."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.common.files import staging_folder
from sparsectl.common.interruption import signals_held_back
from sparsectl.common.progress import Progress
from sparsectl.common.provenance import provenance, revision
from sparsectl.export.c_writer import C_FILES, c_files
from sparsectl.export.calibration import calibration_observations, other_observations
from sparsectl.export.config import ExportConfig
from sparsectl.export.encodings.encoding import EncodedPolicy
from sparsectl.export.encodings.registry import encode
from sparsectl.export.graph import PolicyGraph
from sparsectl.export.naming import c_file_names, check_prefix
from sparsectl.export.observations import spread_observations
from sparsectl.export.onnx_reader import read_onnx
from sparsectl.export.onnx_writer import write_onnx
from sparsectl.export.packaging.registry import arrange, find_package
from sparsectl.export.passes import hidden_neurons, simplify
from sparsectl.export.policy_json import POLICY_JSON, PREFIX, prefix_of, write_policy_json
from sparsectl.export.student import read_student
from sparsectl.export.verify import verify

POLICY_ONNX = "policy.onnx"


def _read_student(path: Path, output: str | None) -> PolicyGraph:
    if output is not None:
        raise UserError(f"--output is {output!r}; it is for ONNX files, {path} is a student")
    return read_student(path)


READERS: dict[str, Callable[[Path, str | None], PolicyGraph]] = {
    ".safetensors": _read_student,
    ".onnx": read_onnx,
}

_HINT = "torch.onnx.export makes one of any other model"
_HINTS = {
    ".zip": "torch.onnx.export makes one of Stable-Baselines3's model.policy.actor (TD3), "
    "of Sequential(model.actor.latent_pi, model.actor.mu, Tanh()) (SAC), or of Sequential("
    "model.policy.mlp_extractor.policy_net, model.policy.action_net) (PPO, A2C)"
}
"""By a file's ending. Distributions are left out: torch's new exporter cannot trace them."""

MAX_VECTORS = 100_000
MAX_OBSERVATIONS = 10_000_000

_STEPS = 8
_ACCURACY = ("max_abs_error", "error_limit", "action_range", "observations")


def export_policy(config: ExportConfig) -> dict[str, Any]:
    """Read, simplify, encode, write and verify; the files appear only when all of it succeeded.

    Returns the digest, encoding, kept_weights (after the passes), source_weights (before),
    folded_neurons, table_bytes, files, max_abs_error and the rest of `export.verify.verify`.

    Raises:
        UserError: anything wrong with the model, the settings, the folder or the verification.
    """
    _check(config)
    started_ns = time.monotonic_ns()
    with (
        Progress(total=_STEPS, desc="export", unit="step", delay=1.0, leave=False) as bar,
        staging_folder(config.out) as folder,
    ):

        def step(name: str) -> None:
            bar.set_postfix_str(name, refresh=False)
            bar.update()

        step("read")
        source = read_model(config.model, config.output)
        step("simplify")
        graph = replace(simplify(source), provenance=_provenance(config, source))
        calibration = calibration_observations(config, source)
        are_met = config.calibration is not None
        policy = encode(config.encoding, graph, calibration, are_met=are_met)
        step("write")
        golden = spread_observations(source, config.vectors, config.seed + 1)
        for name, text in c_files(policy, golden, revision()).items():
            (folder / name).write_text(text, encoding="utf-8")
        write_onnx(graph, folder / POLICY_ONNX)
        if read_onnx(folder / POLICY_ONNX).digest != graph.digest:
            raise AssertionError("policy.onnx does not read back as the policy it was written from")
        spread = spread_observations(source, config.observations, config.seed)
        met = spread
        if config.calibration is not None:
            size = source.observation_size
            met = other_observations(config.calibration, size, config.observations)
        verified = verify(
            source,
            policy,
            folder,
            observations=met,
            anywhere=None if met is spread else spread,
            error=config.error,
            with_torch=config.model.suffix == ".safetensors",
            progress=step,
        )
        arrange(config.package, graph, folder, config.prefix)
        said = _said(graph, policy, verified) | {PREFIX: config.prefix}
        write_policy_json(folder, said, _files_in(folder))
        files = _publish(folder, config.out)
    return {
        "digest": graph.digest,
        "source_sha256": graph.provenance["source"]["sha256"],
        "encoding": policy.encoding.name,
        "kind": policy.encoding.kind,
        "kept_weights": graph.kept_weights,
        "source_weights": source.kept_weights,
        "folded_neurons": hidden_neurons(source) - hidden_neurons(graph),
        "layers": [[layer.outputs, layer.inputs, layer.activation] for layer in graph.layers],
        "table_bytes": policy.table_bytes,
        "files": files,
        **verified,
        "seconds": (time.monotonic_ns() - started_ns) / 1e9,
    }


def read_model(path: Path, output: str | None = None) -> PolicyGraph:
    """A policy from a student, an ONNX file, or a folder that `export` wrote.

    Raises:
        UserError: another kind of file, or what the readers raise.
    """
    if path.is_dir():
        path = path / POLICY_ONNX
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise UserError(
            f"{path} is not a model that can be exported; give a file that ends in "
            f"{' or '.join(READERS)} ({_HINTS.get(suffix, _HINT)})"
        )
    return READERS[suffix](path, output)


def _check(config: ExportConfig) -> None:
    if config.error is not None and not 0 < config.error < float("inf"):
        raise UserError(f"error is {config.error}; give a number over 0, such as 1e-6")
    for name, greatest in (("vectors", MAX_VECTORS), ("observations", MAX_OBSERVATIONS)):
        value = getattr(config, name)
        if not 1 <= value <= greatest:
            raise UserError(f"{name} is {value}; give 1 to {greatest}")
    find_package(config.package)
    check_prefix(config.prefix)
    if config.seed < 0:
        raise UserError(f"seed is {config.seed}; give a whole number from 0")
    if config.out.exists() and not config.out.is_dir():
        raise UserError(f"{config.out} is a file; name a folder for the policy")


def _said(graph: PolicyGraph, policy: EncodedPolicy, verified: dict[str, Any]) -> dict[str, Any]:
    """What policy.json tells, but for the files."""
    source = graph.provenance["source"]
    return {
        "digest": graph.digest,
        "source": source["file"],
        "source_sha256": source["sha256"],
        "encoding": {
            "name": policy.encoding.name,
            "kind": policy.encoding.kind,
            "summary": policy.encoding.summary,
        },
        "kept_weights": graph.kept_weights,
        "environment": graph.environment,
        "signals": graph.signals(),
        "accuracy": {name: verified[name] for name in _ACCURACY},
    }


def _provenance(config: ExportConfig, source: PolicyGraph) -> dict[str, Any]:
    path = config.model / POLICY_ONNX if config.model.is_dir() else config.model
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {
        "export": provenance(),
        "source": {"file": path.name, "sha256": digest, "provenance": source.provenance},
    }


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _publish(folder: Path, out: Path) -> list[str]:
    """Move the files of `folder` into `out`; each takes its name in one step, and a signal waits
    until all have theirs. policy.json, which vouches for the others, goes first of the old and
    comes last of the new."""
    with signals_held_back():
        return _move(folder, out)


def _move(folder: Path, out: Path) -> list[str]:
    try:
        out.mkdir(exist_ok=True)
        earlier = c_file_names(prefix_of(out))
        (out / POLICY_JSON).unlink(missing_ok=True)
        for name in (*C_FILES, *earlier):  # an earlier export's would be taken for this one's
            if not (folder / name).exists():
                (out / name).unlink(missing_ok=True)
        files = []
        for path in sorted(_files_in(folder), key=lambda path: path.name == POLICY_JSON):
            path.chmod(0o644)
            place = out / path.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            files.append(str(path.replace(place)))
    except OSError as error:
        raise UserError(
            f"cannot write {out}: {error.strerror}; name a folder you may write"
        ) from error
    return sorted(files)
