from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from mcap.reader import make_reader

from sparsectl.common.errors import UserError
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.convert.config import ConvertConfig
from sparsectl.hil.convert.convert import convert
from sparsectl.hil.convert.messages import messages, schemas
from sparsectl.hil.journal.journal import Journal, JournalWriter, Kind, Record, read_journal
from sparsectl.hil.journal.trace import read_trace
from sparsectl.hil.trial.trial import run_trial
from sparsectl.protocol.wire import encode

TYPES = {"integer": int, "number": (int, float), "string": str}


@pytest.fixture(scope="module", params=["device", "pil"])
def folder(
    request: pytest.FixtureRequest, timid: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a short trial."""
    out = tmp_path_factory.mktemp("convert") / "trial"
    run_trial(
        TrialConfig(
            policy=timid,
            firmware=timid.parent / "firmware",
            mode=request.param,
            clock="lockstep",
            swing_up_limit_s=1.0,
            out=out,
            report=False,
        )
    )
    return out


def test_mcap_holds_every_frame_and_note_under_its_schema(folder: Path) -> None:
    result = convert(ConvertConfig(folder))
    journal = read_journal(folder / "journal.bin")
    wanted = Counter(message.topic for message in messages(journal))
    assert result["topics"] == dict(sorted(wanted.items()))
    assert sum(wanted.values()) - wanted["/pendulum"] == len(journal.records)
    with open(result["file"], "rb") as stream:
        reader = make_reader(stream, validate_crcs=True)
        metadata = next(iter(reader.iter_metadata()))
        assert json.loads(metadata.metadata["digest"]) == journal.header.digest
        seen = Counter[str]()
        for schema, channel, message in reader.iter_messages():
            assert schema is not None
            assert (schema.encoding, channel.message_encoding) == ("jsonschema", "json")
            declared = json.loads(schema.data)
            assert declared["type"] == "object"
            content = json.loads(message.data)
            assert content.keys() <= declared["properties"].keys()
            for name, value in content.items():
                assert isinstance(value, TYPES[declared["properties"][name]["type"]]), name
            seen[channel.topic] += 1
    assert seen == wanted


def test_parquet_holds_the_trace_with_its_units(folder: Path) -> None:
    result = convert(ConvertConfig(folder, to="parquet"))
    trace = read_trace(read_journal(folder / "journal.bin"))
    table = pq.read_table(result["file"])
    assert result["rows"] == table.num_rows == len(trace) > 50
    for name, column in vars(trace).items():
        assert np.array_equal(table[name].to_numpy(), column)
    assert all(field.metadata[b"unit"] for field in table.schema)
    assert json.loads(table.schema.metadata[b"sparsectl"])["rig"] == "sensorsini_cartpole"


def test_a_value_that_is_not_finite_is_left_out(folder: Path) -> None:
    journal = read_journal(folder / "journal.bin")
    values = {"tick": 1, "duty": 0.0, "policy_output": math.nan, "inference_ns": 5}
    frame = encode("PLANT_ACT", 0, to_host=True, state=7, fault=4, **values)
    bad = Journal(journal.header_json, [Record(Kind.FROM_DEVICE, 9, frame[1:-1])], 0)
    content = [m for m in messages(bad) if m.topic == "/board/PLANT_ACT"][0]
    assert "policy_output" not in content.content and content.content["inference_ns"] == 5
    json.loads(content.encoded())


def test_a_torn_journal_is_converted_as_far_as_it_goes(folder: Path, tmp_path: Path) -> None:
    content = (folder / "journal.bin").read_bytes()
    torn = tmp_path / "journal.bin"
    torn.write_bytes(content[: len(content) * 2 // 3])
    result = convert(ConvertConfig(torn))
    assert result["dropped_bytes"] > 0
    assert result["file"] == str(tmp_path / "journal.mcap")


def test_garbage_is_kept(tmp_path: Path, folder: Path) -> None:
    header = read_journal(folder / "journal.bin").header_json
    with JournalWriter(tmp_path / "journal.bin", header) as journal:
        journal.write(Kind.GARBAGE, b"\x00\xff")
    assert convert(ConvertConfig(tmp_path))["topics"] == {"/garbage": 1}


def test_every_message_of_the_wire_has_a_schema() -> None:
    known = schemas()
    assert {"/pendulum", "/notes", "/garbage", "/board/TICK", "/host/ARM"} <= known.keys()
    assert all(schema["type"] == "object" for schema in known.values())


def test_frames_of_another_table_get_one_line(tmp_path: Path, folder: Path) -> None:
    header = read_journal(folder / "journal.bin").header_json
    for spoken in (None, 0x1234ABCD):
        with JournalWriter(tmp_path / "journal.bin", {**header, "protocol_hash": spoken}):
            pass
        with pytest.raises(UserError, match="another message table .* revision") as caught:
            convert(ConvertConfig(tmp_path))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("", "no journal.bin in"), ("other.txt", "is not a sparsectl journal")],
)
def test_what_is_no_journal_gets_one_line(tmp_path: Path, name: str, complaint: str) -> None:
    (tmp_path / "other.txt").write_text("hello")
    with pytest.raises(UserError, match=complaint) as caught:
        convert(ConvertConfig(tmp_path / name))
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.txt"]
