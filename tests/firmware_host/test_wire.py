from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsectl.firmware_host.wire_header import HEADER, header
from sparsectl.protocol import wire
from sparsectl.protocol.framing import PLAIN_SEED, cobs_encode, crc32
from sparsectl.protocol.wire import MESSAGES, Decoder, Field, encode
from tests.firmware_host.core_library import Core
from tests.firmware_host.frame_fuzz import FrameFuzz

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
    assert HEADER.read_text() == header(), "run: python -m sparsectl.firmware_host.wire_header"


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
        stuffed = cobs_encode(packet + struct.pack("<I", crc32(packet, seed)))
        decoder = Decoder(to_host=False)
        assert decoder.feed(b"\x00" + stuffed + b"\x00") == []
        assert decoder.corrupt == 1


def test_hello_of_another_version_gives_its_hash() -> None:
    packet = struct.pack("<BBHI", 1, wire.FLAG_TO_HOST, 3, 0xDEADBEEF) + b"whatever it says"
    stuffed = cobs_encode(packet + struct.pack("<I", crc32(packet)))
    (frame,) = Decoder().feed(b"\x00" + stuffed + b"\x00")
    assert frame.values == {"protocol_hash": 0xDEADBEEF}


def test_wrong_fields_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="ARM takes"):
        encode("ARM", 0)
    with pytest.raises(KeyError):
        encode("TICK", 0)


def test_200000_damaged_frames(core: Core) -> None:
    """No false accept, every good frame delivered, the same from Python and from C."""
    fuzz = FrameFuzz(core, seed=5)
    fuzz.run(200_000)
    assert (fuzz.false_accepts, fuzz.lost, fuzz.differences) == (0, 0, 0)
    assert fuzz.good == 200_000 and 1_000 < fuzz.spared < 20_000
    assert fuzz.decoder.corrupt > 100_000 and fuzz.decoder.overlong > 1_000
    assert core.receiver_counts()[0] == fuzz.decoder.frames


def test_a_decoder_that_lets_damage_pass_is_found(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fuzz finds a Python decoder that looks at no check value."""
    monkeypatch.setattr(wire, "crc32", lambda data, seed=0: 0)
    fuzz = FrameFuzz(core, seed=5)
    fuzz.run(2_000)
    assert fuzz.false_accepts > 0 and fuzz.differences > 0
