"""A profile's TOML → `Profile`: every key is known, every value of its kind, or the message says which is not."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar, get_args

from lakestore.codec.profiles.profile import ANY, ELSE, Marks, ObjectForm, Path, Profile, TablePlan, Unit
from lakestore.errors import InvalidInputError
from lakestore.layout import RESULTS, TABLE_NAME

T = TypeVar("T")

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_NEEDED = object()
_IDENTITY = ("task_id", "strategy", "status", "created_at", "params", "metrics", "params" + ELSE, "metrics" + ELSE)


def parse(text: str, where: str, *, origin: str | None = None) -> Profile:
    """A profile from TOML.

    Args:
        where: what messages call it; also where it is from, unless `origin` says.

    Raises:
        InvalidInputError: naming the file, the key, and what is wrong with it.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise InvalidInputError(f"profile {where} is not TOML: {exc}") from exc
    return replace(_Reader(where).profile(data), origin=origin or where, text=text)


class _Reader:
    """Values taken out of one file's tables, each by its kind."""

    def __init__(self, where: str) -> None:
        self._where = where

    def profile(self, data: dict[str, Any]) -> Profile:
        name = self._take(data, "", "name", self._text)
        if not _NAME.fullmatch(name):
            raise self._wrong("name", f"{name!r} is not [a-z0-9_-]{{1,64}}")
        version = self._take(data, "", "version", self._version)
        title = self._take(data, "", "title", self._text, "")
        lift = self._take(data, "", "lift", self._truth, False)
        skip = self._take(data, "", "skip", self._paths, ())
        marks = self._take(data, "", "recognise", self._marks, ())
        identity = self._take(data, "", "identity", self._table, {})
        strategies = self._take(identity, "identity.", "strategies", self._path, None)
        if strategies is not None and strategies.count(ANY) != 1:
            raise self._wrong("identity.strategies", "exactly one step is '*', the strategy's name")
        fields = {
            field: self._take(identity, "identity.", field, self._paths) for field in _IDENTITY if field in identity
        }
        self._done(identity, "identity.")
        tables = self._take(data, "", "tables", self._tables, ())
        self._done(data, "")
        return Profile(name, version, title, lift, skip, marks, strategies, fields, tables)

    def _marks(self, value: Any, at: str) -> tuple[Marks, ...]:
        """One `[recognise]`, or several `[[recognise]]`."""
        found = []
        for here, item in self._items(value, at) if isinstance(value, list) else [(at, value)]:
            table = self._table(item, here)
            present = self._take(table, f"{here}.", "present", self._paths, ())
            equal = self._take(table, f"{here}.", "equal", self._equal, ())
            self._done(table, f"{here}.")
            if not present and not equal:
                raise self._wrong(here, "says nothing: give 'present' or 'equal'")
            found.append(Marks(present, equal))
        return tuple(found)

    def _equal(self, value: Any, at: str) -> tuple[tuple[Path, Any], ...]:
        found = []
        for here, item in self._items(value, at):
            table = self._table(item, here)
            path = self._take(table, f"{here}.", "path", self._path)
            found.append((path, self._take(table, f"{here}.", "value", self._scalar)))
            self._done(table, f"{here}.")
        return tuple(found)

    def _tables(self, value: Any, at: str) -> tuple[TablePlan, ...]:
        found = []
        for here, item in self._items(value, at):
            table = self._table(item, here)
            path = self._take(table, f"{here}.", "path", self._path)
            last = next((step for step in reversed(path) if isinstance(step, str) and step != ANY), None)
            name = self._take(table, f"{here}.", "table", self._table_name, last)
            if name is None:
                raise self._wrong(f"{here}.table", "is missing, and the path ends in no key that could be the name")
            form = self._take(table, f"{here}.", "form", self._form, "columns")
            key = self._take(table, f"{here}.", "key", self._text, "key")
            columns = self._take(table, f"{here}.", "columns", self._columns, ())
            times = self._take(table, f"{here}.", "times", self._times, {})
            self._done(table, f"{here}.")
            found.append(TablePlan(path, name, form, key, columns, times))
        return tuple(found)

    def _columns(self, value: Any, at: str) -> tuple[tuple[str, ...], ...]:
        """One list of names, or several of different length."""
        several = value if isinstance(value, list) and value and isinstance(value[0], list) else [value]
        found = tuple(tuple(self._text(name, here) for here, name in self._items(names, at)) for names in several)
        if len({len(names) for names in found}) < len(found):
            raise self._wrong(at, "has two lists of the same length")
        for names in found:
            if len({name.lower() for name in names}) < len(names):
                raise self._wrong(at, "has the same name twice")
        return found

    def _times(self, value: Any, at: str) -> Mapping[str, Unit]:
        times = self._table(value, at)
        for column, unit in times.items():
            if unit not in get_args(Unit):
                raise self._wrong(f"{at}.{column}", f"is {unit!r}, not one of {', '.join(get_args(Unit))}")
        return times

    def _form(self, value: Any, at: str) -> ObjectForm:
        if value not in get_args(ObjectForm):
            raise self._wrong(at, f"is {value!r}, not one of {', '.join(get_args(ObjectForm))}")
        form: ObjectForm = value
        return form

    def _table_name(self, value: Any, at: str) -> str:
        name = self._text(value, at)
        if not TABLE_NAME.fullmatch(name) or name == RESULTS:
            raise self._wrong(at, f"is {name!r}; a table is [a-z0-9_]{{1,64}}, not beginning with _, not 'results'")
        return name

    def _paths(self, value: Any, at: str) -> tuple[Path, ...]:
        return tuple(self._path(item, here) for here, item in self._items(value, at))

    def _path(self, value: Any, at: str) -> Path:
        steps = tuple(step for _, step in self._items(value, at))
        for step in steps:
            if not isinstance(step, str | int) or isinstance(step, bool) or (isinstance(step, int) and step < 0):
                raise self._wrong(at, f"{step!r} is no step of a path: a key, '*', or a place from 0 in an array")
        return steps

    def _items(self, value: Any, at: str) -> Iterator[tuple[str, Any]]:
        if not isinstance(value, list):
            raise self._wrong(at, f"is {_kind(value)}, not an array")
        return ((f"{at}[{place}]", item) for place, item in enumerate(value))

    def _table(self, value: Any, at: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._wrong(at, f"is {_kind(value)}, not a table")
        return dict(value)

    def _text(self, value: Any, at: str) -> str:
        if not isinstance(value, str) or not value or "\0" in value:
            raise self._wrong(at, f"is {_kind(value)}, not text")
        return value

    def _truth(self, value: Any, at: str) -> bool:
        if not isinstance(value, bool):
            raise self._wrong(at, f"is {_kind(value)}, not true or false")
        return value

    def _version(self, value: Any, at: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self._wrong(at, f"is {value!r}, not an integer from 1")
        return value

    def _scalar(self, value: Any, at: str) -> Any:
        if not isinstance(value, str | int | float | bool):
            raise self._wrong(at, f"is {_kind(value)}, not text, a number, true or false")
        return value

    def _take(
        self, table: dict[str, Any], at: str, key: str, read: Callable[[Any, str], T], default: Any = _NEEDED
    ) -> T:
        """The value of a key, gone from the table afterwards."""
        if key in table:
            return read(table.pop(key), at + key)
        if default is _NEEDED:
            raise self._wrong(at + key, "is missing")
        value: T = default
        return value

    def _done(self, table: Mapping[str, Any], at: str) -> None:
        for key in table:
            raise self._wrong(at + key, "is not known here")

    def _wrong(self, at: str, what: str) -> InvalidInputError:
        return InvalidInputError(f"profile {self._where}: {at} {what}; docs/profiles.md tells its form")


def _kind(value: Any) -> str:
    names = {
        str: "text",
        bool: "true or false",
        int: "an integer",
        float: "a number",
        list: "an array",
        dict: "a table",
    }
    return "empty text" if value == "" else names.get(type(value), type(value).__name__)
