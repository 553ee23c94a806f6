"""How a packet travels as bytes: COBS between zero bytes, guarded by CRC-16/CCITT-FALSE.

Consistent overhead byte stuffing (Cheshire and Baker, 1999) takes every zero out of a packet, so a
zero on the line can only be the edge of a frame: after any garbage the next zero brings receiver
and sender together again. A frame begins *and* ends with a zero, so a damaged frame cannot swallow
the good one behind it.
"""

from __future__ import annotations

import binascii

PLAIN_SEED = 0xFFFF
"""Start value of CRC-16/CCITT-FALSE; HELLO uses it so that any two versions can greet."""


def crc16(data: bytes, seed: int = PLAIN_SEED) -> int:
    """CRC-16/CCITT-FALSE of `data`: polynomial 0x1021, high bit first, not reflected."""
    return binascii.crc_hqx(data, seed)


def cobs_encode(packet: bytes) -> bytes:
    """Stuff `packet` so that it holds no zero byte (at most one byte more per 254)."""
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
    """Undo `cobs_encode`; None when `stuffed` holds a zero or its last block is cut short."""
    out = bytearray()
    position, size = 0, len(stuffed)
    while position < size:
        code = stuffed[position]
        end = position + code
        if code == 0 or end > size:
            return None
        out += stuffed[position + 1 : end]
        if code != 255 and end < size:
            out.append(0)
        position = end
    return None if 0 in stuffed else bytes(out)
