"""The message table: every message, each way, field by field with type, unit and meaning.

Types: u8 u16 u32 u64 i32 f32, ``bytes[n]`` raw, ``char[n]`` ASCII filled up with zero bytes. All
little-endian and unpadded, in the order given. "" as a unit: a pure number or an enum's value.
HELLO's number, and `protocol_hash` as the first field of its answer, never change.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Final

_CODES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i32": "i", "f32": "f"}


@dataclass(frozen=True)
class Field:
    """One value of a payload."""

    name: str
    type: str
    unit: str
    doc: str

    @property
    def length(self) -> int:
        """Number of elements of ``bytes[n]`` and ``char[n]``; 0 for a single number."""
        match = re.fullmatch(r"(?:bytes|char)\[(\d+)\]", self.type)
        return int(match.group(1)) if match else 0

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return struct.calcsize(f"<{self.code}")

    @property
    def code(self) -> str:
        """The field's code for Python's struct module."""
        return f"{self.length}s" if self.length else _CODES[self.type]


Fields = tuple[Field, ...]


@dataclass(frozen=True)
class Message:
    """A message: its number and what it carries each way; None where it does not go that way."""

    name: str
    id: int
    doc: str
    to_board: Fields | None = None
    to_host: Fields | None = None


_STATE = Field("state", "u8", "", "State after this")
_FAULT = Field("fault", "u8", "", "Fault that is latched, NONE outside of FAULT")
_DIGEST = Field("policy_digest", "bytes[32]", "", "SHA-256 of the policy's canonical bytes")
_PERIOD = Field("period_us", "u32", "us", "nominal control period")
_SCALES = (
    Field("base_unit_per_count", "f32", "m or rad", "base travel of one encoder count"),
    Field("pole_rad_per_count", "f32", "rad", "pole turn of one encoder count"),
)
_SIZES = (
    Field("observation_size", "u16", "", "values the policy takes, all frames together"),
    Field("action_size", "u16", "", "values the policy gives"),
    Field("frames", "u16", "", "frames of history in an observation"),
)
_ECHO = (
    Field("echo_type", "u8", "", "number of the message answered"),
    Field("echo_sequence", "u16", "", "its sequence"),
)
_ACTUATION = (
    Field("duty", "f32", "1", "duty applied to the motor, -1 to 1; 0 unless ACTIVE"),
    Field(
        "policy_output",
        "f32",
        "1",
        "the duty that the policy asks for, before state, kick and clamp",
    ),
    Field("inference_ns", "u32", "ns", "time of the policy call; the model's, on a virtual clock"),
)
_RIG_DIGEST = Field(
    "rig_digest",
    "bytes[8]",
    "",
    "first bytes of the SHA-256 of all constants of rig and safety, and of the checks' code",
)
_LINK = Field("link_timeout_ticks", "u16", "ticks", "silence of the host that ends a run")
_TICK = Field("tick", "u32", "ticks", "number since boot, from 1; a gap is deadlines skipped")
_SAMPLE = (
    _TICK,
    Field("sample_time_us", "u64", "us", "device clock (0 at boot) when encoders were read"),
    Field("base_count", "i32", "counts", "from home"),
    Field("pole_count", "i32", "counts", "from home; 0 hangs"),
)

MESSAGES: Final = (
    Message(
        "HELLO",
        1,
        "Who are you? Allowed at any time, by any version: its CRC starts from zero.",
        to_board=(),
        to_host=(
            Field("protocol_hash", "u32", "", "hash of the board's message table; always first"),
            Field("clock_hz", "u32", "Hz", "resolution of the timer behind inference_ns"),
            _DIGEST,
            Field("board", "char[16]", "", "name in the board registry"),
            Field("firmware_version", "char[16]", "", "of the package, + and the checks' digest"),
            *_SIZES,
            Field("vector_count", "u16", "", "golden vectors that BENCH can replay"),
            _PERIOD,
            *_SCALES,
            Field("base_limit", "f32", "m or rad", "travel from home at which the board faults"),
            Field("max_duty", "f32", "1", "clamp of the duty"),
            Field("base_rate_limit", "f32", "m/s or rad/s", "base speed that faults"),
            Field("pole_rate_limit", "f32", "rad/s", "pole speed that faults"),
            Field("current_limit_ma", "u32", "mA", "motor current that faults; 0: not measured"),
            _RIG_DIGEST,
            _LINK,
            Field("arm_nonce", "u32", "", "what ARM must carry; another after each ARM"),
            Field("tick", "u32", "ticks", "last control tick run; 0: none yet"),
            _STATE,
            _FAULT,
            Field("mode", "u8", "", "Mode"),
            Field("clock", "u8", "", "Clock"),
        ),
    ),
    Message(
        "CONFIG",
        2,
        "What the host believes. ACK when all of it is the board's own, bit for bit; else NACK "
        "names the first that differs. In host mode the policy's digest and sizes are the host's "
        "own affair. Sets the link time-out, 1 to 0.2 s or 3 ticks, whichever is longer. Starts "
        "the TICKs. Refused in ARMED, ACTIVE and STOPPING.",
        to_board=(_DIGEST, _PERIOD, *_SCALES, *_SIZES, _RIG_DIGEST, _LINK),
    ),
    Message("ACK", 3, "Accepted.", to_host=_ECHO),
    Message(
        "NACK",
        4,
        "Refused; nothing has changed.",
        to_host=(*_ECHO, Field("reason", "u8", "", "Reason")),
    ),
    Message(
        "HOME",
        5,
        "Find zero: from SAFE, HOMED or FAULT to HOMING. The base stands in its middle, the pole "
        "hangs at rest. 0.5 s within a count zeroes both encoders (HOMED); 10 s without it: FAULT.",
        to_board=(),
    ),
    Message(
        "ARM",
        6,
        "From HOMED to ARMED; the next control tick is ACTIVE. CONFIG must have been accepted.",
        to_board=(Field("nonce", "u32", "", "arm_nonce of the latest HELLO"),),
    ),
    Message(
        "DISARM",
        7,
        "Motor off. ACTIVE → STOPPING, ARMED → HOMED, HOMING and FAULT → SAFE, else no change. "
        "Never refused.",
        to_board=(),
    ),
    Message(
        "ESTOP",
        8,
        "Motor off at once, FAULT(ESTOP) from any state; a fault latched before stays. "
        "Never refused.",
        to_board=(),
    ),
    Message(
        "MODE",
        9,
        "Choose the mode and start again: forgets CONFIG, the history (and a recurrent policy's "
        "state) and the PLANT_STEP count, also where the mode stays; a change to or from PIL, "
        "which has other encoders, forgets home too (SAFE). Refused in ARMED, ACTIVE and STOPPING.",
        to_board=(Field("mode", "u8", "", "Mode"),),
    ),
    Message(
        "TICK",
        10,
        "One control tick in device and host mode, after actuation; each tick since CONFIG was "
        "accepted. In host mode it answers the tick's COMMAND; without one it comes before the "
        "next tick, with the duty that held.",
        to_host=(
            *_SAMPLE,
            *_ACTUATION,
            Field("receive_us", "u32", "us", "from sampling to reading the COMMAND; 0 without one"),
            Field("actuation_us", "u32", "us", "from sampling to the motor's new duty"),
            Field("lateness_us", "i32", "us", "sampling after the tick's deadline"),
            _STATE,
            _FAULT,
            Field("skipped", "u16", "ticks", "deadlines skipped since boot, modulo 65536"),
        ),
    ),
    Message(
        "TIMESYNC",
        11,
        "Relate the clocks; also the keep-alive.",
        to_board=(
            Field("host_time_ns", "u64", "ns", "host clock at sending; comes back as it is"),
        ),
        to_host=(
            Field("host_time_ns", "u64", "ns", "as it came"),
            Field("receive_time_us", "u64", "us", "device clock when the request was read"),
            Field("transmit_time_us", "u64", "us", "device clock when this was sent"),
        ),
    ),
    Message(
        "PLANT_STEP",
        12,
        "Processor in the loop: run one control tick on these counts. `tick` starts with any "
        "number and grows by 1; the last one again is answered again without running.",
        to_board=(
            Field("tick", "u32", "ticks", "number the host gives"),
            Field("base_count", "i32", "counts", "of the simulated plant"),
            Field("pole_count", "i32", "counts", "of the simulated plant; 0 hangs"),
        ),
    ),
    Message(
        "PLANT_ACT",
        13,
        "The answer to PLANT_STEP.",
        to_host=(
            Field("tick", "u32", "ticks", "as it came"),
            *_ACTUATION,
            _STATE,
            _FAULT,
        ),
    ),
    Message(
        "STEP",
        14,
        "Lockstep clock, device and host mode: run the control ticks up to and including "
        "`until_tick`. ACK comes when they have run, after their TICKs; at once when they had run "
        "before. The board reads nothing meanwhile, so ARMED or ACTIVE it takes fewer than "
        "link_timeout_ticks.",
        to_board=(Field("until_tick", "u32", "ticks", "number of the last tick to run"),),
    ),
    Message(
        "DISTURB",
        15,
        "Kick the rig: this duty is added to the policy's, then clamped. ACTIVE only.",
        to_board=(
            Field("duty", "f32", "1", "to add; finite"),
            Field("ticks", "u16", "ticks", "how long, from the next tick"),
        ),
    ),
    Message(
        "BENCH",
        16,
        "Replay a golden vector, timed; of a recurrent policy after those of its sequence that "
        "come before it, on a state of its own. Refused in ARMED, ACTIVE and STOPPING.",
        to_board=(Field("index", "u16", "", "0 to vector_count - 1"),),
        to_host=(
            Field("index", "u16", "", "as it came"),
            Field("action", "f32", "1", "first action, every bit"),
            Field("max_error", "f32", "1", "largest |action - golden action|"),
            Field("inference_ns", "u32", "ns", "least of several calls, by a real timer"),
        ),
    ),
    Message(
        "STATS",
        17,
        "Counters since boot.",
        to_board=(),
        to_host=(
            Field("uptime_us", "u64", "us", "device clock"),
            Field("frames_ok", "u32", "", "good frames received"),
            Field("frames_corrupt", "u32", "", "damaged frames received"),
            Field("frames_overlong", "u32", "", "received frames too long for any message"),
            Field("frames_unknown", "u32", "", "whole frames of unknown type, length or direction"),
            Field("frames_dropped", "u32", "", "frames not sent: the line was full"),
            Field("ticks", "u32", "ticks", "control ticks run"),
            Field("skipped", "u32", "ticks", "deadlines skipped since boot"),
            Field("max_lateness_us", "u32", "us", "latest tick"),
            Field("max_inference_ns", "u32", "ns", "slowest policy call in a tick"),
            Field("edges_lost", "u32", "", "transitions of the encoders that no encoder makes"),
        ),
    ),
    Message(
        "EVENT",
        18,
        "The safety state has changed.",
        to_host=(
            Field("tick", "u32", "ticks", "last control tick run (PLANT_STEP's number in pil)"),
            Field("time_us", "u64", "us", "device clock"),
            Field("previous", "u8", "", "State before"),
            _STATE,
            _FAULT,
        ),
    ),
    Message(
        "OBSERVATION",
        19,
        "Host mode: what a control tick sampled, at once; each tick since CONFIG was accepted.",
        to_host=(
            *_SAMPLE,
            Field("transmit_us", "u32", "us", "from sampling to handing this to the line"),
            _STATE,
            _FAULT,
        ),
    ),
    Message(
        "COMMAND",
        20,
        "Host mode: the policy's output for a tick, applied on arrival and held until the next "
        "one. TICK answers it, or ACK if its tick is over but its time to live is not. ARMED and "
        "ACTIVE fault at the first sampling more than `time_to_live` ticks after `tick`.",
        to_board=(
            Field("tick", "u32", "ticks", "the OBSERVATION that it answers"),
            Field("output", "f32", "1", "the duty that the policy asks for; not finite: FAULT"),
            Field("inference_ns", "u32", "ns", "time of the policy call; TICK brings it back"),
            Field("time_to_live", "u8", "ticks", "1 or 2"),
        ),
    ),
    Message(
        "RIG",
        21,
        "The constants of the rig that HELLO does not contain, for a host whose digest differs.",
        to_board=(),
        to_host=(
            Field("current_limit_ma", "u32", "mA", "as built, measured or not"),
            Field("telling_jerk", "i32", "counts", "of the base, that a pole answers"),
            Field("pole_sense", "i32", "", "sign of the hanging pole's answer to it"),
            Field("watchdog_us", "u32", "us", "longest time without a control tick"),
            Field("limit_switches", "u8", "", "1: their loop has to be closed"),
        ),
    ),
)
