"""Round trips of times over every format, against Python's own reading of them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from lakestore.codec import times
from lakestore.codec.times import TimeFormat

ZONES = ["", *"Z,z,+00:00,-00:00,+0000,+00, UTC,UTC, +0000,+02:00,-05:00,+05:30,-0930".split(",")]
WIDTHS = st.one_of(
    st.integers(0, 9).map(lambda w: (w,)),
    st.just((0, 6)),
    st.just((0, 3, 6)),
    st.sets(st.integers(0, 9), min_size=1).map(lambda s: tuple(sorted(s))),
)
INSIDE = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))
MOMENTS = st.one_of(
    INSIDE,
    INSIDE.map(lambda t: t.replace(microsecond=0)),
    INSIDE.map(lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000)),
    st.integers(0, 400).map(lambda i: datetime(2024, 2, 28) + timedelta(minutes=5 * i)),
)


def written(moment: datetime, fmt: TimeFormat) -> str | None:
    """The text by Python's own means; None where the format cannot hold the moment exactly."""
    text = f"{moment:%H:%M}" if not fmt.seconds else f"{moment:%H:%M:%S}"
    text = moment.date().isoformat().replace("-", fmt.dash) + fmt.separator + text
    if not fmt.seconds:
        return text + fmt.zone if moment.second == moment.microsecond == 0 else None
    digits = f"{moment.microsecond:06}000"
    for width in fmt.widths:
        if not digits[width:].strip("0"):
            return text + (fmt.mark + digits[:width] if width else "") + fmt.zone
    return None


@st.composite
def formats(draw: st.DrawFn) -> TimeFormat:
    seconds = draw(st.booleans())
    widths = draw(WIDTHS) if seconds else (0,)
    mark = draw(st.sampled_from(".,")) if widths != (0,) else ""
    zone, dash = draw(st.sampled_from(ZONES)), draw(st.sampled_from("-./"))
    return TimeFormat(draw(st.sampled_from("T ")), seconds, mark, widths, zone, dash=dash)


@settings(deadline=None)
@given(formats(), st.lists(st.none() | MOMENTS))
def test_times_round_trip_in_every_format(fmt: TimeFormat, moments: list[datetime | None]) -> None:
    if not fmt.seconds:
        moments = [m and m.replace(second=0, microsecond=0) for m in moments]
    moments = [m for m in moments if m is None or written(m, fmt) is not None]
    texts = [m and written(m, fmt) for m in moments]
    zone = timezone(timedelta(minutes=fmt.offset)) if fmt.zone else None
    values = [m and m.replace(tzinfo=zone) for m in moments]
    column = pa.array(values, fmt.type)
    assert times.render(column, fmt).to_pylist() == texts
    read = times.parse(pa.array(texts, pa.string()))
    if not any(texts):
        assert read is None
    else:
        assert read is not None
        assert read[1].equals(column)
        assert times.render(read[1], read[0]).to_pylist() == texts
        assert TimeFormat.from_json(read[0].to_json()) == read[0]


@settings(deadline=None)
@given(st.lists(st.none() | st.dates(), min_size=1).filter(any), st.sampled_from("-./"))
def test_dates_round_trip(days: list[date | None], dash: str) -> None:
    texts = pa.array([d and d.isoformat().replace("-", dash) for d in days], pa.string())
    read = times.parse(texts)
    assert read is not None
    assert read[1].to_pylist() == days
    assert times.render(read[1], read[0]).equals(texts)


@settings(deadline=None)
@given(st.lists(MOMENTS, min_size=1), st.sampled_from([None, UTC, timezone(timedelta(hours=-5))]))
def test_python_isoformat_is_always_taken(moments: list[datetime], zone: timezone | None) -> None:
    texts = pa.array([m.replace(tzinfo=zone).isoformat() for m in moments])
    read = times.parse(texts)
    assert read is not None
    assert read[1].to_pylist() == [datetime.fromisoformat(t) for t in texts.to_pylist()]
    assert times.render(read[1], read[0]).equals(texts)


NEAR = st.from_regex(
    r"[0-9]{4}([-./])[0-9]{2}\1[0-9]{2}"
    r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,9})?)?(Z|z| UTC|[+-][0-9]{2}:?[0-9]{2})?)?",
    fullmatch=True,
)
SPOILERS = st.sampled_from(["", "0", "9", ":", "-", ".", "/", " ", "\xe9", "\x00", "\u0663"])
LIKELY = st.builds(
    lambda y, m, d, h, s, f, z, dash: f"{y:04}{dash}{m:02}{dash}{d:02}T{h:02}:00:{s:02}{f}{z}",
    st.integers(0, 9999), st.integers(0, 13), st.integers(0, 32), st.integers(0, 24), st.integers(0, 60),
    st.sampled_from(["", ".5", ".000000", ".123456", ".1234567"]), st.sampled_from(["", "Z", "+02:00", "+24:00"]),
    st.sampled_from("--./"),
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> list[str | None]:
    """Times of one kind, some of them spoiled by a character."""
    texts: list[str | None] = list(draw(st.lists(st.one_of(LIKELY, NEAR), min_size=1, max_size=4)))
    if draw(st.booleans()):
        texts = [texts[0]] * 3
    for _ in range(draw(st.integers(0, 2))):
        i = draw(st.integers(0, len(texts) - 1))
        text = texts[i] or ""
        at = draw(st.integers(0, len(text)))
        texts[i] = text[:at] + draw(SPOILERS) + text[at + 1 :]
    return texts


@settings(deadline=None)
@given(st.one_of(st.lists(st.none() | st.text(max_size=30)), st.lists(NEAR), mutated()))
def test_any_texts_are_refused_or_exact(texts: list[str | None]) -> None:
    column = pa.array([t and t.encode("utf-8", "replace").decode() for t in texts], pa.string())
    read = times.parse(column)
    if read is None:
        return
    fmt, values = read
    assert times.render(values, fmt).equals(column)
    for text, value in zip(column.to_pylist(), values.to_pylist(), strict=True):
        assert (text is None) == (value is None)
        if text is not None and value is not None:
            plain = text.replace("UTC", "Z").replace("z", "Z").replace(",", ".").replace(" Z", "Z").replace(" +", "+")
            plain = plain[:10].replace(fmt.dash, "-") + plain[10:]
            expected = datetime.fromisoformat(plain) if fmt.separator else date.fromisoformat(plain)
            assert value == expected
