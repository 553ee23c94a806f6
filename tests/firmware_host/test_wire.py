from __future__ import annotations

import random
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_host import wire
from firmware_host.framing import PLAIN_SEED, cobs_encode, crc16
from firmware_host.wire import MESSAGES, Decoder, Field, encode
from firmware_host.wire_header import HEADER, header
from tests.firmware_host.core_library import Core

WAYS = [
    (message.name, to_host, fields)
    for message in MESSAGES
    for to_host, fields in ((False, message.to_board), (True, message.to_host))
    if fields is not None
]
_INTEGERS = {"u8": (0, 2**8), "u16": (0, 2**16), "u32": (0, 2**32), "u64": (0, 2**64)}
_INTEGERS["i32"] = (-(2**31), 2**31)


def _value(field: Field) -> st.SearchStrategy[Any]:
    if field.type.startswith("bytes"):
        return st.binary(min_size=field.length, max_size=field.length)
    if field.type.startswith("char"):
        return st.text("abcXYZ019-._", max_size=field.length)
    if field.type == "f32":
        return st.floats(width=32, allow_nan=False)
    low, end = _INTEGERS[field.type]
    return st.integers(low, end - 1)


@st.composite
def sent(draw: st.DrawFn) -> tuple[str, bool, int, dict[str, Any]]:
    """Any message of the table, either way, with any values."""
    name, to_host, fields = draw(st.sampled_from(WAYS))
    values = {field.name: draw(_value(field)) for field in fields}
    if name == "HELLO" and to_host:
        values["protocol_hash"] = wire.PROTOCOL_HASH
    return name, to_host, draw(st.integers(0, 0xFFFF)), values


def test_header_is_generated() -> None:
    assert HEADER.read_text() == header(), "run: python -m firmware_host.wire_header"


def test_numbers_are_unique() -> None:
    assert len({message.id for message in MESSAGES}) == len(MESSAGES)
    assert len({message.name for message in MESSAGES}) == len(MESSAGES)


def test_seed_differs_from_the_plain_one() -> None:
    assert wire.SEED != PLAIN_SEED


@given(st.lists(sent(), max_size=6), st.integers(1, 40))
def test_any_messages_in_any_pieces(messages: list[Any], piece: int) -> None:
    stream = b"".join(
        encode(name, sequence, to_host=way, **values) for name, way, sequence, values in messages
    )
    decoder = Decoder(to_host=None)
    pieces = [stream[i : i + piece] for i in range(0, len(stream), piece)]
    frames = [frame for part in pieces for frame in decoder.feed(part)]
    assert [(f.name, f.to_host, f.sequence, f.values) for f in frames] == messages
    assert (decoder.corrupt, decoder.overlong) == (0, 0)


@given(sent())
def test_c_receives_what_python_sends(core: Core, message: Any) -> None:
    name, to_host, sequence, values = message
    stream = encode(name, sequence, to_host=to_host, **values)
    (frame,) = wire.Decoder(to_host=None).feed(stream)
    (kind, flags, numbered, payload) = core.receive(stream)[0]
    assert (numbered, bool(flags & wire.FLAG_TO_HOST)) == (sequence, to_host)
    rebuilt = wire._LAYOUTS[kind, to_host].unpack(payload)
    assert rebuilt == frame.values


@given(sent().filter(lambda message: message[1]))
def test_c_sends_what_python_sends(core: Core, message: Any) -> None:
    name, _, sequence, values = message
    layout = wire._BY_NAME[name, True]
    from_c = core.build(layout.message.id, sequence, layout.pack(values))
    assert from_c == encode(name, sequence, to_host=True, **values)


def test_echo_is_no_speech() -> None:
    decoder = Decoder()
    assert decoder.feed(encode("HELLO", 0)) == []
    assert decoder.echoed == 1


def test_overlong_ends_at_the_next_zero() -> None:
    decoder = Decoder(to_host=False)
    assert decoder.feed(b"\x07" * 1000) == []
    assert len(decoder.feed(b"\x07" * 500 + encode("DISARM", 1))) == 1
    assert decoder.overlong == 1


def test_another_table_is_not_misread() -> None:
    packet = struct.pack("<BBH", 7, 0, 0)
    for seed in (wire.SEED ^ 0x1234, PLAIN_SEED):
        stuffed = cobs_encode(packet + struct.pack("<H", crc16(packet, seed)))
        decoder = Decoder(to_host=False)
        assert decoder.feed(b"\x00" + stuffed + b"\x00") == []
        assert decoder.corrupt == 1


def test_hello_of_another_version_gives_its_hash() -> None:
    packet = struct.pack("<BBHI", 1, wire.FLAG_TO_HOST, 3, 0xDEADBEEF) + b"whatever it says"
    stuffed = cobs_encode(packet + struct.pack("<H", crc16(packet)))
    (frame,) = Decoder().feed(b"\x00" + stuffed + b"\x00")
    assert frame.values == {"protocol_hash": 0xDEADBEEF}


def test_wrong_fields_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="ARM takes"):
        encode("ARM", 0)
    with pytest.raises(KeyError):
        encode("TICK", 0)


def _damage(frame: bytes, random: random.Random) -> bytes:
    """Flip bits, drop, insert, or overwrite a burst; never the frame itself."""
    data = bytearray(frame)
    kind = random.randrange(4)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(data))
        if kind == 0:
            data[at] ^= 1 << random.randrange(8)
        elif kind == 1:
            del data[at]
        elif kind == 2:
            data.insert(at, random.randrange(256))
        else:
            data[at : at + 6] = random.randbytes(len(data[at : at + 6]))
    return bytes(data)


def test_damaged_frames_are_refused_and_good_ones_delivered(core: Core) -> None:
    """20,000 damaged frames, each with a good one behind it, by both decoders."""
    dice = random.Random(5)
    decoder = Decoder(to_host=None)
    core.c.shim_receiver_reset()
    for number in range(20_000):
        tick = dice.getrandbits(32)
        bad = encode("PLANT_STEP", number, tick=tick, base_count=-7, pole_count=number)
        good = encode("TIMESYNC", number, host_time_ns=dice.getrandbits(64))
        damaged = _damage(bad, dice)
        whole = bad.strip(b"\x00")
        spared = [part for part in damaged.split(b"\x00") if part == whole]  # only edges were hit
        frames = decoder.feed(damaged + good)
        names = ["PLANT_STEP"] * len(spared) + ["TIMESYNC"]
        assert [frame.name for frame in frames] == names
        assert frames[-1].sequence == number & 0xFFFF
        assert [kind for kind, *_ in core.receive(damaged + good)] == [
            12 if name == "PLANT_STEP" else 11 for name in names
        ]
    assert core.receiver_counts()[0] == decoder.frames
    assert decoder.corrupt > 15_000
