"""A line that is too slow is refused, and distinguished from a bad cable."""

from __future__ import annotations

import os
import pty
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsectl.common.errors import UserError
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.timing.line_budget import AROUND_BYTES, check_line, line_share, tick_bytes
from sparsectl.hil.trial.advice import advice
from sparsectl.hil.trial.trial import run_trial
from sparsectl.protocol.wire import MESSAGES, Fault, encode

Short = Callable[..., TrialConfig]


@given(st.integers(0, 255))
def test_a_frame_takes_no_more_than_counted(byte: int) -> None:
    for message in MESSAGES:
        for fields, to_host in ((message.to_board, False), (message.to_host, True)):
            if fields is None:
                continue
            values = {f.name: bytes([byte]) * f.length if f.length else 0 for f in fields}
            size = sum(field.size for field in fields)
            frame = encode(message.name, byte, to_host=to_host, **values)
            assert len(frame) <= size + AROUND_BYTES


def test_57600_baud_is_refused_in_host_mode(short: Short) -> None:
    with pytest.raises(UserError) as caught:
        run_trial(short(mode="host", clock="realtime", paced=True, baud=57_600))
    assert "the line runs at 57600 baud, at which the" in str(caught.value)
    assert "of its 20 ms; use --baud 115200 or more" in str(caught.value)
    check_line("host", 115_200, 0.02)
    assert tick_bytes("host") > tick_bytes("device") > tick_bytes("pil")


def test_a_busy_line_is_named() -> None:
    share = line_share("device", 57_600, 0.02)
    assert "the line is too slow" in advice(Fault.LINK_LOST, 20_000, 3, share)
    assert "the cable is bad" in advice(
        Fault.LINK_LOST, 20_000, 3, line_share("device", 230_400, 0.02)
    )


@pytest.mark.parametrize(
    ("baud", "what"),
    [
        (115_200, "board host speaks 230400: leave --baud out"),
        (None, "is it another device's port?"),  # the board's own: then the speed is not to blame
    ],
)
def test_bytes_that_are_no_frames_are_explained(short: Short, baud: int | None, what: str) -> None:
    """What a board at another speed sends arrives as such, and what any other device sends."""
    ours, theirs = pty.openpty()
    done = threading.Event()

    def babble() -> None:
        while not done.wait(0.02):
            os.write(ours, b"\x00\xfe\xe6\x18\x9e\x66\x00")

    thread = threading.Thread(target=babble)
    thread.start()
    try:
        with pytest.raises(UserError, match="bytes arrive, but no frame from") as caught:
            run_trial(short(port=os.ttyname(theirs), baud=baud))
    finally:
        done.set()
        thread.join()
        os.close(ours)
        os.close(theirs)
    assert f"at {baud or 230_400} baud; {what}" in str(caught.value)
    assert caught.value.exit_code == 4
