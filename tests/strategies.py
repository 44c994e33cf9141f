"""Hypothesis strategies at the awkward end: values, records, documents, styles, texts.

Everything here is data that an engine could hand over. `texts()` gives bytes that Python's json accepts;
the others give Python values made of dict, list, str, int, float, bool and None alone.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from functools import cache
from random import Random
from typing import Any

from hypothesis import strategies as st

from tests.writers import FLOATS, Pairs, Raw, Style, write

Record = dict[str, Any]

FLOAT_EDGES = (
    0.0, -0.0, 1.0, -1.0, 0.1, 0.30000000000000004, 248.0, 10_012.5, 1e-5, 4.756e-05, 1e-7, 1e15,
    1e16, 1e17, 1e21, 1e22,
    123456789012345680.0, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 9007199254740993.0,
    float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
INT_EDGES = (
    0, 1, -1, 255, 2**31, -(2**31) - 1, 2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**63, -(2**63),
    -(2**63) - 1, 2**64, 10**17, 10**22, 10**400, -(10**400), 1_700_000_000, 1_700_000_000_000,
)  # fmt: skip
KEY_EDGES = (
    "", " ", "price", "Price", "PRICE", "task_id", "TASK_ID", "strategy", "run_date", "filename", "_pos", "date",
    "a.b", "a", "b", "a/b", "a[0]", "__json", "price__json", "price__2", "#json", "element", "list", "key", "value",
    "select", 'quo"te', "back\\slash", "new\nline", "\x00", "nul\x00nul", "é", "e\u0301", "策略", "🙂",
    "\ud800", "\udc00x",
    "$ref", "__proto__", "0", "1", "-1", "1e5", "null", "schema", "\u0131", "\u017f", "K", "\u212a",
    "ß", "SS", "x" * 300,
)  # fmt: skip
STRING_EDGES = (
    "", " ", "0", "-0", "1.50", "1e5", "NaN", "Infinity", "null", "true", "None", "\x00", "a\x00b",
    "\x7f", "\x80", "\u2028",
    "\ufeff", "\uffff", "\ud800", "\udfff", "x\udc00", "é", "e\u0301", "İ", "策略", "🙂", "👩‍👩‍👧",
    "\U0010ffff", "a/b", "</script>",
    "\\", '"', "\\u0041", "\\n", "\n\r\t\b\f", "' OR 1=1 --", "$(id)", "../../etc/passwd", "%s%n", "{}",
    "[]", "{{7*7}}",
    "2024-01-01", "2024-1-2", "2024-02-30", "20240101", "2024-01-01T00:00:00Z", "2024-01-01 00:00:00",
    "12:30:00", "P1DT2H", "00000000-0000-0000-0000-000000000000", "0x10", "1_000", "١٢٣", "a" * 1000, "é" * 300,
)  # fmt: skip
STRATEGY_EDGES = (
    "ema_cross", "../x", "a=b", "策略", "42", "1e5", "true", "CON", "nul.txt", ".", "..", ".hidden", "a/b", "a\\b",
    "a%20b", "a b", " ", "x ", "x.", "NULL", "Ema_Cross", "é", "e\u0301", "*", "?", "[a]", "{a,b}",
    "'", '"', "a\nb", "🙂" * 20,
    "s" * 240, "-rf", "~", "_lakestore", "date=2024-01-01",
)  # fmt: skip


# Scalars.


def _joined(text: str) -> str:
    """The text with split pairs made whole, as any JSON reader would."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


@cache
def strings() -> st.SearchStrategy[str]:
    """Any text that JSON can say: NUL, lone surrogates and what looks like something else included."""
    free = st.text(st.characters(codec=None, exclude_categories=()), max_size=12).map(_joined)
    return st.sampled_from(STRING_EDGES) | free


@cache
def keys() -> st.SearchStrategy[str]:
    """Keys of objects: reserved names, names that differ only in case, dotted, empty, not printable."""
    return st.sampled_from(KEY_EDGES) | st.text("abcXYZ_", min_size=1, max_size=4) | strings()


@cache
def key_lists(max_size: int) -> st.SearchStrategy[list[str]]:
    """Keys that are different; every fourth time two differ only in case, or one looks like lakestore's own name."""
    near = st.sampled_from((("price", "Price"), ("ß", "SS"), ("a", "A"), ("price", "price__json"), ("K", "\u212a")))
    free = st.lists(keys(), unique=True, max_size=max_size)
    both = st.builds(lambda pair, more: list(dict.fromkeys((*pair, *more))), near, free)
    return st.one_of(free, free, free, both)


@cache
def integers() -> st.SearchStrategy[int]:
    """Integers of any size, thick at the borders of types."""
    return st.sampled_from(INT_EDGES) | st.integers(-1000, 1000) | st.integers(-(2**70), 2**70)


@cache
def floats() -> st.SearchStrategy[float]:
    """Floats with NaN, infinities and -0.0, thick where writers differ."""
    return st.sampled_from(FLOAT_EDGES) | st.floats() | decimals(2) | decimals(4)


@cache
def decimals(places: int) -> st.SearchStrategy[float]:
    """Floats whose shortest text has at most so many decimals, as prices have."""
    return st.integers(-(10**8), 10**8).map(lambda scaled: scaled / 10.0**places)


@cache
def beside_decimals() -> st.SearchStrategy[float]:
    """Floats a few units in the last place beside a decimal: averages, running sums, prices read by a quick parser."""

    def moved(decimal: float, units: int) -> float:
        return decimal + units * math.ulp(decimal)

    return st.builds(moved, decimals(4), st.integers(-4, 4)) | decimals(4)


@cache
def scalars() -> st.SearchStrategy[Any]:
    """null, booleans, numbers and texts."""
    return st.none() | st.booleans() | integers() | floats() | strings()


@cache
def json_values(max_leaves: int = 15) -> st.SearchStrategy[Any]:
    """Any value that JSON holds."""
    return st.recursive(
        scalars(),
        lambda inner: st.lists(inner, max_size=5) | objects(inner, 5),
        max_leaves=max_leaves,
    )


def objects(items: st.SearchStrategy[Any], max_size: int) -> st.SearchStrategy[dict[str, Any]]:
    """Objects of such items; order of keys is free."""

    def filled(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
        return st.tuples(*[items] * len(names)).map(lambda values: dict(zip(names, values, strict=True)))

    return key_lists(max_size).flatmap(filled)


def nested(depth: int) -> Any:
    """A value so many levels deep, lists and objects in turn."""
    value: Any = 0.5
    for level in range(depth):
        value = [value] if level % 2 else {"k": value}
    return value


# Times.

_ZONES = ("", "", "Z", "+00:00", "+0000", " UTC", "+02:00", "-05:00")
_BROKEN = (
    "",
    "n/a",
    "2024-02-30",
    "2024-01-01T24:00:00",
    "2024-1-2",
    "2024-01-01T00:00:60Z",
    "20240101",
    "0000-00-00",
    "2024.02.30",
    "2024/1/2",
)


def _moment(moment: datetime, form: str, zone: str) -> str:
    match form:
        case "date":
            return moment.date().isoformat()
        case "minutes":
            return moment.isoformat("T", "minutes") + zone
        case "seconds":
            return moment.isoformat(" ", "seconds") + zone
        case "millis":
            return moment.isoformat("T", "milliseconds") + zone
        case "micros":
            return moment.isoformat("T", "microseconds") + zone
        case "nanos":
            return moment.isoformat("T", "microseconds") + "000" + zone
        case "stripped":
            text = moment.isoformat("T", "microseconds")
            return text.rstrip("0").rstrip(".") + zone
        case _:
            return moment.isoformat() + zone


@st.composite
def timestamps(draw: st.DrawFn, size: int) -> list[str]:
    """So many texts of times in one format, on a grid or free; now and then some are broken or of another format."""
    form = draw(st.sampled_from(("date", "minutes", "seconds", "millis", "micros", "nanos", "stripped", "python")))
    dash = draw(st.sampled_from("--./"))
    zone = draw(st.sampled_from(_ZONES))
    start = draw(st.sampled_from((datetime(2024, 2, 28, 23, 55), datetime(1969, 12, 31, 23), datetime(1, 1, 3))))
    step = draw(st.sampled_from((timedelta(minutes=5), timedelta(days=1), timedelta(milliseconds=125), timedelta(0))))
    texts = [_moment(start + i * step, form, zone) for i in range(size)]
    if draw(st.booleans()):
        free = draw(st.lists(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), min_size=size, max_size=size))
        texts = [_moment(moment, form, zone) for moment in free]
    if zone[-2:].isdigit() and draw(st.booleans()):
        # Summer time begins.
        place = draw(st.integers(0, size))
        texts[place:] = [text.removesuffix(zone) + zone.replace("0", "1", 2) for text in texts[place:]]
    texts = [text[:10].replace("-", dash) + text[10:] for text in texts]
    if size and draw(st.integers(0, 3)) == 0:
        other = st.sampled_from(_BROKEN) | st.just(_moment(start, "seconds", "z"))
        for place in draw(st.sets(st.integers(0, size - 1), min_size=1)):
            texts[place] = draw(other)
    return texts


@st.composite
def _times_among_others(draw: st.DrawFn, size: int) -> list[Any]:
    """Texts of times, of which some are values of any kind."""
    values: list[Any] = draw(timestamps(size))
    if size and draw(st.booleans()):
        for place in draw(st.sets(st.integers(0, size - 1), max_size=2)):
            values[place] = draw(strings() | json_values(4))
    return values


# Records.


@cache
def _kinds() -> dict[str, st.SearchStrategy[Any]]:
    """Kinds of columns whose values are drawn one by one."""
    return {
        "small": st.integers(-100, 100),
        "integers": integers(),
        "price": decimals(2),
        "indicator": decimals(4) | st.just(-0.0),
        "floats": floats(),
        "beside_decimals": beside_decimals(),
        "whole": st.integers(-1000, 1000).map(float),
        "numbers": st.integers(-1000, 1000) | decimals(2),
        "flags": st.booleans(),
        "flags_numbers": st.booleans() | st.integers(0, 1) | st.sampled_from((0.0, 1.0)),
        "words": st.sampled_from(("BUY", "SELL", "HOLD", "")),
        "strings": strings(),
        "number_texts": st.sampled_from(("1.50", "-1371.15", "0", "1e5", "x")),
        "text_or_number": st.sampled_from(("n/a", "", "-", "inf", "x")) | decimals(2),
        "null": st.none(),
        "anything": json_values(5),
        "lists": st.lists(st.integers(0, 9) | decimals(2) | st.none(), max_size=4),
    }


@st.composite
def columns(draw: st.DrawFn, size: int, *, nesting: int = 2) -> list[Any]:
    """So many values of one column: one type, or types that meet at a border, or anything."""
    kinds = _kinds()
    names = [
        *kinds,
        "times",
        "times_others",
        "time_lists",
        "constant",
        *(("structs", "struct_lists") if nesting else ()),
    ]
    kind = draw(st.sampled_from(names))
    match kind:
        case "times":
            return draw(timestamps(size))
        case "times_others":
            return draw(_times_among_others(size))
        case "time_lists":
            counts = draw(st.lists(st.integers(0, 4), min_size=size, max_size=size))
            values = draw(_times_among_others(sum(counts)))
            return [[values.pop() for _ in range(count)] for count in counts]
        case "constant":
            return [draw(scalars())] * size
        case "structs":
            return draw(_rows(size, nesting=nesting - 1))
        case "struct_lists":
            counts = draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))
            rows = draw(_rows(sum(counts), nesting=nesting - 1))
            return [[rows.pop() for _ in range(count)] for count in counts]
        case _:
            return draw(st.lists(kinds[kind], min_size=size, max_size=size))


@st.composite
def _rows(draw: st.DrawFn, size: int, *, nesting: int = 2) -> list[Record]:
    names = draw(key_lists(5 if nesting == 2 else 3))
    table: dict[str, list[Any]] = {}
    absent: dict[str, set[int]] = {}
    for name in names:
        values = draw(columns(size, nesting=nesting))
        holes = draw(st.sampled_from(("none", "none", "null", "missing", "both")))
        if size and holes != "none":
            some = draw(st.sets(st.integers(0, size - 1)))
            half = {i for i in some if i % 2} if holes == "both" else some if holes == "missing" else set()
            absent[name] = half
            values = [None if i in some - half else value for i, value in enumerate(values)]
        table[name] = values
    orders = [names]
    if draw(st.integers(0, 2)) == 0:
        orders += draw(st.lists(st.permutations(names), max_size=3))
    which = draw(st.lists(st.integers(0, len(orders) - 1), min_size=size, max_size=size)) if len(orders) > 1 else None
    return [
        {key: table[key][i] for key in orders[which[i] if which else 0] if i not in absent.get(key, ())}
        for i in range(size)
    ]


@st.composite
def records(draw: st.DrawFn, *, max_size: int = 8) -> list[Record]:
    """A record table as an array of objects: nulls, missing keys, key orders, nested values, mixed types."""
    return draw(_rows(draw(st.integers(0, max_size))))


SYMBOL_EDGES = ("BTC/USDT", "ETHUSDT", "rb2305.SHFE", "000001.XSHE", "2024", "BTC-USD")
DAY_KEYS = tuple(f"202401{day:02}" for day in range(1, 10))


@st.composite
def tables(draw: st.DrawFn, *, max_size: int = 8) -> Any:
    """A record table in one of its four shapes, or as lists of records under days or symbols."""
    size = draw(st.integers(0, max_size))
    shape = draw(st.sampled_from(("objects", "objects", "arrays", "scalars", "columns", "grouped")))
    if shape == "grouped":
        groups = draw(st.sampled_from((SYMBOL_EDGES[: size + 1], DAY_KEYS)))
        return {group: draw(_rows(draw(st.integers(0, 2)))) for group in groups}
    if shape == "objects":
        return draw(_rows(size))
    if shape == "scalars":
        return draw(columns(size, nesting=0))
    if shape == "arrays":
        width = draw(st.integers(0, 4))
        across = [draw(columns(size, nesting=0)) for _ in range(width)]
        return [[column[i] for column in across] for i in range(size)]
    names = draw(key_lists(4))
    return {name: draw(columns(size, nesting=0)) for name in names}


# Documents.


@cache
def strategy_names() -> st.SearchStrategy[str]:
    """Names of strategies within the limits of identity, many of which are no good as a directory's name."""
    free = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20)
    return st.sampled_from(STRATEGY_EDGES) | free


@cache
def task_ids() -> st.SearchStrategy[str]:
    """Task ids within the limits of identity: up to 512 bytes of UTF-8, no NUL, no lone surrogate."""
    return st.uuids().map(str) | strategy_names() | st.sampled_from(("t" * 512, "é" * 256, "🙂" * 128))


@cache
def _identity() -> dict[str, st.SearchStrategy[Any]]:
    return {
        "task_id": task_ids(),
        "strategy": strategy_names(),
        "status": st.sampled_from(("completed", "failed", "running")),
        "created_at": st.sampled_from(
            (
                "2024-01-01T12:00:00Z",
                "2024-02-29T23:59:59.999999+02:00",
                "2024-01-01T00:00:00",
                "1999-12-31 23:00:00+00:00",
            )
        ),
    }


@st.composite
def documents(draw: st.DrawFn, *, identified: bool = False, max_size: int = 8) -> dict[str, Any]:
    """A result as an engine writes it: identity, parameters, metrics, record tables, and keys nobody expects.

    Args:
        draw: Given by hypothesis.
        identified: `task_id`, `strategy`, `status` and `created_at` are there and valid.
        max_size: Rows of a table.
    """
    value: dict[str, Any] = {}
    for key, strategy in _identity().items():
        if identified:
            value[key] = draw(strategy)
        elif draw(st.booleans()):
            value[key] = draw(strategy | scalars())
    settings = objects(scalars() | st.lists(scalars(), max_size=3), 4)
    for names in (("params", "parameters", "config"), ("metrics", "stats", "summary")):
        if draw(st.booleans()):
            value[draw(st.sampled_from(names))] = draw(settings | json_values(5))
    lists = ("signals", "trades", "equity_curve", "orders", "Signals", "results", "_odd", "a b", "t" * 65, "策略")
    for name in draw(st.lists(st.sampled_from(lists), unique=True, max_size=3)):
        value[name] = draw(tables(max_size=max_size))
    if draw(st.integers(0, 3)) == 0:
        names = st.lists(st.sampled_from(lists), unique=True, max_size=2)
        value["data"] = {name: draw(tables(max_size=max_size)) for name in draw(names)}
    for key, extra in draw(objects(json_values(5), 2)).items():
        value.setdefault(key, extra)
    if draw(st.integers(0, 3)) == 0:
        value = {key: value[key] for key in draw(st.permutations(list(value)))}
    return value


# Texts.


@cache
def styles() -> st.SearchStrategy[Style]:
    """How a document is written: the four common styles often, anything else too."""
    common = st.sampled_from((
        Style(), Style(item=",", key=":"), Style(indent="  "), Style(indent="    "),
        Style(item=",", key=":", ascii=False, floats="orjson"), Style(indent="  ", ascii=False, floats="orjson"),
        Style(item=",", key=":", ascii=False, floats="javascript"),
        Style(indent="  ", ascii=False, floats="javascript"),
        Style(item=",", key=":", ascii=False, floats="rapidjson"),
        Style(indent="  ", key=":", slash=True, floats="pandas15"),
        Style(item=",", key=":", slash=True, floats="pandas10"),
        Style(indent="  ", ascii=False, floats="dotnet", newline="\r\n", inline_from=3),
        Style(item=",", key=":", upper=True, html="\"&'+<>`", floats="system_text_json"),
        Style(item=",", key=":", ascii=False, html="&<>\u2028\u2029", floats="javascript"),
        Style(indent="  ", ascii=False, html="&'<=>", floats="java"),
        Style(indent="    ", slash=True, floats="php"),
        Style(indent="  ", key=":", slash=True, floats="pandas_ujson15", empty="\n\n"),
        Style(indent="  ", key=" : ", ascii=False, floats="java", empty=" "),
    ))  # fmt: skip
    free = st.builds(
        Style,
        indent=st.sampled_from((None, "", " ", "  ", "    ", "\t", "   ")),
        item=st.sampled_from((",", ", ", " , ", ",\n")),
        key=st.sampled_from((":", ": ", " : ", " :", ":  ", ":\t")),
        ascii=st.booleans(),
        upper=st.booleans(),
        slash=st.booleans(),
        short=st.booleans(),
        html=st.sampled_from(("", "", "&<>", "\t\x7f+", "\u2028", "/", "\\")),
        empty=st.sampled_from(("", "", " ", "\n\n")),
        floats=st.sampled_from(tuple(FLOATS)),
        newline=st.sampled_from(("\n", "\r\n", "\r")),
        final=st.sampled_from(("", "\n", "\r\n", "\n\n", " ", "\t\n")),
        bom=st.booleans(),
        inline_from=st.sampled_from((None, None, 1, 2, 3)),
    )
    return common | free


NUMBER_TOKENS = (
    "-0", "0.0", "-0.0", "0.10", "384.1000", "1E5", "1e+5", "1e5", "1.0e-05", "1e-05", "1e-5",
    "0.00001", "1E+05", "1e005",
    "10000", "1e0", "0e0", "-0e-0", "0E+1", "1.50", "1e400", "-1e400", "1e-400",
    "9223372036854775807", "9223372036854775808",
    "522.720000000000027", "0.1000000000000000055511151231257827",
    "123456789012345678901234567890.5", "NaN", "-Infinity",
    "2.5e-10", "1" + "0" * 400, "0." + "0" * 400 + "1",
)  # fmt: skip


@cache
def number_tokens() -> st.SearchStrategy[Raw]:
    """Numbers as no usual writer would write them, all valid for Python's json."""
    free = st.from_regex(r"-?(0|[1-9][0-9]{0,19})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
    return (st.sampled_from(NUMBER_TOKENS) | free).map(Raw)


def _spoiled(value: Any, random: Random, tokens: list[Raw], share: float) -> Any:
    """The value with some numbers replaced by odd tokens and some keys standing twice."""
    if isinstance(value, dict):
        members = [(key, _spoiled(item, random, tokens, share)) for key, item in value.items()]
        if members and random.random() < share / 2:
            key, item = random.choice(members)
            members.insert(random.randint(0, len(members)), (key, random.choice([item, None, *tokens])))
        return Pairs(tuple(members))
    if isinstance(value, list):
        return [_spoiled(item, random, tokens, share) for item in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool) and random.random() < share:
        return random.choice(tokens)
    return value


@st.composite
def texts(draw: st.DrawFn, values: st.SearchStrategy[Any] | None = None) -> bytes:
    """JSON texts as UTF-8 that Python's json accepts: a value in a style; half of them with oddities.

    Oddities are duplicate keys, numbers such as 1E5, 1e+5, -0, 0.10, 1.0e-05, and white space in odd places.

    Args:
        draw: Given by hypothesis.
        values: What to write; by default documents, records and any values.
    """
    value = draw(values if values is not None else documents() | records() | json_values())
    gaps: list[str] = [""]
    if draw(st.booleans()):
        share = draw(st.sampled_from((0.0, 0.1, 0.5, 1.0)))
        tokens = draw(st.lists(number_tokens(), min_size=1, max_size=4))
        random = draw(st.randoms(use_true_random=False, note_method_calls=False))
        value = _spoiled(value, random, tokens, share)
        gaps = draw(st.lists(st.text(" \t\n\r", max_size=2), min_size=1, max_size=5))
    return write(value, draw(styles()), gaps=gaps)
