"""Tables of real runs in the documentation: each stands between two marks and is replaced as a whole."""

from __future__ import annotations

from pathlib import Path


def put(path: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- name: begin -->` and `<!-- name: end -->` in a file."""
    begin, end = _marks(name)
    head, rest = path.read_text(encoding="utf-8").split(begin)
    _, tail = rest.split(end)
    path.write_text(f"{head}{begin}\n{text}\n{end}{tail}", encoding="utf-8")


def taken(path: Path, name: str) -> str:
    """What stands there now."""
    begin, end = _marks(name)
    return path.read_text(encoding="utf-8").split(begin)[1].split(end)[0].strip()


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
