"""How a packet travels as bytes: COBS between zero bytes, guarded by a CRC-32.

Consistent overhead byte stuffing (Cheshire and Baker, 1999) takes every zero out of a packet, so a
zero on the line can only be the edge of a frame: after any garbage the next zero brings receiver
and sender together again. A frame begins *and* ends with a zero, so a damaged frame cannot swallow
the good one behind it.

Why 32 bits: of frames that bursts, splices and lost and found bytes left with a plausible length,
a 16-bit check lets one in 65,536 pass, and a COMMAND that nobody sent would move a motor.
"""

from __future__ import annotations

import zlib

PLAIN_SEED = 0
"""Seed of HELLO's CRC, so that any two versions can exchange HELLO."""


def crc32(data: bytes, seed: int = PLAIN_SEED) -> int:
    """Return the CRC-32 of `data` as used by Ethernet and zlib; `seed` is the CRC of the preceding
    bytes."""
    return zlib.crc32(data, seed)


def cobs_encode(packet: bytes) -> bytes:
    """Encode `packet` without zero bytes; this adds at most one byte per 254, plus one."""
    out = bytearray()
    for run in packet.split(b"\x00"):
        while len(run) >= 254:
            out.append(255)
            out += run[:254]
            run = run[254:]
        out.append(len(run) + 1)
        out += run
    last_run = packet[packet.rfind(b"\x00") + 1 :]
    if last_run and len(last_run) % 254 == 0:
        out.pop()  # a packet that ends in a full block needs no empty block behind it
    return bytes(out)


def cobs_decode(stuffed: bytes) -> bytes | None:
    """Decode what `cobs_encode` returned; None if `stuffed` contains a zero or ends within a
    block."""
    if 0 in stuffed:
        return None
    out, full = bytearray(stuffed), []
    position, size = 0, len(stuffed)
    while position < size:  # each block's length stands where a zero was
        length = stuffed[position]
        out[position] = 0
        if length == 255:
            full.append(position + length)
        position += length
    for end in reversed(full):  # but no zero was behind a block of full length
        del out[end : end + 1]
    return bytes(out[1:]) if position == size else None
