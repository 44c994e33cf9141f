"""Where a result lies in a JSON tree: its `task_id` ⇄ the end of a path.

A name is the id itself wherever that can be a file's name. Only what cannot stand in one is percent-encoded: `/`,
control characters, a dot at the beginning, a percent sign that would read as such a code, and the name of a lake's own
folder, which would hide what stands beside it. An id too long for one name goes on in folders that end in `%~`. A file
whose name is none that would be written so is taken literally, so that every file of an old tree has an id, and every
id a file.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from urllib.parse import unquote

from lakestore.config import DEFAULT_PATTERN
from lakestore.errors import InvalidInputError
from lakestore.layout import PRIVATE, check_strategy, check_task_id

_UNSAFE = re.compile(f"[/\x00-\x1f\x7f]|^\\.|%(?=[0-9A-Fa-f]{{2}})|%(?=~$)|^_(?={PRIVATE[1:]}$)")
_CODE = re.compile("(?:%[0-9A-F]{2})+")
_PART = re.compile(r"\{(task_id|strategy|date)\}")
_MORE = "%~"
_ROOM = 200
"""Bytes of an id in one name: a file system takes 255, and a temporary name needs 14 more."""


def to_name(text: str) -> str:
    """An id as a name, or as several with `/` between them where it is too long for one."""
    whole = _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), text)
    if _bytes(whole) <= _ROOM:
        return whole
    names = [""]
    size = 0
    for piece in re.findall("%[0-9A-F]{2}|.", whole, re.DOTALL):
        length = _bytes(piece)
        if size + length > _ROOM:
            names.append("")
            size = 0
        # A part must not begin with a dot either, which would hide it.
        piece = "%2E" if not size and piece == "." else piece
        names[-1] += piece
        size += _bytes(piece)
    return f"{_MORE}/".join(names)


def _bytes(text: str) -> int:
    """Bytes of a name; one that is not UTF-8 on disk, which no id can be, has a lone surrogate for each odd byte."""
    return len(text.encode(errors="surrogatepass"))


def from_name(name: str) -> str:
    """The id that a name, or several with `/` between them, stands for."""
    joined = name.replace(f"{_MORE}/", "")
    try:
        text = _CODE.sub(lambda found: unquote(found[0], errors="strict"), joined)
    except UnicodeDecodeError:
        return name
    return text if to_name(text) == name else name


def ids_of(folders: str, name: str) -> tuple[str, str]:
    """The id that a name stands for below folders, which it may begin in, and that of the folder above it."""
    above = folders.split("/")
    while above and above[-1].endswith(_MORE):
        name = f"{above.pop()}/{name}"
    return from_name(name), from_name(above[-1]) if above else ""


class Pattern:
    """How paths of a tree are made and read, such as `{strategy}/{task_id}.json`.

    `{strategy}` and `{date}` (of the run, UTC) say where a result is written. It is found wherever the end of a path
    fits, from the part with `{task_id}` on: the folders above it may be any.
    """

    def __init__(self, text: str = DEFAULT_PATTERN) -> None:
        """Read a pattern.

        Raises:
            InvalidInputError: it has not exactly one `{task_id}`, does not end in `.json`, or leads out of the tree.
        """
        parts = text.split("/")
        literal = [_PART.sub("", part) for part in parts]
        if text.count("{task_id}") != 1 or any("{" in part or "}" in part for part in literal):
            raise InvalidInputError(
                f"pattern {text!r}: it needs {{task_id}} once, and knows {{strategy}} and {{date}} beside it, "
                f"as in {DEFAULT_PATTERN}"
            )
        if not text.endswith(".json") or any(part.startswith(".") or not part or "\0" in part for part in parts):
            raise InvalidInputError(
                f"pattern {text!r}: it must end in .json, and no part of it may be empty or begin with a dot"
            )
        self.text = text
        self._above = parts[: next(i for i, part in enumerate(parts) if "{task_id}" in part)]
        self._end = "/".join(parts[len(self._above) :])
        if _PART.findall(self._end) != ["task_id"]:
            raise InvalidInputError(f"pattern {text!r}: behind {{task_id}} a path must not depend on the result")
        before, _, after = self._end.partition("{task_id}")
        self._read = re.compile(
            rf"(?:(.*)(?<!{_MORE})/)?{re.escape(before)}((?:[^/]+{_MORE}/)*[^/]+){re.escape(after)}", re.DOTALL
        )

    def path(self, task_id: str, strategy: str, created_at: datetime) -> str:
        """Where a result is written, relative to the root.

        Raises:
            InvalidInputError: the folder would be taken for a lake's own.
        """
        date = created_at.astimezone(UTC).date().isoformat()
        values = {"strategy": to_name(strategy), "date": date}
        above = [_PART.sub(lambda found: values[found[1]], part) for part in self._above]
        path = "/".join([*above, self._end.replace("{task_id}", to_name(task_id))])
        if PRIVATE in path.split("/"):
            raise InvalidInputError(f"pattern {self.text!r}: {path!r} leads into a lake's own folder; choose another")
        return path

    def ends(self, task_id: str) -> list[str]:
        """Ends of paths that may hold a result: as it is written, and its name as it stands."""
        written = self._end.replace("{task_id}", to_name(task_id))
        plain = self._end.replace("{task_id}", task_id)
        # A dot at the beginning hides a name, or leads to another folder.
        if plain == written or self.task_id(plain) != task_id or re.search(r"(?:^|/)\.", plain):
            return [written]
        return [written, plain]

    def task_id(self, path: str) -> str | None:
        """The id of the result at a path relative to the root; None where it is no result's."""
        found = self._read.fullmatch(path)
        if found is None:
            return None
        try:
            return check_task_id(from_name(found[2]))
        except InvalidInputError:
            return None

    def strategy(self, path: str) -> str | None:
        """The strategy that a path names, where the pattern has a folder for it."""
        found = self._read.fullmatch(path)
        above = (found[1] or "").split("/") if found is not None else []
        if "{strategy}" not in self._above or len(above) != len(self._above):
            return None
        try:
            return check_strategy(from_name(above[self._above.index("{strategy}")]))
        except InvalidInputError:
            return None

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"
