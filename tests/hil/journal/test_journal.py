from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsectl.common.errors import UserError
from sparsectl.hil.journal.journal import (
    SIGNATURE,
    JournalWriter,
    Kind,
    Record,
    read_and_warn,
    read_journal,
)

RECORD = st.tuples(
    st.sampled_from([Kind.FROM_DEVICE, Kind.TO_DEVICE, Kind.GARBAGE]),
    st.integers(0, 2**64 - 1),
    st.binary(max_size=80),
)


def written(path: Path, records: list[tuple[Kind, int, bytes]]) -> bytes:
    with JournalWriter(path, {"seed": 3}) as journal:
        for kind, host_ns, payload in records:
            journal.write(kind, payload, host_ns)
    return path.read_bytes()


@given(st.lists(RECORD, max_size=20))
@settings(max_examples=50, deadline=None)
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[Kind, int, bytes]]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.bin"
    written(path, records)
    journal = read_journal(path)
    assert journal.header_json == {"seed": 3}
    assert journal.records == [Record(*record) for record in records]
    assert journal.dropped_bytes == 0
    with pytest.raises(UserError, match="the journal's header has no 'protocol_hash'; name a"):
        _ = journal.header


@given(st.lists(st.tuples(RECORD, st.booleans()), max_size=20))
@settings(max_examples=50, deadline=None)
def test_what_is_put_off_keeps_its_place(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[tuple[Kind, int, bytes], bool]]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.bin"
    with JournalWriter(path, {}) as journal:
        for (kind, host_ns, payload), later in records:
            (journal.write_later if later else journal.write)(kind, payload, host_ns)
    assert read_journal(path).records == [Record(*record) for record, _ in records]


@given(st.lists(RECORD, min_size=1, max_size=8), st.data())
@settings(max_examples=150, deadline=None)
def test_a_torn_tail_is_dropped_and_counted(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[tuple[Kind, int, bytes]],
    data: st.DataObject,
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.bin"
    content = written(path, records)
    body = sum(17 + len(payload) for _, _, payload in records)
    cut = data.draw(st.integers(len(content) - body, len(content)))
    path.write_bytes(content[:cut])
    journal = read_journal(path)
    whole, end = 0, len(content) - body
    for _, _, payload in records:
        if end + 17 + len(payload) > cut:
            break
        whole, end = whole + 1, end + 17 + len(payload)
    assert journal.records == [Record(*record) for record in records[:whole]]
    assert journal.dropped_bytes == cut - end


def test_what_is_not_read_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "journal.bin"
    content = written(path, [(Kind.FROM_DEVICE, 1, b"one"), (Kind.TO_DEVICE, 2, b"two")])
    assert len(read_and_warn(path).records) == 2 and not capsys.readouterr().err
    path.write_bytes(content[:-5])
    assert len(read_and_warn(path).records) == 1
    assert "is torn: its last 15 bytes, from the first damaged" in capsys.readouterr().err


@given(st.lists(RECORD, min_size=2, max_size=8), st.data())
@settings(max_examples=100, deadline=None)
def test_a_flipped_bit_never_yields_a_false_record(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[tuple[Kind, int, bytes]],
    data: st.DataObject,
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.bin"
    content = bytearray(written(path, records))
    body = sum(17 + len(payload) for _, _, payload in records)
    position = data.draw(st.integers(len(content) - body, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    read = read_journal(path).records
    assert len(read) < len(records)
    assert read == [Record(*record) for record in records[: len(read)]]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is not a sparsectl journal"),
        (b"PK\x03\x04 some zip archive", "is not a sparsectl journal"),
        (SIGNATURE, "has no header"),
        (SIGNATURE + b"\x20\x00\x00\x00\x02", "has no header"),
    ],
)
def test_a_foreign_file_gets_one_line(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "journal.bin"
    path.write_bytes(content)
    with pytest.raises(UserError, match=complaint) as caught:
        read_journal(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_gets_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere.bin: No such file"):
        read_journal(tmp_path / "nowhere.bin")


def test_a_folder_that_cannot_be_made_gets_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the journal"):
        JournalWriter(tmp_path / "file" / "journal.bin", {})


def test_a_full_disk_gets_one_line() -> None:
    with pytest.raises(UserError, match="No space left"):
        JournalWriter(Path("/dev/full"), {})
    assert Path("/dev/full").is_char_device(), "only a file that was begun is taken away again"


def test_notes_are_found_by_name(tmp_path: Path) -> None:
    with JournalWriter(tmp_path / "journal.bin", {}) as journal:
        journal.note("phase", host_ns=5, phase="arm")
        journal.note("kick", host_ns=6, duty=0.2)
        journal.note("phase", host_ns=7, phase="balance")
    notes = read_journal(tmp_path / "journal.bin").notes("phase")
    assert [(note["host_ns"], note["phase"]) for note in notes] == [(5, "arm"), (7, "balance")]
