"""The report of a run: tables for the terminal, Markdown and plots for `docs/benchmarks.md`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench import summary
from bench.measure import aligned
from bench.results_file import ROOT, Figure, Found

PAGE = ROOT / "docs" / "benchmarks.md"
PLOTS = ROOT / "docs" / "benchmarks"
_PLOTTED = ("save from Arrow", "save from dict", "load as Arrow", "load as JSON text", "load as value")


def amount(figure: Figure) -> str:
    """A figure's median as people read it."""
    if figure.unit != "s":
        return f"{figure.median:,.2f} {figure.unit}"
    return f"{1e3 * figure.median:,.2f} ms"


def cases(found: Found) -> dict[str, list[Figure]]:
    """The figures by case, the quickest first."""
    groups: dict[str, list[Figure]] = {}
    for each in found.figures:
        groups.setdefault(each.case, []).append(each)
    for case, figures in groups.items():
        if case.startswith("count all rows"):
            continue
        figures.sort(key=lambda each: each.median if each.unit != "runs/s" else -each.median)
    return groups


def _cells(figure: Figure) -> tuple[str, str, str, str, str]:
    spread = f"{1e3 * figure.low:,.1f}–{1e3 * figure.high:,.1f}" if figure.unit == "s" and figure.n > 1 else ""
    beside = f"{figure.ratio:.2f} × {figure.base}" if figure.ratio is not None else ""
    return figure.store, amount(figure), spread, str(figure.n), beside + (f" {figure.note}" if figure.note else "")


def tables(found: Found) -> Iterator[str]:
    """The run as text."""
    for case, figures in cases(found).items():
        yield case
        yield from aligned(
            ("store", "median", "quartiles", "n", ""), [_cells(each) for each in figures], right=(1, 2, 3)
        )
        yield ""
    rows = [(each.case, each.must, each.reached, "yes" if each.ok else "NO") for each in found.reach]
    yield from aligned(("what must be reached", "must", "reached", "ok"), rows, right=(1, 2))


def markdown(found: Found, name: str) -> Iterator[str]:
    """The page, from the results file of this name."""
    settings, machine = found.settings, found.machine
    quick = "; this run was a quick one, of few rounds" if settings["quick"] else ""
    yield "# Benchmarks\n"
    yield f"From `bench/results/{name}` by `python -m bench report`; a test fails when this page is stale.\n"
    yield (
        f"Measured {found.at[:10]} at commit {found.commit}: {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory'] / 2**30:.0f} GiB, Python {machine['python']}, fsync {machine['fsync']}; "
        f"{settings['signals']:,} signals a run, {settings['runs']} runs in each store. All stores take turns, round "
        "by round, in one process on one PostgreSQL, and the ratio of two is taken within each round: it holds on a "
        f"busy machine, where milliseconds do not{quick}. Every answer is compared with what was saved. Stores are "
        "warm.\n"
    )
    yield ", ".join(f"{package} {version}" for package, version in found.versions.items()) + ".\n"
    yield "## What must be reached\n"
    yield "| case | must | reached | |\n|---|---:|---:|---|"
    for reach in found.reach:
        yield f"| {reach.case} | {reach.must} | {reach.reached} | {'yes' if reach.ok else '**no**'} |"
    yield ""
    if found.lacks:
        yield "## What the others do not do\n"
        yield "| store | what lakestore does and it does not |\n|---|---|"
        for store, lacks in found.lacks.items():
            yield f"| {store} | {'; '.join(lacks)} |"
        yield ""
    if found.skipped:
        yield "Not measured here: " + "; ".join(f"{store} ({why})" for store, why in found.skipped.items()) + ".\n"
    yield "## Figures\n"
    for case, figures in cases(found).items():
        yield f"### {case[0].upper()}{case[1:]}\n"
        if case in _PLOTTED:
            yield f"![{case}](benchmarks/{_slug(case)}.svg)\n"
        yield "| store | median | quartiles, ms | n | |\n|---|---:|---:|---:|---|"
        for each in figures:
            store, *cells = _cells(each)
            yield f"| {f'**{store}**' if store == 'lakestore' else store} | {' | '.join(cells)} |"
        yield ""


def page(found: Found, name: str) -> str:
    """The text of `docs/benchmarks.md`."""
    return "\n".join(markdown(found, name)).rstrip() + "\n"


def write(path: Path) -> str:
    """Write the page, its plots and the README's table from a results file; say what was written."""
    found = Found.read(path)
    PAGE.write_text(page(found, path.name), encoding="utf-8")
    summary.write(found, path.name)
    return f"{PAGE.relative_to(ROOT)}, {len(plots(found))} plots and the table of {summary.README.name}"


def _slug(case: str) -> str:
    return case.replace(" ", "-")


def plots(found: Found) -> list[Path]:
    """Bars of the medians with their quartiles; needs matplotlib."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "lakestore"
    from matplotlib import pyplot

    PLOTS.mkdir(parents=True, exist_ok=True)
    written = []
    groups = cases(found)
    for case in (case for case in _PLOTTED if case in groups):
        figures = groups[case][::-1]
        values = [1e3 * each.median for each in figures]
        wide, axes = pyplot.subplots(figsize=(8, 0.8 + 0.36 * len(figures)))
        errors = [
            [value - 1e3 * each.low for value, each in zip(values, figures, strict=True)],
            [1e3 * each.high - value for value, each in zip(values, figures, strict=True)],
        ]
        colours = ["#1f6f8b" if each.store == "lakestore" else "#b8c4cc" for each in figures]
        bars = axes.barh([each.store for each in figures], values, color=colours, xerr=errors, ecolor="#555555")
        axes.bar_label(bars, [f" {value:,.1f} ms" for value in values], padding=10, fontsize=9)
        axes.set_title(f"{case}, {found.settings['signals']:,} signals", loc="left", fontsize=11)
        axes.set_xlim(0, max(1e3 * each.high for each in figures) * 1.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel("milliseconds, median and quartiles; less is better")
        wide.tight_layout()
        path = PLOTS / f"{_slug(case)}.svg"
        wide.savefig(path, metadata={"Date": None})
        pyplot.close(wide)
        written.append(path)
    return written
