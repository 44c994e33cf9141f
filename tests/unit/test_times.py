"""Which texts are times, what comes of them, and what is left alone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from lakestore.codec import times
from lakestore.codec.times import TimeFormat, column
from lakestore.errors import CorruptFileError, InvalidInputError


def accepted(*texts: str | None) -> tuple[TimeFormat, list[Any]]:
    """Format and values of texts that must be times, proved to come back."""
    column = pa.array(texts, pa.string())
    read = times.parse(column)
    assert read is not None, texts
    fmt, values = read
    values.validate(full=True)
    back = times.render(values, fmt)
    back.validate(full=True)
    assert back.equals(column)
    assert TimeFormat.from_json(fmt.to_json()) == fmt
    assert values.type == fmt.type
    return fmt, values.to_pylist()


def refused(*texts: str | None) -> bool:
    return times.parse(pa.array(texts, pa.string())) is None


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


FORMS: list[tuple[str, Any]] = [
    ("2024-02-29", date(2024, 2, 29)),
    ("0001-01-01", date(1, 1, 1)),
    ("9999-12-31", date(9999, 12, 31)),
    ("1969-12-31", date(1969, 12, 31)),
    ("2024-02-29T23:59", datetime(2024, 2, 29, 23, 59)),
    ("2024-02-29 23:59Z", utc(2024, 2, 29, 23, 59)),
    ("2024-02-29T23:59:58", datetime(2024, 2, 29, 23, 59, 58)),
    ("1969-12-31 23:59:59.999999", datetime(1969, 12, 31, 23, 59, 59, 999999)),
    ("2024-01-01T00:00:00.5", datetime(2024, 1, 1, 0, 0, 0, 500000)),
    ("2024-01-01T00:00:00,123", datetime(2024, 1, 1, 0, 0, 0, 123000)),
    ("2024-01-01T00:00:00.0000", datetime(2024, 1, 1)),
    ("2024-01-01T00:00:00.1234560", datetime(2024, 1, 1, 0, 0, 0, 123456)),
    ("2024-01-01T00:00:00.123456000", datetime(2024, 1, 1, 0, 0, 0, 123456)),
    ("2024-01-01T00:00:00Z", utc(2024, 1, 1)),
    ("2024-01-01T00:00:00z", utc(2024, 1, 1)),
    ("2024-01-01T00:00:00.25Z", utc(2024, 1, 1, 0, 0, 0, 250000)),
    ("2024-01-01T00:00:00+00:00", utc(2024, 1, 1)),
    ("2024-01-01T00:00:00-00:00", utc(2024, 1, 1)),
    ("2024-01-01T00:00:00+0000", utc(2024, 1, 1)),
    ("2024-01-01 00:00:00+00", utc(2024, 1, 1)),
    ("2024-01-01 00:00:00 UTC", utc(2024, 1, 1)),
    ("2024-01-01 00:00:00 +0000", utc(2024, 1, 1)),
    ("2024-01-01T00:00:00+02:00", utc(2023, 12, 31, 22)),
    ("2024-01-01T00:00:00-05:00", utc(2024, 1, 1, 5)),
    ("2024-01-01T00:00:00.000001+05:30", utc(2023, 12, 31, 18, 30, 0, 1)),
    ("2024-01-01T00:00:00-0930", utc(2024, 1, 1, 9, 30)),
    ("0001-01-01T00:00:00", datetime(1, 1, 1)),
    ("2024.01.02", date(2024, 1, 2)),
    ("2024/01/02", date(2024, 1, 2)),
    ("2024.01.02 03:04", datetime(2024, 1, 2, 3, 4)),
    ("2024.01.02 03:04:05", datetime(2024, 1, 2, 3, 4, 5)),
    ("2024.02.29 03:04:05.250", datetime(2024, 2, 29, 3, 4, 5, 250000)),
    ("2024/01/02 03:04:05", datetime(2024, 1, 2, 3, 4, 5)),
    ("2024/01/02T03:04:05.000001Z", utc(2024, 1, 2, 3, 4, 5, 1)),
    ("9999-12-31T23:59:59.999999", datetime(9999, 12, 31, 23, 59, 59, 999999)),
]


@pytest.mark.parametrize(("text", "value"), FORMS)
def test_each_form_gives_the_value_it_says(text: str, value: Any) -> None:
    fmt, values = accepted(text, None, text)
    assert values == [value, None, value]
    assert fmt.zone == "" or values[0].tzinfo is not None


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "now", "NaN", "20240229", "20240229T235900", "2024-2-9", "2024-02-29T", "2024-02-29Z",
        "2024-02-30", "2023-02-29",
        "1900-02-29", "2024-00-10", "2024-13-10", "2024-04-31", "2024-01-00", "0000-01-01",
        "10000-01-01", "-2024-01-01", "+2024-01-01", "2024/01-01", "2024.01/01", "2024_01_01",
        "24.01.2024", "2024.01.32",
        "2024-01-01t00:00:00", "2024-01-01_00:00:00",
        "2024-01-01T24:00:00", "2024-01-01T00:60:00", "2024-01-01T00:00:60", "2024-01-01T23:59:60",
        "2024-01-01T7:00:00",
        "2024-01-01T00", "2024-01-01T00:00:00.", "2024-01-01T00:00:00.1234567", "2024-01-01T00:00:00.123456001",
        "2024-01-01T00:00:00.1234560000", "2024-01-01T00:00.5", "2024-01-01T00:00:00.5.5", "2024-01-01T00:00:00 Z",
        "2024-01-01T00:00:00+24:00", "2024-01-01T00:00:00+02:60", "2024-01-01T00:00:00+2:00", "2024-01-01T00:00:00 EST",
        "2024-01-01T00:00:00+02:00:30", "2024-01-01T00:00:00[UTC]", "0001-01-01T00:00:00+02:00",
        "9999-12-31T23:00:00-05:00", "0000-12-31T23:00:00-05:00", "2024-01-01 ", " 2024-01-01", "2024-01-01\n",
        "\uff12\uff10\uff12\uff14-01-01", "2024-01-0\u0661", "2024\N{EN DASH}01-01",
        "2024-01-01T00:00:00\x00", "2024-01-01T00:00:0é",
    ],
)  # fmt: skip
def test_what_is_no_time_is_left_alone(text: str) -> None:
    assert refused(text)
    assert refused(None, text)
    assert refused("2024-01-01", text)
    assert refused("2024-01-01T00:00:00", text)
    assert refused("2024-01-01T00:00:00Z", "2024-01-01T00:00:00.5Z", text)


def test_every_day_of_every_year_is_right() -> None:
    days = pa.array(range(-719_162, 2_932_897), pa.int32()).view(pa.date32())
    texts = times.render(days, TimeFormat())
    read = times.parse(texts)
    assert read is not None
    assert read[1].equals(days)
    step = 997
    assert texts[::step].to_pylist() == [day.isoformat() for day in days[::step].to_pylist()]


def test_no_wrong_day_of_a_month_is_taken() -> None:
    for year in (1900, 2000, 2023, 2024):
        for month in range(14):
            for day in range(33):
                text = f"{year:04}-{month:02}-{day:02}"
                try:
                    value = date(year, month, day)
                except ValueError:
                    assert refused(text)
                else:
                    assert accepted(text)[1] == [value]


def test_python_isoformat_leaves_out_a_zero_fraction() -> None:
    start = datetime(2024, 1, 1)
    values = [start, start + timedelta(microseconds=1), start + timedelta(milliseconds=250), start]
    fmt, found = accepted(*(v.isoformat() for v in values))
    assert fmt.widths == (0, 6)
    assert found == values


def test_fractions_without_trailing_zeros_come_back() -> None:
    fmt, _ = accepted(*(f"2024-01-01T00:00:00.{f}Z" for f in ("1", "12", "123", "1234", "12345", "123456", "000001")))
    assert fmt.widths == (1, 2, 3, 4, 5, 6)
    fmt, _ = accepted("2024-01-01T00:00:00Z", "2024-01-01T00:00:00.5Z", "2024-01-01T00:00:00.25Z")
    assert fmt.widths == (0, 1, 2)


def test_java_writes_fractions_in_groups_of_three() -> None:
    assert accepted("2024-01-01T00:00:00Z", "2024-01-01T00:00:00.120Z", "2024-01-01T00:00:00.000120Z")[0].widths == (
        0, 3, 6,
    )  # fmt: skip


def test_dot_net_writes_seven_digits() -> None:
    assert accepted("2024-01-01T00:00:00.1234560Z", "2024-01-01T00:00:00.0000000Z")[0].widths == (7,)
    assert refused("2024-01-01T00:00:00.1234560Z", "2024-01-01T00:00:00.0000001Z")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2024-01-01T00:00:00", "2024-01-01 00:00:00"),
        ("2024-01-01T00:00:00", "2024-01-01T00:00"),
        ("2024-01-01T00:00:00", "2024-01-01"),
        ("2024-01-01", "2024.01.01"),
        ("2024.01.01", "2024/01/01"),
        ("2024.01.01 00:00", "2024.01-01 00:00"),
        ("2024.01.01 00:00:00", "2024-01-01 00:00:00"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00z"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00.5"),
        ("2024-01-01T00:00:00+01:00", "2024-01-01T00:00:00+0200"),
        ("2024-01-01T00:00:00+01:00", "2023-12-31T23:00:00+00:00"),
        ("2024-01-01T00:00:00+01:00", "2024-01-01T00:00:00+01:60"),
        ("2024-01-01T00:00:00.5", "2024-01-01T00:00:00,5"),
        ("2024-01-01T00:00:00.5", "2024-01-01T00:00:00,25"),
        ("2024-01-01T00:00:00.5", "2024-01-01T00:00:00.50"),
        ("2024-01-01T00:00:00.000000", "2024-01-01T00:00:00"),
        ("2024-01-01T00:00:00.500", "2024-01-01T00:00:00.5"),
        ("2024-01-01T00:00:00.5", ""),
        ("2024-01-01", ""),
        ("2024-01-01", "2024-01-01 but in words, and at some length, longer than any time"),
    ],
)
def test_two_formats_in_one_column_are_refused(one: str, other: str) -> None:
    assert refused(one, other)
    assert refused(other, one)
    assert refused(None, one, one, None, other)


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/London", "Australia/Lord_Howe"])
@pytest.mark.parametrize("form", ["seconds", "minutes", "milliseconds", "auto", "basic"])
def test_texts_of_a_zone_with_summer_time_are_times(zone: str, form: str) -> None:
    first = datetime(2022, 1, 1, tzinfo=UTC)
    moments = [first + timedelta(minutes=47 * 60 * at) for at in range(700)]
    local = [moment.astimezone(ZoneInfo(zone)) for moment in moments]
    texts = [f"{at:%Y-%m-%dT%H:%M:%S%z}" if form == "basic" else at.isoformat(" ", form) for at in local]
    fmt, values = accepted(*texts, None)
    assert values == [*moments, None]
    assert 6 <= len(fmt.changes) <= 8
    assert TimeFormat.from_json(fmt.to_json()) == fmt
    backwards = accepted(*reversed(texts))
    assert backwards == (fmt, list(reversed(moments)))


def test_suffixes_that_follow_from_nothing_are_refused() -> None:
    texts = [f"2024-01-{day:02}T00:00:00+0{day % 2}:00" for day in range(1, 32)] * 9
    assert len({*texts}) == 31
    accepted(*texts[:31])
    assert refused(*(f"{year}-{text[5:]}" for year in range(2001, 2010) for text in texts[:31]))
    assert refused(*(f"2024-01-0{day}T00:00:00+0{day}:00" for day in range(1, 6)))


@pytest.mark.parametrize(
    "changes", ["5", "[5]", "[[1]]", '[["1","+02:00"]]', '[[1,"Z"]]', '[[2,"+02:00"],[1,"+01:00"]]', '[[1.5,"+02:00"]]']
)
def test_changes_that_are_none_are_damage(changes: str) -> None:
    with pytest.raises(CorruptFileError):
        TimeFormat.from_json(f'[1,"T",1,"",[0],"+01:00",{changes}]')


def test_columns_without_any_text_are_no_times() -> None:
    assert refused()
    assert refused(None, None)


@pytest.mark.parametrize(
    "texts",
    [
        ["2024-01-01T00:00:00", None, "2024-01-02T00:00:00.5", None, None, "2024-01-03T00:00:00.125", "x"],
        [None, "2024-01-01", "2024-01-02", None, "2024-01-03", "x"],
        ["x", "2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "2024-01-02T00:00:00Z", "x"],
    ],
)
def test_slices_of_an_array_stand_for_themselves(texts: list[str | None]) -> None:
    whole = pa.array(texts, pa.string())
    for begin in range(len(texts)):
        for end in range(begin, len(texts) + 1):
            part, alone = whole[begin:end], pa.array(texts[begin:end], pa.string())
            got, want = times.parse(part), times.parse(alone)
            assert (got is None) == (want is None)
            if got is not None and want is not None:
                assert got[0] == want[0]
                assert got[1].equals(want[1])
                for i in range(len(part) + 1):
                    assert times.render(got[1][i:], got[0]).equals(alone[i:])


def test_bytes_under_a_null_are_not_looked_at() -> None:
    column = pa.StringArray.from_buffers(
        3, pa.py_buffer(b"\0\0\0\0\x0a\0\0\0\x14\0\0\0\x1e\0\0\0"), pa.py_buffer(b"2024-01-01not a time2024-01-03"),
        pa.py_buffer(b"\x05"), 1,
    )  # fmt: skip
    read = times.parse(column)
    assert read is not None
    assert read[1].to_pylist() == [date(2024, 1, 1), None, date(2024, 1, 3)]


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])
def test_other_arrow_texts_are_read_too(kind: pa.DataType) -> None:
    texts = ["2024-01-01T00:00:00Z", None, "2024-01-02T00:00:00Z"]
    read = times.parse(pa.array(texts, pa.string()).cast(kind))
    assert read is not None
    assert times.render(*reversed(read)).to_pylist() == texts


def test_chunks_count_as_one_column() -> None:
    texts = pa.chunked_array([["2024-01-01"], [], [None, "2024-01-02"]], pa.string())
    read = times.parse(texts)
    assert read is not None
    fmt, values = read
    assert times.render(pa.chunked_array([values[:1], values[1:]]), fmt).to_pylist() == texts.to_pylist()


def test_empty_and_all_null_values_render() -> None:
    for fmt in (TimeFormat(), TimeFormat("T", mark=".", widths=(0, 6), zone="Z")):
        assert times.render(pa.array([], fmt.type), fmt).to_pylist() == []
        assert times.render(pa.array([None, None], fmt.type), fmt).to_pylist() == [None, None]


@pytest.mark.parametrize(
    ("value", "fmt"),
    [
        (datetime(2024, 1, 1, 0, 0, 1), TimeFormat("T", seconds=False)),
        (datetime(2024, 1, 1, 0, 0, 0, 1), TimeFormat("T", seconds=False)),
        (datetime(2024, 1, 1, 0, 0, 0, 1), TimeFormat("T")),
        (datetime(2024, 1, 1, 0, 0, 0, 100), TimeFormat("T", mark=".", widths=(3,))),
        (datetime(2024, 1, 1, 0, 0, 0, 100), TimeFormat("T", mark=".", widths=(0, 3))),
        (datetime(2024, 1, 1), TimeFormat("T", zone="Z")),
        (datetime(2024, 1, 1, tzinfo=UTC), TimeFormat("T")),
        (datetime(2024, 1, 1), TimeFormat()),
        (date(2024, 1, 1), TimeFormat("T")),
        (datetime(9999, 12, 31, 23, tzinfo=UTC), TimeFormat("T", zone="+02:00")),
        ("2024-01-01", TimeFormat()),
        (738000, TimeFormat()),
    ],
)
def test_a_value_that_the_format_cannot_say_is_an_error(value: Any, fmt: TimeFormat) -> None:
    with pytest.raises(InvalidInputError):
        times.render(pa.array([value]), fmt)


def test_other_units_than_micros_are_an_error() -> None:
    with pytest.raises(InvalidInputError):
        times.render(pa.array([0], pa.timestamp("ns")), TimeFormat("T"))


def test_values_of_another_session_zone_render_alike() -> None:
    fmt, _ = accepted("2024-07-01T12:00:00+02:00")
    moment = datetime(2024, 7, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    values = pa.array([moment], pa.timestamp("us", tz="Europe/Berlin"))
    assert times.render(values, fmt).to_pylist() == ["2024-07-01T12:00:00+02:00"]


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "{}", "[]", '["1"]', '[1,"T"]', '[1,"x",1,"",[0],""]', '[1,"T",1,"",[],""]', "[" * 100_000,
        '[1,"T",1,".",[0],""]', '[1,"T",1,"",[6],""]', '[1,"T",1,".",[6,0],""]', '[1,"T",1,".",[10],""]',
        '[1,"T",0,".",[6],""]', '[1,"T",1,"",[0],"CET"]', '[1,"T",1,"",[0],null]', '[1,"T",1,".",["6"],""]',
        '[1,"T",1,"",[0],"+99:00"]', '[1,"",1,"",[0],""]', "[2]", '[2,"x"]', '[2,["."]]', '[3,"."]', '[1,"."]', "[0]",
        '[2,"T",1,"",[0],""]', '[2,"."," ",1,".",[0],""]',
    ],
)  # fmt: skip
def test_a_damaged_or_newer_format_is_named(text: str) -> None:
    with pytest.raises(CorruptFileError, match="time format"):
        TimeFormat.from_json(text)


def test_a_stored_format_keeps_its_meaning() -> None:
    """These texts stand in lakes: they must mean the same for ever."""
    fmt = TimeFormat.from_json('[1,"T",1,".",[0,3,6],"+02:00"]')
    values = pa.array([0, 1_000, 1], pa.timestamp("us", tz="UTC"))
    assert times.render(values, fmt).to_pylist() == [
        "1970-01-01T02:00:00+02:00", "1970-01-01T02:00:00.001+02:00", "1970-01-01T02:00:00.000001+02:00",
    ]  # fmt: skip
    assert times.render(pa.array([19_000], pa.int32()).view(pa.date32()), TimeFormat.from_json("[1]")).to_pylist() == [
        "2022-01-08"
    ]
    assert TimeFormat("T", False, "", (0,), "Z").to_json() == '[1,"T",0,"",[0],"Z"]'
    fmt = TimeFormat.from_json('[2,"."," ",0,"",[0],""]')
    assert fmt == TimeFormat(" ", False, dash=".")
    assert fmt.to_json() == '[2,"."," ",0,"",[0],""]'
    assert times.render(pa.array([0], pa.timestamp("us")), fmt).to_pylist() == ["1970.01.01 00:00"]
    assert TimeFormat.from_json('[2,"/"]') == TimeFormat(dash="/")
    assert TimeFormat(dash="/").to_json() == '[2,"/"]'


def test_ordinary_text_is_given_up_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = column._bytes
    monkeypatch.setattr(column, "_bytes", lambda texts: seen.append(len(texts)) or real(texts))
    assert times.parse(pa.array([f"reason {i}" for i in range(1_000)])) is None and seen == []
    assert times.parse(pa.array(["2024-01-01", "reason"])) is None and seen == [2]
