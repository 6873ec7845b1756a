"""The picture of a record: rates against native, and delay; PNG and SVG from the same figure."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.race import figures

NATIVE, OURS, OTHERS = "#8c8c8c", "#c44e52", "#4c72b0"
FADED = 0.45
ADVICE = "no plot, as matplotlib is missing: pip install 'multicastmw[bench]'"


def available() -> bool:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def colour(name: str) -> str:
    return NATIVE if name == figures.NATIVE else OURS if name.startswith("ours") else OTHERS


def draw(record: figures.Record, paths: Iterable[Path]) -> None:
    """Writes the picture to each path; its ending says the format."""
    import matplotlib as mpl

    mpl.use("agg")
    # The same record gives the same file: under version control it changes with its figures only.
    mpl.rcParams["svg.hashsalt"] = "race"
    from matplotlib import pyplot

    summary = figures.summarise(record)
    by_rate = sorted(summary, key=lambda name: summary[name]["rate_1316_ratio"] or 0.0)
    titles = [record["contestants"][name]["title"] for name in by_rate]
    figure, (rates, delays) = pyplot.subplots(1, 2, figsize=(10, 0.8 + 0.36 * len(by_rate)), sharey=True,
                                              layout="constrained")  # fmt: skip
    _draw_rates(rates, [summary[name] for name in by_rate], [colour(name) for name in by_rate])
    _draw_delays(delays, [summary[name] for name in by_rate], [colour(name) for name in by_rate])
    rates.set_yticks(range(len(titles)), titles)
    machine = record["machine"]
    figure.supxlabel(f"figure 4 on one machine of {machine['cores']} cores, {machine['date']}, "
                     f"medians of {len(record['rounds'])} round(s)", fontsize=8, color="#555555")  # fmt: skip
    for path in paths:
        still: dict[str, Any] = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(path, dpi=150, metadata=still)
    pyplot.close(figure)


def _draw_rates(axes: Any, rows: list[dict[str, Any]], colours: list[str]) -> None:
    for place, (row, its) in enumerate(zip(rows, colours, strict=True)):
        for column, offset, alpha in (("rate_1316_ratio", 0.19, 1.0), ("rate_200_ratio", -0.19, FADED)):
            value = row[column]
            if value is None:
                continue
            axes.barh(place + offset, value, height=0.36, color=its, alpha=alpha)
            axes.text(value + 0.01, place + offset, f"{value:.2f}", va="center", fontsize=7)
    axes.set_title("highest rate without loss, to native's\n(1,316 bytes; faint: 200 bytes)", fontsize=10)
    axes.set_xlim(
        0, 1.15 * max([1.0, *(row[c] or 0.0 for row in rows for c in ("rate_1316_ratio", "rate_200_ratio"))])
    )
    _plain(axes)


def _draw_delays(axes: Any, rows: list[dict[str, Any]], colours: list[str]) -> None:
    for place, (row, its) in enumerate(zip(rows, colours, strict=True)):
        p50, p99, p999 = (row[f"delay_1000_{name}"] for name in ("p50", "p99", "p99.9"))
        if None in (p50, p99, p999):
            continue
        axes.plot([p50, p999], [place, place], color=its, linewidth=2)
        for value, mark in ((p50, "o"), (p99, "|"), (p999, ">")):
            axes.plot(value, place, mark, color=its, markersize=7)
    axes.set_xscale("log")
    axes.set_title(
        "one-way delay at 1,000 packets/s, microseconds\n(dot: median, bar: p99, arrow: p99.9)", fontsize=10
    )
    _plain(axes)


def _plain(axes: Any) -> None:
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
