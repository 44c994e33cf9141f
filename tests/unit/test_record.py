"""Rows of a `results` file: alone or with others they say the same; what is damaged is called so."""

from __future__ import annotations

from base64 import b64encode
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakestore import packed_record, parquet, record
from lakestore.errors import CorruptFileError
from lakestore.model import Fidelity, ResultInfo, RunStats

_ID = UUID("01a210d5-dc55-74dd-845d-66569c7011b5")
_OTHER = UUID("01a210d5-dfde-750a-abd2-376b6b1d915a")


@pytest.mark.parametrize("created_at", [-(2**63), 2**63 - 1, None])
def test_a_time_that_no_calendar_has_is_damage(created_at: int | None) -> None:
    columns = {
        1: pa.array(["a"]),
        3: pa.array(["completed"]),
        4: pa.array([created_at], pa.int64()).cast(pa.timestamp("us", "UTC")),
        5: pa.array(["{}"]),
        6: pa.array([b"x"]),
    }
    with pytest.raises(CorruptFileError, match="the-file is not a file of the table 'results'"):
        list(record.rows(columns, "the-file"))


def _row(*, full: bool, status: str = "completed") -> record.Row:
    info = ResultInfo(
        task_id="a",
        strategy="s",
        status=status,
        created_at=datetime(2024, 5, 6, tzinfo=UTC),
        file_size=0,
        json_size=12,
        run_date=date(2024, 5, 6),
        strategies=("s", "é") if full else ("s",),
        sha256="0f" * 32,
        profile="generic",
        fidelity=Fidelity("patched", 3),
        write_id=_ID,
        saved_at=datetime(2024, 5, 7, tzinfo=UTC),
        tables={"trades": 2, "signals": 0},
        stats=RunStats(bytes(range(200)), {"trades": b"\1by symbol"}) if full else RunStats(),
    )
    replaces, batch = (_OTHER, _OTHER) if full else (None, None)
    return record.row_of(info, b"LSE2 and so on", replaces=replaces, batch=batch, zone_assumed=full)


@pytest.mark.parametrize("status", ["completed", "failed"])
@pytest.mark.parametrize("full", [False, True])
def test_a_row_alone_says_what_it_says_among_others(full: bool, status: str) -> None:
    row, mostly = _row(full=full, status=status), _row(full=full)
    for rows in ([row], [row, row], [mostly, row]):
        table = pq.read_table(pa.BufferReader(record.to_buffer(rows)))
        # Where all are completed no column says so.
        assert ("status" in table.column_names) is (status != "completed")
        assert ("record" in table.column_names) is (len(rows) > 1)
        found = list(record.rows(parquet.columns_of(table), "it"))
        assert found == rows and found[0].stats == row.stats
        assert record.envelope_of(parquet.columns_of(table.slice(0, 1)), "it") == row.envelope


def test_a_record_that_is_cut_off_or_changed_is_damage() -> None:
    row = _row(full=True)
    whole = packed_record.packed(row.record, b"")
    assert packed_record.unpacked(whole, "it") == (row.record, b"")
    for end in range(len(whole)):
        with pytest.raises(CorruptFileError, match="the record of a result in it is damaged"):
            packed_record.unpacked(whole[:end], "it")
    for head in (b"[]", b"1", b'{"sha256":-1}', b'{"sha256":"x"}', b'{"stats":[]}', b'{"write_id":3}', b"{"):
        frame = packed_record.zstd.compress(head)[4:]
        for begin in (b"", b"\0"):
            with pytest.raises(CorruptFileError, match="is damaged"):
                packed_record.unpacked(begin + bytes([len(frame)]) + frame + b"abc", "it")
    told = {"profile": "generic", "fidelity": ["style", 0], "key of a later version": b64encode(b"x").decode()}
    assert packed_record.unpacked(packed_record.packed(told, b"e"), "it") == (told, b"e")


@pytest.mark.parametrize("size", [1, 100, 70_000])
def test_the_envelope_of_one_row_needs_no_reader(size: int) -> None:
    row = replace(_row(full=size > 1), envelope=(bytes(range(256)) * (size // 256 + 1))[:size])
    data = record.to_buffer([row]).to_pybytes()
    assert record.envelope_in(data, "it") == row.envelope
    assert record.envelope_in(record.to_buffer([row, row]).to_pybytes(), "it") is None
    assert record.envelope_in(record.to_buffer([row], compacted=True).to_pybytes(), "it") is None


def test_a_damaged_file_of_one_row_is_left_to_the_reader_or_refused() -> None:
    data = record.to_buffer([_row(full=True)]).to_pybytes()
    for at in range(len(data)):
        for flip in (1, 0x80, 0xFF):
            damaged = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
            with suppress(CorruptFileError):
                record.envelope_in(damaged, "it")
        with suppress(CorruptFileError):
            record.envelope_in(data[:at], "it")
