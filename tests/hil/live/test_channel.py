from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsectl.hil.live.channel import channel_pair

MESSAGES = st.lists(
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=20), max_size=4),
    max_size=20,
)


@given(MESSAGES)
def test_messages_arrive_whole_and_in_order(messages: list[dict[str, object]]) -> None:
    ours, theirs = channel_pair()
    for message in messages:
        assert ours.send(message)
    assert list(theirs.receive()) == messages
    assert list(theirs.receive()) == []
    ours.close()
    theirs.close()


def test_a_reader_that_sleeps_never_blocks_the_sender() -> None:
    ours, theirs = channel_pair()
    sent = [ours.send({"number": number, "ballast": "x" * 1000}) for number in range(5000)]
    assert sent[0] and not sent[-1]
    assert ours.dropped == sent.count(False)
    assert [message["number"] for message in theirs.receive()] == list(range(sent.count(True)))
    assert ours.send({"number": -1})  # there is room again


def test_a_message_too_large_is_dropped() -> None:
    ours, theirs = channel_pair()
    assert not ours.send({"ballast": "x" * 100_000})
    assert list(theirs.receive()) == []


def test_a_closed_end_is_told() -> None:
    ours, theirs = channel_pair()
    ours.close()
    with pytest.raises(EOFError):
        list(theirs.receive())
    assert not theirs.send({"command": "estop"})


def test_the_last_word_is_heard_though_the_end_closed_with_ours_unread() -> None:
    """The kernel tells of the reset first. A page then said that its trial had vanished."""
    ours, theirs = channel_pair()
    theirs.send({"browsers": 1})
    ours.send({"ended": "the board stopped the trial"})
    ours.close()
    received = theirs.receive()
    assert next(received) == {"ended": "the board stopped the trial"}
    with pytest.raises(EOFError):
        next(received)
    theirs.close()
