"""The plan of a trial, made before any board is contacted."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, replace
from pathlib import Path

from sparsectl.common.errors import UserError
from sparsectl.common.provenance import provenance
from sparsectl.firmware_host.boards import find_board
from sparsectl.firmware_host.config_header import most_link_ticks
from sparsectl.firmware_host.policy_folder import read_policy_facts
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.faults.kinds import FaultSpec
from sparsectl.hil.journal.header import JournalHeader, Kick
from sparsectl.hil.journal.sources import file_hashes
from sparsectl.hil.link.session import Expectation
from sparsectl.hil.planning.disturbance import knocking_duty, plan_kicks
from sparsectl.hil.ports import PortKind, PortRequest, kind_of
from sparsectl.hil.ports.emulated import PREFIX as EMULATED
from sparsectl.hil.ports.virtual import NAME as VIRTUAL
from sparsectl.hil.simulation.miswired import Wiring
from sparsectl.hil.simulation.plant_server import PlantStart
from sparsectl.hil.simulation.virtual_rig import LineStart
from sparsectl.hil.timing.line_budget import check_line, line_share
from sparsectl.plants.plausible import warn_of_fractional_counts
from sparsectl.plants.rig import Rig, load_rig
from sparsectl.policy.choices import choices_of, other_duties
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.onnx_file.reader import read_onnx
from sparsectl.protocol.wire import PROTOCOL_HASH

HOST = "host"


@dataclass(frozen=True)
class Plan:
    """A policy, a rig that fits it, a folder, and when to kick."""

    config: TrialConfig
    folder: Path
    graph: PolicyGraph
    rig: Rig
    kicks: list[Kick]

    @property
    def port_kind(self) -> PortKind:
        """The kind of port that --port names."""
        return kind_of(self.config.port)

    @property
    def virtual(self) -> bool:
        """Return whether --clock determines how the board's time passes; real boards have their own
        clock."""
        return self.port_kind.has_virtual_clock

    @property
    def is_lockstep(self) -> bool:
        """Return whether time passes only by the host's steps, so that the journal is the same each
        time, byte for byte."""
        return self.virtual and self.config.clock == "lockstep"

    @property
    def is_realtime(self) -> bool:
        """Return whether a real clock paces the control ticks: the board's, or in pil this
        machine's."""
        return self.config.clock == "realtime"

    @property
    def baud(self) -> int:
        """Speed of the line, in bits per second."""
        return self.config.baud or find_board(self.config.board).baud

    @property
    def line_share(self) -> float:
        """Share of each period in which the line is busy; 0 if bytes take no time."""
        if not _takes_time(self.config):
            return 0.0
        return line_share(self.config.mode, self.baud, self.rig.period_s)

    @property
    def plant(self) -> PlantStart:
        """The pendulum to simulate, here or behind a virtual board's encoders."""
        config = self.config
        return PlantStart(
            config.rig or self.rig.name,
            config.seed,
            config.randomised,
            self._fault("plant"),
            Wiring.parse(config.wiring),
        )

    def port_request(self) -> PortRequest:
        """Return what the port has to provide."""
        config = self.config
        return PortRequest(
            port=config.port,
            baud=self.baud,
            mode=config.mode,
            clock=config.clock,
            policy=config.policy,
            digest=self.graph.digest,
            rig=self.rig.firmware_constants(),
            plant=None if config.mode == "pil" else self.plant,
            firmware=config.firmware or self.folder / "firmware",
            fifo=config.fifo,
            line=LineStart(self._fault("line"), self.baud if config.paced else None),
        )

    def _fault(self, family: str) -> FaultSpec | None:
        """Return the fault to inject if it belongs to this family."""
        spec = FaultSpec.parse(self.config.fault) if self.config.fault else None
        return spec if spec is not None and spec.kind.family == family else None

    @property
    def expectation(self) -> Expectation:
        """Return what the host expects of the board."""
        return Expectation(
            digest=self.graph.digest,
            observation_size=self.graph.observation_size,
            action_size=len(self.graph.action),
            frames=self.graph.frames,
            rig_name=self.rig.name,
            rig=self.rig.firmware_constants(),
            link_timeout_ticks=self.config.link_timeout_ticks,
            policy_on_host=self.config.mode == "host",
        )

    def header(self) -> JournalHeader:
        """The journal's header: all that is needed to repeat the trial.

        In lockstep it contains neither time nor folder, so that the same trial has the same header.
        """
        config, origin = self.config, provenance()
        if self.is_lockstep:
            config = replace(config, out=None, firmware=None)
            origin.pop("command")
        return JournalHeader(
            protocol_hash=PROTOCOL_HASH,
            started=None if self.is_lockstep else time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            host_clock="virtual" if self.is_lockstep else "monotonic",
            config=config,
            virtual=self.virtual,
            digest=self.graph.digest,
            policy_files=file_hashes(self.config.policy),
            signals=self.graph.signals(),
            state_size=self.graph.state_size,
            rig=self.rig.name,
            rig_constants=self.rig.firmware_constants(),
            kicks=tuple(self.kicks),
            provenance=origin,
        )


def make_plan(config: TrialConfig) -> Plan:
    """Read policy and rig, and check that they fit each other and that the settings are in range.

    Raises:
        UserError: a missing or foreign file, sizes or rates that differ, a number out of range.
    """
    _check_numbers(config)
    _check_fault(config)
    if config.port == VIRTUAL and find_board(config.board).name != HOST:
        config = replace(config, port=EMULATED + config.board)
    _check_clock(config)
    graph = read_onnx(_policy_file(config.policy))
    if kind_of(config.port).builds or config.mode == "host":
        _check_source(config.policy, graph)
    name = config.rig or graph.rig
    if name is None:
        raise UserError(f"the policy in {config.policy} names no rig; name one with --rig")
    rig = load_rig(name)
    warn_of_fractional_counts(rig)
    _check_fit(graph, rig)
    _check_patience(config.link_timeout_ticks, rig)
    _check_line(config, rig)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return Plan(
        config=config,
        folder=config.out or _new_folder(Path("runs") / f"trial-{stamp}"),
        graph=graph,
        rig=rig,
        kicks=plan_kicks(
            config.disturbances,
            config.seconds,
            knocking_duty(rig, config.disturbance_s)
            if config.disturbance_duty is None
            else config.disturbance_duty,
            config.disturbance_s,
            rig.period_s,
            config.seed,
        ),
    )


def _new_folder(path: Path) -> Path:
    """Return `path` or, if it exists, the same name with the first free number."""
    if not path.exists():
        return path
    numbered = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
    return next(each for each in numbered if not each.exists())


def _policy_file(folder: Path) -> Path:
    if folder.is_dir() and (folder / "policy.onnx").is_file():
        return folder / "policy.onnx"
    if folder.is_file():
        raise UserError(
            f"--policy is {folder}, a file; export it (sparsectl export {folder} --out FOLDER, "
            "with --rig NAME if it was trained on a rig and does not say so), and name the folder"
        )
    raise UserError(f"no policy.onnx in {folder}; name the folder that `sparsectl export` wrote")


def _check_source(folder: Path, graph: PolicyGraph) -> None:
    """Check that policy.c, which will be compiled, is the same policy."""
    digest = read_policy_facts(folder).digest
    if digest != graph.digest:
        raise UserError(
            f"policy.h in {folder} has digest {digest[:12]}, policy.onnx beside it "
            f"{graph.digest[:12]}; export the policy again"
        )


def _check_numbers(config: TrialConfig) -> None:
    limits = {
        "seconds": (config.seconds, 0.1, 86_400.0),
        "disturbances": (config.disturbances, 0, 10_000),
        "disturbance-duty": (config.disturbance_duty or 0.0, 0.0, 1.0),
        "disturbance-s": (config.disturbance_s, 0.0, 10.0),
        "recovery-s": (config.recovery_s, 0.0, 60.0),
        "rest-limit-s": (config.rest_limit_s, 1.0, 3_600.0),
        "swing-up-limit-s": (config.swing_up_limit_s, 0.1, 3_600.0),
        "baud": (config.baud or 230_400, 300, 20_000_000),
        "seed": (config.seed, 0, 2**63),
        "live-port": (config.live_port, 0, 65_535),
    }
    for name, (value, low, high) in limits.items():
        if not low <= value <= high:
            raise UserError(f"--{name} is {value}; give {low:g} to {high:g}")


def _check_clock(config: TrialConfig) -> None:
    """Check that mode and clock fit: a board with its own clock runs in real time."""
    if kind_of(config.port).has_virtual_clock:
        if (config.mode, config.clock) == ("host", "fast"):
            raise UserError(
                "--clock is fast, which waits for no command; use lockstep in host mode"
            )
        return
    if config.mode == "pil" and config.clock == "lockstep":
        raise UserError(
            f"--clock is lockstep, which --port virtual alone has; use fast for {config.port}"
        )
    if config.mode != "pil" and config.clock != "realtime":
        raise UserError(
            f"--clock is {config.clock}, but the board on {config.port} has a clock of its own; "
            "take realtime, or --port virtual"
        )


def _check_fault(config: TrialConfig) -> None:
    """Check that faults are only injected into the virtual rig."""
    if config.fault is None and not config.paced and not config.wiring:
        return
    if config.fault is not None:
        FaultSpec.parse(config.fault)
    Wiring.parse(config.wiring)
    if config.port != VIRTUAL or config.mode == "pil":
        given = f"--wiring is {config.wiring}" if config.wiring else "--paced is asked for"
        given = f"--fault is {config.fault}" if config.fault else given
        raise UserError(f"{given}; use --port virtual and --mode device or host for it")


def _takes_time(config: TrialConfig) -> bool:
    """Return whether bytes on the line take time; in pil a tick simply takes as long as it
    takes."""
    is_serial = not kind_of(config.port).has_virtual_clock and "://" not in config.port
    return (config.paced or is_serial) and config.clock == "realtime"


def _check_line(config: TrialConfig, rig: Rig) -> None:
    if _takes_time(config):
        baud = config.baud or find_board(config.board).baud
        check_line(config.mode, baud, rig.period_s)


def _check_patience(ticks: int, rig: Rig) -> None:
    most = most_link_ticks(rig.firmware_constants().period_us)
    if not 1 <= ticks <= most:
        raise UserError(
            f"--link-timeout-ticks is {ticks}; give 1 to {most}, 0.2 s at the rate of {rig.name}"
        )


def _check_fit(graph: PolicyGraph, rig: Rig) -> None:
    # a state makes a stack of frames needless, and the board stacks as many as the policy says
    frames = graph.frames if graph.state_size else rig.frames
    given = frames * len(rig.signals()["observation"])
    if graph.state_size and graph.observation_size == rig.frames * given > given:
        raise UserError(
            f"the policy keeps a state and takes {graph.observation_size} values, {rig.frames} "
            f"frames of the {given} that rig {rig.name} gives, but its file does not say so; train "
            "it with frames = 1 in the rig's file, or distil it (sparsectl collect and distill)"
        )
    if graph.frames == 1 < frames and graph.observation_size == given and graph.rig is None:
        raise UserError(
            f"the policy takes {given} values and does not say that they are {rig.frames} frames "
            f"of rig {rig.name}'s {given // rig.frames} signals; if they are, export its file "
            f"again with --rig {rig.name}"
        )
    if graph.observation_size != given:
        raise UserError(
            f"the policy takes {graph.observation_size} values, rig {rig.name} gives {given}; "
            "name the rig that it was trained for with --rig"
        )
    if len(graph.action) != 1:
        raise UserError(
            f"the policy gives {len(graph.action)} actions, rig {rig.name} has 1 motor; "
            "name the rig that it was trained for with --rig"
        )
    if graph.frames != frames:
        raise UserError(
            f"the policy stacks {graph.frames} frames, rig {rig.name} {rig.frames}; "
            "name the rig that it was trained for with --rig"
        )
    if graph.period_s and abs(graph.period_s - rig.period_s) > 1e-9:
        raise UserError(
            f"the policy was trained at a period of {graph.period_s * 1e3:g} ms, rig {rig.name} "
            f"runs at {rig.period_s * 1e3:g} ms; train for this rate, or correct the rig's period_s"
        )
    if (why := other_duties(choices_of(graph.signals()), rig.motor.duties)) is not None:
        raise UserError(f"the policy {why}; name the rig that it was trained for with --rig")
