"""Valid documents changed by their structure: types along a column, keys, orders, number texts, styles.

All randomness comes from the `Random` that is given, so that an engine can replay a case.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from random import Random
from typing import Any

from tests.fuzz.oracle import SEPARATOR
from tests.strategies import INT_EDGES, KEY_EDGES, NUMBER_TOKENS, STRING_EDGES
from tests.writers import FLOATS, Pairs, Raw, Style, write

Tree = Any
"""A JSON value whose numbers are `Raw` texts and whose objects are `Pairs`, so that nothing of them is lost."""

_TIMES = (
    "2024-01-01", "2024-01-01T00:00:00Z", "2024-01-01 00:00:00", "2024-01-01T00:00:00.123456+00:00", "2024-02-30",
    "2024-01-01T00:00:00.5", "9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00", "2024-01-01T00:00",
)  # fmt: skip
_TOKENS = (
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u0000", b"\\ud800", b"\\udc00", b"\\/", b"null", b"true",
    b"NaN", b"Infinity", b"-Infinity", b"-0", b"-0.0", b"1e400", b"1E5", b"0.10", b"9223372036854775808",
    b"18446744073709551616", b"9007199254740993", b"0.00001", b"1e-05", b"1e16", b"\xef\xbb\xbf", b"\xf0\x9f\x98\x80",
    b"\xed\xa0\x80", b"\x00", b"\r\n", b"\t", b"[]", b"{}", b'"signals":[', b'"trades":[', b'{"a":1}', b'""', b"\x7f",
    b"\xe2\x80\xa8", SEPARATOR,
)  # fmt: skip


def mutate(source: bytes, rnd: Random, other: bytes = b"") -> bytes:
    """Another input near this one; `other` is a second one to take parts from."""
    try:
        return _changed(source, rnd, other)
    except RecursionError:
        # Deeper than Python's own stack: changed as bytes.
        return spoil(source, rnd)


def _changed(source: bytes, rnd: Random, other: bytes) -> bytes:
    documents = source.split(SEPARATOR)
    place = rnd.randrange(len(documents))
    tree = read(documents[place])
    if tree is None or rnd.random() < 0.15:
        documents[place] = spoil(documents[place], rnd)
        return SEPARATOR.join(documents)
    donor = read(rnd.choice(other.split(SEPARATOR))) if other else None
    root = [tree]
    for _ in range(rnd.choice((1, 1, 1, 2, 3, 8))):
        rnd.choice(_CHANGES)(root, rnd, donor)
    written = write(root[0], style(rnd), gaps=gaps(rnd))
    if len(documents) < 5 and rnd.random() < 0.3:
        documents.append(written)
    else:
        documents[place] = written
    return SEPARATOR.join(documents)


def read(source: bytes) -> Tree | None:
    """The tree of a document; None where it is none, or too deep to be written again."""
    try:
        return json.loads(
            source.decode("utf-8-sig"),
            object_pairs_hook=lambda pairs: Pairs(tuple(pairs)),
            parse_int=Raw,
            parse_float=Raw,
            parse_constant=Raw,
        )
    except (ValueError, RecursionError):
        return None


def spoil(source: bytes, rnd: Random) -> bytes:
    """The bytes with pieces put in, taken out, doubled or changed, most often no longer JSON."""
    data = bytearray(source)
    for _ in range(rnd.choice((1, 1, 2, 4))):
        at = rnd.randrange(len(data) + 1)
        end = min(len(data), at + rnd.choice((1, 1, 2, 5, 40)))
        match rnd.randrange(5):
            case 0:
                data[at:at] = rnd.choice(_TOKENS)
            case 1:
                del data[at:end]
            case 2:
                data[at:at] = data[at:end]
            case 3:
                data[at:end] = rnd.choice(_TOKENS)
            case _ if at < len(data):
                data[at] ^= 1 << rnd.randrange(8)
            case _:
                data.append(rnd.randrange(256))
    return bytes(data)


def style(rnd: Random) -> Style:
    """Any way to write a document; plain ones often."""
    if rnd.random() < 0.4:
        return rnd.choice((Style(), Style(item=",", key=":"), Style(indent="  "), Style(indent="    ", ascii=False)))
    return Style(
        indent=rnd.choice((None, "", " ", "  ", "    ", "\t", "   ")),
        item=rnd.choice((",", ", ", " , ", ",\n")),
        key=rnd.choice((":", ": ", " : ", " :", ":\t")),
        ascii=rnd.random() < 0.5,
        upper=rnd.random() < 0.3,
        slash=rnd.random() < 0.3,
        short=rnd.random() < 0.8,
        floats=rnd.choice(tuple(FLOATS)),
        newline=rnd.choice(("\n", "\n", "\r\n", "\r")),
        final=rnd.choice(("", "", "\n", "\r\n", " ", "\n\n")),
        bom=rnd.random() < 0.1,
        inline_from=rnd.choice((None, None, None, 1, 2, 3)),
    )


def gaps(rnd: Random) -> list[str]:
    """White space in odd places, now and then."""
    if rnd.random() < 0.85:
        return [""]
    return [rnd.choice(("", "", " ", "\n", "\t", "\r\n")) for _ in range(rnd.randint(1, 7))]


def scalar(rnd: Random) -> Tree:
    """Any value without parts."""
    match rnd.randrange(9):
        case 0:
            return rnd.choice(STRING_EDGES)
        case 1:
            return Raw(rnd.choice(NUMBER_TOKENS))
        case 2:
            return rnd.choice(INT_EDGES)
        case 3:
            return rnd.choice((None, True, False))
        case 4:
            return rnd.choice(_TIMES)
        case 5:
            return Raw(f"{rnd.randint(-(10**6), 10**6) / 10 ** rnd.randint(0, 6)}")
        case 6:
            return Raw(repr(rnd.uniform(-1, 1) * 10.0 ** rnd.randint(-330, 308)))
        case 7:
            return rnd.randint(-100, 100)
        case _:
            return rnd.choice(("BUY", "SELL", "", "é", "🙂", "a/b"))


def value(rnd: Random, depth: int = 0) -> Tree:
    """Any value, small."""
    if depth > 3 or rnd.random() < 0.6:
        return scalar(rnd)
    if rnd.random() < 0.5:
        return [value(rnd, depth + 1) for _ in range(rnd.randint(0, 3))]
    return Pairs(tuple((key(rnd), value(rnd, depth + 1)) for _ in range(rnd.randint(0, 3))))


def key(rnd: Random) -> str:
    """Any key."""
    return rnd.choice(KEY_EDGES) if rnd.random() < 0.6 else rnd.choice("abcdefgh")


# Changes. A tree stands in a list of one, so that the root can be changed as any other place.

Place = tuple[Any, Any]
"""A container (list, or a list of pairs) and where in it."""


def _thawed(tree: Tree) -> Tree:
    """The tree with objects as lists of `[key, value]` in a box, to be changed in place."""
    if isinstance(tree, Pairs):
        return _Box([[name, _thawed(item)] for name, item in tree.members])
    if isinstance(tree, dict):
        return _Box([[name, _thawed(item)] for name, item in tree.items()])
    return [_thawed(item) for item in tree] if isinstance(tree, list) else tree


def _frozen(tree: Tree) -> Tree:
    if isinstance(tree, _Box):
        return Pairs(tuple((name, _frozen(item)) for name, item in tree.members))
    return [_frozen(item) for item in tree] if isinstance(tree, list) else tree


class _Box:
    """An object whose members can be changed."""

    def __init__(self, members: list[list[Any]]) -> None:
        self.members = members


def _places(tree: Tree, found: list[Place]) -> list[Place]:
    if isinstance(tree, _Box):
        for member in tree.members:
            found.append((member, 1))
            _places(member[1], found)
    elif isinstance(tree, list):
        for at, item in enumerate(tree):
            found.append((tree, at))
            _places(item, found)
    return found


def _with(change: Callable[[list[Tree], Random, Tree], None]) -> Callable[[list[Tree], Random, Tree], None]:
    def run(root: list[Tree], rnd: Random, donor: Tree) -> None:
        thawed = [_thawed(root[0])]
        change(thawed, rnd, donor)
        root[0] = _frozen(thawed[0])

    return run


def _replace(root: list[Tree], rnd: Random, donor: Tree) -> None:
    """Something else in one place."""
    container, at = rnd.choice(_places(root, []))
    container[at] = _thawed(value(rnd))


def _graft(root: list[Tree], rnd: Random, donor: Tree) -> None:
    """A part of the other document in one place."""
    container, at = rnd.choice(_places(root, []))
    parts = _places([_thawed(donor)], [])
    source, place = rnd.choice(parts)
    container[at] = source[place]


def _rows_of(root: list[Tree]) -> list[list[Tree]]:
    """Every array of objects."""
    return [
        container[at]
        for container, at in _places(root, [])
        if isinstance(container[at], list) and any(isinstance(row, _Box) for row in container[at])
    ]


def _column(root: list[Tree], rnd: Random, donor: Tree) -> None:
    """Values of one column, all or some, become of another kind."""
    tables = _rows_of(root)
    if not tables:
        return _table(root, rnd, donor)
    rows = [row for row in rnd.choice(tables) if isinstance(row, _Box)]
    names = [member[0] for row in rows for member in row.members]
    name = rnd.choice(names) if names else "x"
    kind = rnd.choice(_KINDS)
    share = rnd.choice((1.0, 1.0, 0.5, 0.1))
    for row in rows:
        if rnd.random() < share:
            members = [member for member in row.members if member[0] == name]
            if members:
                members[0][1] = _thawed(kind(rnd, _frozen(members[0][1])))
            else:
                row.members.append([name, _thawed(kind(rnd, None))])


_KINDS: tuple[Callable[[Random, Tree], Tree], ...] = (
    lambda rnd, old: rnd.randint(-5, 5),
    lambda rnd, old: Raw(f"{rnd.randint(-999, 999) / 100}"),
    lambda rnd, old: Raw(repr(rnd.uniform(-1, 1))),
    lambda rnd, old: rnd.choice((2**53, -(2**53) - 1, 2**63 - 1, 2**63, 2**64)),
    lambda rnd, old: Raw(rnd.choice(NUMBER_TOKENS)),
    lambda rnd, old: Raw(rnd.choice(("-0.0", "0.0", "0"))),
    lambda rnd, old: Raw(f"{rnd.randint(0, 9999) / 100:.2f}"),
    lambda rnd, old: rnd.choice(("BUY", "SELL")),
    lambda rnd, old: rnd.choice(STRING_EDGES),
    lambda rnd, old: rnd.choice(_TIMES),
    lambda rnd, old: f"2024-01-{rnd.randint(1, 31):02}",
    lambda rnd, old: f"2024-01-01T{rnd.randint(0, 23):02}:00:00+00:00",
    lambda rnd, old: None,
    lambda rnd, old: rnd.random() < 0.5,
    lambda rnd, old: [old] * rnd.randint(0, 3),
    lambda rnd, old: Pairs((("k", old), ("K", rnd.randint(0, 3)))),
    lambda rnd, old: [Pairs((("p", old),))] * rnd.randint(0, 2),
    lambda rnd, old: Pairs(()),
    lambda rnd, old: [],
    lambda rnd, old: scalar(rnd),
)


def _table(root: list[Tree], rnd: Random, donor: Tree) -> None:
    """A record table under a key of the root, in one of its shapes."""
    if not isinstance(root[0], _Box):
        root[0] = _Box([["strategy", "s"], ["x", root[0]]])
    count, names = rnd.randint(1, 6), [key(rnd) for _ in range(rnd.randint(1, 4))]
    kinds = [rnd.choice(_KINDS) for _ in names]
    columns = [[kind(rnd, None) for _ in range(count)] for kind in kinds]
    match rnd.randrange(3):
        case 0:
            made: Tree = [Pairs(tuple(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]
        case 1:
            made = [list(row) for row in zip(*columns, strict=True)]
        case _:
            made = Pairs(tuple(zip(names, columns, strict=True)))
    root[0].members.append([rnd.choice(("signals", "trades", "results", "a b", key(rnd))), _thawed(made)])


_GROWN = 300
"""Places in a document from which no table is made longer."""


def _long(root: list[Tree], rnd: Random, donor: Tree) -> None:
    """A table of many rows, its doubles moved by a few units in the last place, as averages and running sums are."""
    tables = _rows_of(root)
    if not tables:
        return
    rows = rnd.choice(tables)
    if len(_places(root, [])) > _GROWN:
        # Grown within what was grown before, it would fill the memory.
        return
    most, step = rnd.choice((1, 4, 300)), rnd.choice((0.0, 0.01, 0.25))
    grown = [copy.deepcopy(row) for row in rows * (1 + 80 // len(rows))]
    for place, row in enumerate(grown):
        for member in row.members if isinstance(row, _Box) else ():
            if isinstance(member[1], Raw) and "." in member[1].token:
                decimal = float(member[1].token) + round(place * step, 2)
                if math.isfinite(decimal):
                    member[1] = Raw(repr(decimal + rnd.randint(-most, most) * math.ulp(decimal)))
    rows[:] = grown


def _row(root: list[Tree], rnd: Random, donor: Tree) -> None:
    """A row twice, gone, moved, or something that is no row."""
    lists = [container[at] for container, at in _places(root, []) if isinstance(container[at], list) and container[at]]
    if not lists:
        return
    rows = rnd.choice(lists)
    at = rnd.randrange(len(rows))
    match rnd.randrange(5):
        case 0:
            rows[at:at] = [copy.deepcopy(rows[at])] * rnd.choice((1, 1, 3, 20))
        case 1:
            del rows[at]
        case 2:
            rnd.shuffle(rows)
        case 3:
            rows.insert(at, _thawed(value(rnd)))
        case _:
            rows.clear()


def _member(root: list[Tree], rnd: Random, donor: Tree) -> None:
    """A key twice, renamed, gone, moved."""
    boxes = [c[at] for c, at in [(root, 0), *_places(root, [])] if isinstance(c[at], _Box) and c[at].members]
    if not boxes:
        return
    members = rnd.choice(boxes).members
    at = rnd.randrange(len(members))
    match rnd.randrange(5):
        case 0:
            members.insert(rnd.randint(0, len(members)), copy.deepcopy(members[at]))
        case 1:
            members[at][0] = key(rnd)
        case 2:
            del members[at]
        case 3:
            rnd.shuffle(members)
        case _:
            members.append([members[at][0].swapcase(), _thawed(scalar(rnd))])


def _wrap(root: list[Tree], rnd: Random, donor: Tree) -> None:
    """A place one or many levels deeper."""
    container, at = rnd.choice(_places(root, []))
    for _ in range(rnd.choice((1, 1, 2, 14, 40, 70, 200))):
        container[at] = [container[at]] if rnd.random() < 0.5 else _Box([[key(rnd), container[at]]])


_CHANGES = tuple(map(_with, (_replace, _graft, _column, _column, _column, _table, _long, _row, _member, _wrap)))
