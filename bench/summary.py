"""The README's table: a few figures of the run that `docs/benchmarks.md` shows whole."""

from __future__ import annotations

from collections.abc import Iterator

from bench.cases.base import ARCTIC, BARE, LAKE
from bench.cases.whole import SMALLER
from bench.results_file import ROOT, Figure, Found

README = ROOT / "README.md"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
_CALLS = ("json.dump(indent=2)", "orjson.dumps of the value", "json.load of the file")
"""What every reader knows the time of."""
_STORES = (LAKE, BARE, ARCTIC, "DuckLake", "delta-rs", "JSON files")


def _rows(runs: int) -> Iterator[tuple[str, str]]:
    """What a row says, and the case that it shows."""
    yield "save, from Arrow", "save from Arrow"
    yield "load, as Arrow", "load as Arrow"
    yield f"group by strategy and symbol over {runs} runs", f"SQL over {runs} runs: group by strategy and symbol"
    yield f"one strategy in one week of {runs} runs", f"SQL over {runs} runs: one strategy in one week"
    yield f"bytes of {runs} runs", f"bytes of {runs} runs"


def lines(found: Found, name: str) -> Iterator[str]:
    """The table and what stands around it, from the results file of this name."""
    settings, machine = found.settings, found.machine
    stores = [store for store in _STORES if found.figure("save from Arrow", store)]
    signals = f"{settings['signals']:,}"
    yield (
        f"Medians for runs of {signals} signals on {machine['cores']} shared cores, all stores in turns in one run "
        f"({found.at[:10]}, commit {found.commit}, `bench/results/{name}`):\n"
    )
    yield f"| | {' | '.join(stores)} |"
    yield f"|---|{'---:|' * len(stores)}"
    for label, case in _rows(settings["runs"]):
        cells = [found.figure(case, store) for store in stores]
        yield f"| {label} | {' | '.join('–' if each is None else _short(each) for each in cells)} |"
    for label, lack in (("gives the JSON back", "no JSON back"), ("data survive a power loss", "no fsync")):
        answers = ["no" if any(lack in said for said in found.lacks.get(store, ())) else "yes" for store in stores]
        yield f"| {label} | {' | '.join(answers)} |"
    yield ""
    yield from _sentences(found)


def _sentences(found: Found) -> Iterator[str]:
    by_case = {each.case: each for each in found.figures if each.store == LAKE}
    sizes = [(case.split()[0], each) for case, each in by_case.items() if case.endswith(SMALLER)]
    if sizes:
        shares = ", ".join(f"{each.median:.1f} % at {signals} signals" for signals, each in sizes)
        yield f"- A typical result is smaller than its JSON (`indent=2`) by {shares}, with all files and catalog rows."
    for said, case in (
        ("A document held as a `dict` is saved, proved exact, in {}", "save from dict"),
        ("It comes back as JSON text, byte for byte, in {}", "load as JSON text"),
        ("It comes back as a Python value in {}", "load as value"),
        ("One result of a million is found by its id in {}", "one result by id, 1,000,000 results"),
        ("A folder of JSON files moves in at {} a file, on one core and all included", _starting(by_case, "migrate ")),
    ):
        if case in by_case:
            each = by_case[case]
            beside = f" ({each.ratio:.2f} × {each.base})" if each.base in _CALLS else ""
            yield f"- {said.format(_short(each) + beside)}."


def _starting(cases: dict[str, Figure], word: str) -> str:
    return next((case for case in cases if case.startswith(word)), "")


def _short(figure: Figure) -> str:
    if figure.unit != "s":
        return f"{figure.median:,.0f} {figure.unit}"
    milliseconds = 1e3 * figure.median
    digits = 0 if milliseconds >= 10 else 1 if milliseconds >= 1 else 2
    return f"{milliseconds:,.{digits}f} ms"


def inserted(text: str, found: Found, name: str) -> str:
    """The README with this run's table.

    Raises:
        ValueError: it has no place for it.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{README.name} has no lines {BEGIN} and {END}")
    return "\n".join([before + BEGIN, *lines(found, name), END + after])


def write(found: Found, name: str) -> None:
    """Put the table into the README."""
    README.write_text(inserted(README.read_text(encoding="utf-8"), found, name), encoding="utf-8")
