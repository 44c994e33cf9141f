"""Documents out of files, plain and packed: their bytes, their time, their bound."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from lakestore.compression import packing_of, read_at_most, zstd
from lakestore.errors import InvalidInputError, NotFoundError
from lakestore.source import source_of

NOW = datetime(2024, 1, 1, tzinfo=UTC)
TEXT = b'{"strategy": "s", "x": [1.50, NaN]}\n'
PACKINGS: list[tuple[str, Callable[[bytes], bytes]]] = [(".gz", gzip.compress), (".zst", zstd.compress)]


@pytest.mark.parametrize(("suffix", "pack"), [("", bytes), *PACKINGS, (".GZ", gzip.compress)])
def test_a_file_gives_its_text_and_its_time(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / f"a.json{suffix}"
    path.write_bytes(pack(TEXT))
    os.utime(path, (1_600_000_000, 1_600_000_000))
    source = source_of(path, NOW)
    assert (source.text, source.where, source.time) == (TEXT, str(path), datetime(2020, 9, 13, 12, 26, 40, tzinfo=UTC))


@pytest.mark.parametrize(("suffix", "pack"), PACKINGS)
def test_files_of_several_packed_pieces_are_read_whole(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(pack(TEXT[:9]) + pack(TEXT[9:]))
    assert source_of(path, NOW).text == TEXT


@pytest.mark.parametrize(("suffix", "pack"), PACKINGS)
def test_a_packed_document_is_held_to_the_limit_exactly(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"a.json{suffix}"
    path.write_bytes(pack(TEXT))
    assert source_of(path, NOW, limit=len(TEXT)).text == TEXT
    with pytest.raises(InvalidInputError, match="LAKESTORE_MAX_DOCUMENT raises the limit"):
        source_of(path, NOW, limit=len(TEXT) - 1)


@pytest.mark.parametrize(("suffix", "pack"), PACKINGS)
def test_what_is_cut_off_or_not_packed_is_refused_by_name(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"a.json{suffix}"
    for data in (pack(TEXT * 99)[:-6], TEXT):
        path.write_bytes(data)
        with pytest.raises(InvalidInputError, match=f"a.json{suffix} cannot be decompressed: .*; is it whole"):
            source_of(path, NOW)


def test_a_packed_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"there is no file .*none\.json\.gz"):
        source_of(tmp_path / "none.json.gz", NOW)


def test_no_more_is_unpacked_than_asked_for() -> None:
    stream = io.BytesIO(bytes(5 << 20))
    assert len(read_at_most(stream, (3 << 20) + 1)) == stream.tell() == (3 << 20) + 1
    assert len(read_at_most(stream, 9 << 20)) == (2 << 20) - 1


def test_the_last_ending_of_a_name_says_how_a_file_is_packed() -> None:
    names = ("a.json.gz", "a.ZST", "a.gz.json", "gz", ".gz", "a.gz.")
    assert [packing_of(name) for name in names] == ["gz", "zst", "", "", "", ""]


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (pd.DataFrame({"a": [1]}), r"not DataFrame: give it as a table, save\(\{…\}, tables="),
        (pd.Series({"sharpe": 1.5}), r"not Series: give its \.to_dict\(\)"),
        (5, "not int$"),
    ],
)
def test_what_is_no_document_says_what_to_give(document: object, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        source_of(document, NOW)
