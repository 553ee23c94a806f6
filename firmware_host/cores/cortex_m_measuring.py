"""Measure a policy on a Cortex-M core: an exact trace of instructions, priced by the core's
timing."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

import numpy as np

from sparsectl.firmware_host.cores.activation_share import owners
from sparsectl.firmware_host.cores.bench_program import (
    BENCH,
    Port,
    Program,
    binutil,
    build_program,
    flat_image,
    symbols,
)
from sparsectl.firmware_host.cores.core import Core, Float32, Measurement
from sparsectl.firmware_host.cores.cortex_m_trace import CortexMachine
from sparsectl.firmware_host.cores.cycle_model import CycleModel
from sparsectl.firmware_host.cores.thumb import disassemble
from sparsectl.firmware_host.cores.trace_pricing import Pricing
from sparsectl.firmware_host.policy_folder import sequence_length

PORT: Final = Port(
    sources=(BENCH / "cortex_m" / "core.c",),
    link_flags=(
        "--specs=nosys.specs",
        "-nostartfiles",
        f"-T{BENCH / 'cortex_m' / 'core.ld'}",
        "-Wl,--no-warn-rwx-segments",
    ),
)

MAX_BLOCKS: Final = 6_000_000
"""Blocks to trace in all, about ten seconds: a slow policy is measured on fewer observations."""


def measure(
    core: Core,
    model: CycleModel,
    unicorn_model: str,
    policy: Path,
    folder: Path,
    observations: Float32,
) -> Measurement:
    """Measure as `Core.measure` says; a slow policy runs on the first of `observations` only."""
    program = build_program(core, PORT, policy, folder)
    code = disassemble(binutil(core, "objdump"), program.elf)
    pricing = Pricing(code, model, owners(core, program.elf))
    image, names = flat_image(core, program.elf), symbols(core, program.elf)
    machine = CortexMachine(unicorn_model, image, names)
    machine.trace(pricing.watched_its)
    size = _action_bytes(core, program)
    actions, costs, stack, blocks = [], [], 0, 0
    sequence = sequence_length(policy)
    for number, observation in enumerate(observations):
        if sequence and number % sequence == 0:
            machine.reset_policy()
        call = machine.call(observation.tobytes(), size)
        costs.append(pricing.price(call))
        actions.append(np.frombuffer(call.action, np.float32))
        stack, blocks = max(stack, call.stack_bytes), blocks + len(call.blocks)
        if blocks > MAX_BLOCKS:
            break
    return Measurement(
        actions=np.stack(actions),
        cycles=tuple(cost.cycles for cost in costs),
        cycles_kind="modelled",
        instructions=tuple(cost.instructions for cost in costs),
        flash=program.flash,
        ram_bytes=program.ram_bytes,
        stack_bytes=stack,
        activation_share=pricing.activation_share(),
        note=f"{model.source}; instructions are exact",
    )


def run(
    core: Core, unicorn_model: str, policy: Path, folder: Path, observations: Float32
) -> Float32:
    """Return the actions, as `Core.run` says."""
    program = build_program(core, PORT, policy, folder)
    image, names = flat_image(core, program.elf), symbols(core, program.elf)
    machine = CortexMachine(unicorn_model, image, names)
    size = _action_bytes(core, program)
    actions, sequence = bytearray(), sequence_length(policy)
    for number, observation in enumerate(observations):
        if sequence and number % sequence == 0:
            machine.reset_policy()
        actions += machine.act(observation.tobytes(), size)
    return np.frombuffer(actions, np.float32).reshape(len(observations), -1)


def _action_bytes(core: Core, program: Program) -> int:
    """Return the bytes of bench_action, as the linker placed it."""
    command = [binutil(core, "nm"), "-S", str(program.elf)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return next(
        int(words[1], 16)
        for words in map(str.split, text.splitlines())
        if len(words) == 4 and words[3] == "bench_action"
    )
