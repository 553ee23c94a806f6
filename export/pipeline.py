"""`sparsectl export`: a model in; policy.onnx and C out, verified before they are there."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.common.files import staging_folder
from sparsectl.common.interruption import signals_held_back
from sparsectl.common.progress import Progress
from sparsectl.common.provenance import provenance, revision
from sparsectl.common.scratch import scratch_folder
from sparsectl.common.warning import warn
from sparsectl.export.beyond import error_up_to_cut_off
from sparsectl.export.c_style import CStyle
from sparsectl.export.c_writer import C_FILES, c_files, header
from sparsectl.export.calibration import recorded_in
from sparsectl.export.config import ExportConfig
from sparsectl.export.encodings.registry import ROUNDED, encode
from sparsectl.export.facts import (
    description,
    header_lines,
    held_within,
    input_facts,
    proof_lines,
    source_facts,
    state_facts,
)
from sparsectl.export.golden import check_count, golden_vectors
from sparsectl.export.inputs import Inputs, inputs_of, require_known
from sparsectl.export.memory import MemoryNeed, as_rows
from sparsectl.export.met import for_scales, met_by
from sparsectl.export.naming import DEFAULT, c_file_names, check_prefix, check_unused
from sparsectl.export.other_choices import chosen_actions
from sparsectl.export.packaging.package import PolicySources
from sparsectl.export.packaging.registry import find_package, write_package
from sparsectl.export.policy_json import (
    PREFIX,
    known_ranges,
    prefix_of,
    write_policy_json,
)
from sparsectl.export.rig_signals import with_signals_of
from sparsectl.export.shared import RememberedSource, Shared
from sparsectl.export.source.live_state import LiveState
from sparsectl.export.source.open import open_source
from sparsectl.export.source.source import Source
from sparsectl.export.verify import Proof
from sparsectl.policy.folder import GOLDEN_VECTORS, POLICY_JSON, GoldenVectors
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.load import POLICY_ONNX, LoadOptions, load, model_file
from sparsectl.policy.onnx_file.reader import read_onnx
from sparsectl.policy.onnx_file.writer import write_onnx
from sparsectl.policy.passes import fold_normaliser, hidden_neurons, simplified
from sparsectl.policy.student import is_of_several_tasks

MAX_VECTORS = 100_000
MAX_OBSERVATIONS = 10_000_000

_STEPS = 7


Measure = Callable[[Path, GoldenVectors], Sequence[MemoryNeed]]
"""A folder with policy.c and policy.h, and its golden vectors, to what boards were seen to take."""


def export_policy(
    config: ExportConfig,
    measure: Measure | None = None,
    *,
    runs_c: bool = True,
    shared: Shared | None = None,
) -> dict[str, Any]:
    """Read, simplify, encode, write and verify; the files appear only when all of it succeeded.

    measure: asked for what the C takes of memory, which policy.h and policy.json then state.
    runs_c: False for a candidate whose C is about to run on a board; see `Proof.check_files`.
    shared: what is not to be computed again where several exports differ in `Shared`'s sense.

    Returns the digest, source_sha256, output, inputs_from, encoding, kept_weights (after the
    passes), source_weights (before), folded_neurons, table_bytes, files, inputs (of each signal),
    proof (in three lines), max_abs_error and the rest of `export.verify.Proof.check_files`.

    Raises:
        UserError: anything wrong with the model, the settings, the folder or the verification.
    """
    check_settings(config)
    started_ns = time.monotonic_ns()
    with (
        Progress(total=_STEPS, desc="export", unit="step", delay=1.0, leave=False) as bar,
        staging_folder(config.out) as folder,
        np.errstate(all="ignore"),  # what is not finite is refused where it matters
    ):

        def step(name: str) -> None:
            bar.set_postfix_str(name, refresh=False)
            bar.update()

        step("read")
        known, key = shared or Shared(), _key(config)
        as_read = known.once(("read", key), lambda: read_model(config))
        check_count(as_read, config.vectors)
        _refuse_choice(as_read, config.encoding)
        simple, live = known.once(("simple", key), lambda: simplified(as_read))
        source = known.once(("source", key), lambda: _source(config, as_read, live))
        inputs = known.once(("inputs", key), lambda: _inputs(config, as_read, source))
        _warn_of_other_environment(config, as_read)
        if config.encoding in ROUNDED:
            require_known(config.encoding, inputs)
        step("simplify")
        graph = known.once(
            ("graph", key), lambda: replace(simple, provenance=_provenance(source, as_read))
        )
        rows = known.once(("rows", key), lambda: for_scales(config, graph, source, inputs))
        are_met = config.calibration is not None
        policy = known.once(
            ("policy", key, config.encoding),
            lambda: encode(config.encoding, graph, rows, are_met=are_met),
        )
        step("source")
        judged_by = (config.observations, config.vectors, config.encoding in ROUNDED)
        met = known.once(("met", key, judged_by), lambda: met_by(config, graph, source, inputs))
        proof = Proof(source, policy, met.batches, config.error, met.sequences)
        step("numpy")
        proof.check_translation()
        beyond = error_up_to_cut_off(source, policy, proof.met.observations)
        held = held_within(met.observations, len(graph.observation))
        facts = header_lines(source, inputs, proof, beyond)
        step("write")
        golden = golden_vectors(policy, met.golden)
        style = CStyle(config.prefix, config.portable)
        plain = c_files(policy, golden, revision(), facts, CStyle(portable=style.portable))
        check_unused(style.prefix, plain.values())
        memory = _memory(measure, plain, golden)
        is_plain = style.prefix == DEFAULT
        sources = dict(plain) if is_plain else c_files(policy, golden, revision(), facts, style)
        sources[style.file_names[0]] = header(policy, revision(), facts, memory, held, style)
        write_package(config.package, PolicySources(graph, sources, style), folder)
        write_onnx(graph, folder / POLICY_ONNX, sparse=config.sparse_onnx)
        if read_onnx(folder / POLICY_ONNX).digest != graph.digest:
            raise AssertionError("policy.onnx does not read back as the policy it was written from")
        c_folder = folder / find_package(config.package).c_folder
        verified = proof.check_files(folder, c_folder, style.prefix, step, runs_c=runs_c)
        said = description(source, inputs, policy, verified, beyond, held)
        said |= {PREFIX: style.prefix, "portable": style.portable, "memory": as_rows(memory)}
        said[GOLDEN_VECTORS] = golden.to_json()
        write_policy_json(folder, said, _files_in(folder))
        files = _publish(folder, config.out)
    return {
        "digest": graph.digest,
        **source_facts(source, inputs),
        "encoding": policy.encoding.name,
        "kind": policy.encoding.kind,
        "kept_weights": graph.kept_weights,
        "source_weights": as_read.kept_weights,
        "folded_neurons": hidden_neurons(fold_normaliser(as_read)) - hidden_neurons(graph),
        "layers": [[layer.outputs, layer.inputs, layer.activation] for layer in graph.layers],
        **state_facts(graph),
        "table_bytes": policy.table_bytes,
        "portable": style.portable,
        "memory": as_rows(memory),
        "files": files,
        **verified,
        "thresholds_unreached": list(met.straddling.unreached),
        "seconds": (time.monotonic_ns() - started_ns) / 1e9,
        "inputs": input_facts(inputs, policy, held),
        "proof": proof_lines(source, inputs, policy, met.straddling, verified, beyond),
    }


def _key(config: ExportConfig) -> Hashable:
    """Return what determines the model, what is known of its inputs, and the rows for the
    scales."""
    given = (config.model, config.output, config.argmax, config.normalizer, config.task, config.rig)
    return (*given, config.calibration, config.range, config.seed)


def _refuse_choice(graph: PolicyGraph, encoding: str) -> None:
    if graph.state_size and chosen_actions(graph).any() and encoding in ROUNDED:
        raise UserError(
            f"{encoding} rounds the weights, and export cannot tell how often a policy with a "
            "state then chooses differently; take an encoding in float32, or export the values of "
            "its choices (logits or Q) as the actions"
        )


def _source(config: ExportConfig, graph: PolicyGraph, live: NDArray[np.intp]) -> Source:
    """The user's file; of a policy that keeps a state its tick, with the state that is left."""
    source = open_source(model_file(config.model), graph.step_graph, _asked(config))
    if graph.state_size:
        source = cast(Source, LiveState(source, graph.sizes, live, graph.initial_state()))
    return cast(Source, RememberedSource(source))


def _memory(
    measure: Measure | None, plain: dict[str, str], golden: GoldenVectors
) -> tuple[MemoryNeed, ...]:
    """Return what `measure` finds for the C, which its programs call by the default names."""
    if measure is None:
        return ()
    with scratch_folder("export") as scratch:
        for name, text in plain.items():
            (scratch / name).write_text(text, encoding="utf-8")
        return tuple(measure(scratch, golden))


def _inputs(config: ExportConfig, graph: PolicyGraph, source: Source) -> Inputs:
    """Return what is known of the observations; a folder that export wrote has it in
    policy.json."""
    return inputs_of(
        graph,
        source.normaliser,
        calibration=config.calibration,
        ranges=config.range,
        known=known_ranges(config.model, graph.digest) if config.model.is_dir() else (),
    )


def _warn_of_other_environment(config: ExportConfig, graph: PolicyGraph) -> None:
    """Observations of another environment have the right number of signals by chance, and wrong
    ranges; those of one task say nothing of the others."""
    calibration = config.calibration
    recorded = None if calibration is None else recorded_in(calibration)
    if recorded is None:
        return
    if graph.environment not in (None, recorded):
        warn(
            f"{calibration} was recorded in {recorded}, but the policy is for {graph.environment}; "
            "what is fitted to it, and judged on it, may not hold where the policy acts"
        )
    if config.task is None and is_of_several_tasks(config.model):
        warn(
            f"{calibration} was recorded in {recorded} alone, but the policy is for several tasks; "
            "give an .npz with observations of all, or export one task with --task"
        )


def _asked(config: ExportConfig) -> LoadOptions:
    return LoadOptions(config.output, config.normalizer, config.task, argmax=config.argmax)


def read_model(config: ExportConfig) -> PolicyGraph:
    """The policy that is to be exported.

    Raises:
        UserError: what `policy.load.load` raises.
    """
    graph = load(config.model, _asked(config))
    return graph if config.rig is None else with_signals_of(graph, config.rig)


def check_settings(config: ExportConfig) -> None:
    """Check what does not need the model.

    Raises:
        UserError: a setting is out of its range, or `out` is a file.
    """
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


def _provenance(source: Source, graph: PolicyGraph) -> dict[str, Any]:
    return {
        "export": provenance(),
        "source": {"file": source.file, "sha256": source.sha256, "provenance": graph.provenance},
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
            f"cannot write {out}: {error.strerror}; name a folder that you can write to"
        ) from error
    return sorted(files)
