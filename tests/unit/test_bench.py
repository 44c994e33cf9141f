"""The bench measures what it says: clocks and memory, every byte of a document, and what is missed is said."""

from __future__ import annotations

import gzip
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

import lakestore
from bench import codec, measure, sizes, stages
from bench.measure import Case, Line, Timing
from bench.sizes import Sizes
from lakestore.bench import generate
from lakestore.catalog.memory import MemorySchema

MB = 1 << 20
PACKAGE = Path(lakestore.__file__).parent
HERE = "tests.unit.test_bench"


@contextmanager
def allocating(before: str, during: str) -> Iterator[Callable[[], object]]:
    """For `peak_memory`: so many MB before the baseline, so many while it works."""
    kept = b"x" * (int(before) * MB)
    yield lambda: len(b"y" * (int(during) * MB))
    del kept


@contextmanager
def failing() -> Iterator[Callable[[], object]]:
    """For `peak_memory`: work that fails."""
    yield lambda: int("none")


def sizes_of(name: str, records: int, total: int, zstd: int, fidelity: str = "style", cost: int = 0) -> Sizes:
    return Sizes(name, records, 1_000, total - 10, 10, fidelity, cost, 0.5, zstd)


def by_case(lines: list[Line]) -> dict[str, Line]:
    return {line.case: line for line in lines}


@pytest.mark.parametrize("taken", [stages.SAVE, stages.LOAD, stages.SQL], ids=["save", "load", "sql"])
def test_what_takes_a_call_apart_names_functions_that_there_are(taken: stages.Stages) -> None:
    for file, function in taken.values():
        if file != "~":
            assert f"def {function}(" in (PACKAGE / file).read_text(encoding="utf-8"), (file, function)


def test_cases_take_turns_and_the_first_round_does_not_count() -> None:
    calls: list[str] = []
    made = {name: Case(lambda _, name=name: calls.append(name)) for name in ("a", "b", "c")}  # type: ignore[misc]
    timings = measure.interleaved(made, 3, least=0)
    rounds = [calls[at : at + 3] for at in range(0, len(calls), 3)]
    assert [sorted(each) for each in rounds] == [["a", "b", "c"]] * 4
    assert [each[0] for each in rounds] == ["a", "b", "c", "a"]
    assert {name: len(timing.wall) for name, timing in timings.items()} == {"a": 3, "b": 3, "c": 3}


@dataclass
class Clock:
    """A clock that goes on only when told."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    return clock


def test_what_a_case_prepares_is_handed_over_and_not_timed(clock: Clock) -> None:
    given: list[object] = []

    def prepare() -> str:
        clock.now += 64
        return "fresh"

    def work(what: object) -> None:
        given.append(what)
        clock.now += 2

    timing = measure.interleaved({"a": Case(work, prepare)}, 2, least=0)["a"]
    assert given == ["fresh"] * 3
    assert timing.wall == (2, 2)


def test_a_short_case_is_repeated_and_its_mean_counts(clock: Clock) -> None:
    took = iter([1, 1, 2, 1, 3])

    def work(_: object) -> None:
        clock.now += next(took)

    timing = measure.interleaved({"a": Case(work)}, 1, least=4)["a"]
    assert next(took, None) is None
    assert timing.wall == (2,)


def test_a_ratio_is_taken_within_each_round() -> None:
    # The machine was three times slower in the last rounds: for both.
    base = Timing((1.0, 1.0, 3.0, 3.0), (0.0,) * 4)
    case = Timing((2.0, 2.0, 6.0, 6.0), (0.0,) * 4)
    assert measure.ratio(case, base) == measure.Ratio(2.0, 0.0)
    assert case.spread == pytest.approx(1.0)


def test_several_cores_count_as_their_sum_and_waiting_counts_too() -> None:
    assert Timing((1.0,), (1.8,)).core_seconds == 1.8
    assert Timing((1.0,), (0.2,)).core_seconds == 1.0


def test_memory_is_what_the_work_adds_to_what_was_there() -> None:
    grown = measure.peak_memory(f"{HERE}:allocating", "150", "60")
    assert 55 * MB < grown < 90 * MB


def test_memory_of_a_child_is_not_that_of_its_parent() -> None:
    held = b"z" * (300 * MB)
    grown = measure.peak_memory(f"{HERE}:allocating", "0", "1")
    assert len(held) and grown < 30 * MB


def test_a_child_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"failing failed in a child process(?s:.*)invalid literal"):
        measure.peak_memory(f"{HERE}:failing")


def test_documents_are_read_from_plain_gzip_and_zip_files(tmp_path: Path) -> None:
    source = generate.tiny().text
    (tmp_path / "a.json").write_bytes(source)
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(source))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a_config.json", "{}")
        archive.writestr("a.json", source)
        archive.writestr("a.py", b"#" * 2 * len(source))
    for name in ("a.json", "a.json.gz", "a.zip"):
        assert sizes.read_document(tmp_path / name) == source


def test_each_real_document_counts_once_and_suites_do_not(tmp_path: Path) -> None:
    for name in ("one/a.json", "two/b.json", "two/copy.json", "suites/c.json", "two/notes.txt"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(generate.tiny(ord(path.name[0])).text)
    (tmp_path / "data/two/copy.json").write_bytes((tmp_path / "data/one/a.json").read_bytes())
    found = sizes.real_documents([tmp_path / "data"], None)
    assert {folder: list(names) for folder, names in found.items()} == {"data/one": ["a.json"], "data/two": ["b.json"]}
    assert sizes.real_documents([tmp_path / "data"], 10) == {}


def test_the_schema_in_memory_gives_the_same_bytes_for_the_same_text() -> None:
    source = generate.typical(300).text
    one, other = sizes.encoded(source, MemorySchema()), sizes.encoded(source, MemorySchema())
    assert one.envelope == other.envelope
    assert [(part.table, part.rows) for part in one.parts] == [("signals", 300), ("trades", 15), ("equity_curve", 30)]
    assert all(a.data.equals(b.data) for a, b in zip(one.parts, other.parts, strict=True))


def test_detail_accounts_for_every_byte_of_a_data_file() -> None:
    source = generate.typical(300).text
    made = sizes.encoded(source, MemorySchema())
    lines = list(measure.detail("it", source, made))
    assert f"{len(made.envelope) + sum(len(part.data) for part in made.parts):,} B of tables and envelope" in lines[0]
    header = next(line for line in lines if line.startswith("table"))
    right = header.index("bytes") + len("bytes")
    taken: dict[str, list[int]] = {}
    for line in lines[lines.index(header) + 2 :]:
        name = line.split(" ")[0]
        number = int(line[:right].split()[-1].replace(",", ""))
        taken.setdefault(name or list(taken)[-1], []).append(number)
    for part in made.parts:
        whole, *pieces = taken[part.table]
        assert whole == len(part.data)
        # The rest are the two marks "PAR1", the footer's length, and its checksum with a mark.
        assert sum(pieces) == whole - 20


def test_detail_shows_a_file_by_its_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(generate.typical(50).text))
    assert codec.main(["--detail", str(path)]) == 0
    from_file = capsys.readouterr().out.splitlines()[1:]
    assert codec.main(["--detail", "typical:50"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == from_file


def test_large_and_small_documents_are_held_to_their_own_limits() -> None:
    lines = by_case(
        sizes.real_lines([
            sizes_of("a", 1_000, 80, 100),
            sizes_of("b", 5_000, 84, 100),
            sizes_of("c", 2_000, 106, 100),
            sizes_of("d", 999, 115, 100),
        ])
    )  # fmt: skip
    assert lines["real, >= 1,000 records: median of 3, × zstd -19"].ok is True
    assert lines["real, >= 1,000 records: worst (c)"] == Line(
        "real, >= 1,000 records: worst (c)", "<= 1.05 ×", "1.06 ×", False
    )
    assert lines["real, < 1,000 records: worst (d)"].ok is True
    assert lines["real, < 1,000 records: median of 1, × zstd -19"].ok is None


def test_documents_kept_whole_and_long_patches_are_said() -> None:
    good = by_case(sizes.real_lines([sizes_of("a", 1, 1, 1, "patched", 19)]))
    assert good["real: style or patched"].ok is True
    assert good["real: largest patch"].ok is True
    bad = by_case(sizes.real_lines([sizes_of("a", 1, 1, 1, "patched", 20), sizes_of("b", 1, 1, 1, "original", 500)]))
    assert bad["real: style or patched"] == Line("real: style or patched", ">= 95 %", "50.0 % of 2", False)
    assert bad["real: largest patch"] == Line("real: largest patch", "< 2 % of the JSON", "2.00 %", False)


def test_what_was_missed_is_marked_in_aligned_columns() -> None:
    lines = [Line("short", "<= 1", "2", False), Line("a longer case", "—", "3", None), Line("fine", "<= 9", "8", True)]
    header, rule, *rows = measure.lines_table(lines)
    assert [row.split()[-1] for row in rows] == ["NO", "3", "yes"]
    assert rows[0].index("<=") == rows[2].index("<=") == header.index("must") == rule.index("-", rule.index(" "))


def test_all_that_was_measured_can_be_written_as_json() -> None:
    line = sizes.real_lines([sizes_of("a", 1, 1, 1)])[0]
    assert json.loads(json.dumps(asdict(line))) == asdict(line)
    assert all(isinstance(value, str) for value in measure.machine().values())
