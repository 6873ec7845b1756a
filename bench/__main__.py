"""`make bench ARGS=...`: the race against others; what a packet costs, how long it takes, what a node weighs.

Everything is compared with something else in the same run, as this machine's absolute figures are nobody
else's.  docs/benchmarks.rst says what is measured and what came of it.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bench import calls, fec
from bench.about import TOP, Say, machine, teller
from bench.race.command import race
from bench.wan.command import film, wan
from multicastmw.cli.lab import LabError, TimedOut
from multicastmw.cli.text import Columns, screen

PARTS = {
    "slowpath": "Microseconds a packet, against loops of the same system calls.",
    "recovery": "What a packet costs where losses are repaired and there are none, against the same without.",
    "fec": "Forward error correction: microseconds a packet; and --seconds of a film over a link of 150 ms "
    "that loses, with and without it.",
    "calls": "System calls a packet, counted by strace.",
    "delay": "One-way delay through figure 4 at 1,000 packets/s over UDP and TCP, against the kernel's "
    "unicast; and with the garbage collector switched off.",
    "idle": "Memory, CPU and start-up of a node without traffic.",
    "show": "The snapshot of a node of 300 peers, 500 groups and 500 routes, and `mcmw show` of it.",
    "watched": "Delay and CPU of a relay while a page, a scraper and a terminal watch it, against nobody.",
    "meshed": "CPU of a relay of the mesh against a static one's, with the kernel forwarding and without.",
    "crowd": "Memory and CPU of a hub with --links links and no traffic.",
    "tls": "How fast data on TCP are inside TLS, against plain TCP: one connection, one link, whole nodes.",
    "health": "Looking at a stream: microseconds a packet, in the process and with the kernel's copies.",
}


def measurement(name: str, parts: tuple[str, ...], about: str) -> click.Command:
    """One of the sub-commands; all have the same options."""

    @click.command(name, help=about, context_settings={"help_option_names": ["-h", "--help"]})
    @click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True,
                  help="How often everything is repeated; medians of these.")  # fmt: skip
    @click.option("--bursts", type=click.IntRange(min=1), default=200, show_default=True,
                  help="slowpath: bursts of 60 packets a loop and round.")  # fmt: skip
    @click.option("--seconds", type=click.FloatRange(min=1), default=10.0, show_default=True,
                  help="delay, watched, meshed: seconds of a way and round, at 1,000 packets/s.")  # fmt: skip
    @click.option("--links", type=click.IntRange(min=1, max=1000), default=300, show_default=True,
                  help="crowd: peers of the hub.")  # fmt: skip
    @click.option("--watched", type=click.FloatRange(min=5), default=60.0, show_default=True,
                  help="crowd: seconds that it is watched.")  # fmt: skip
    @click.option("--realtime/--ordinary", default=True, show_default=True,
                  help="Everything runs before the machine's other processes, or with them.")  # fmt: skip
    @click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path),
                  help="Write all figures to this file, too.")  # fmt: skip
    def command(*, rounds: int, bursts: int, seconds: float, realtime: bool, links: int, watched: float,
                path: Path | None) -> None:  # fmt: skip
        measure(parts, rounds, bursts, seconds, realtime, links, watched, path)

    return command


def measure(parts: tuple[str, ...], rounds: int, bursts: int, seconds: float, realtime: bool,
            links: int, watched: float, path: Path | None) -> None:  # fmt: skip
    """Runs the parts in turn, shows and writes what came of them."""
    if os.geteuid():
        raise click.ClickException("network namespaces need root: sudo make bench")
    say = teller()
    realtime = realtime and go_first(say)
    document: dict[str, Any] = {"machine": machine(), "options": {"rounds": rounds, "realtime": realtime}}
    try:
        for part in parts:
            say(part)
            if part == "slowpath":
                document[part] = slowpath(rounds, bursts, say)
            elif part == "recovery":
                document[part] = by_rounds("bench.recovery", str(bursts), rounds=rounds, say=say)
            elif part == "fec":
                document[part] = corrected(rounds, bursts, seconds, say)
            elif part == "calls":
                document[part] = system_calls()
            elif part == "delay":
                document[part] = delay(rounds, seconds, say)
            elif part == "show":
                document[part] = looked_at(rounds, say)
            elif part == "watched":
                document[part] = watched_at(rounds, seconds, say)
            elif part == "health":
                document[part] = health(rounds, say)
            elif part == "meshed":
                document[part] = meshed_at(rounds, seconds, say)
            elif part == "idle":
                document[part] = idle(say)
            else:
                document[part] = sealed(rounds, say) if part == "tls" else crowd(links, watched, say)
    except (LabError, TimedOut) as error:
        raise click.ClickException(str(error)) from error
    document["machine"]["load_after"] = os.getloadavg()
    if path:
        path.write_text(json.dumps(document, indent=1) + "\n")
    show(document)


class InOrder(click.Group):
    """Lists its commands as they were added."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=InOrder, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure a node: against other daemons and the kernel, against bare loops, at rest."""


main.add_command(race)
main.add_command(film)
main.add_command(wan)
for part, text in PARTS.items():
    main.add_command(measurement(part, (part,), text))
main.add_command(measurement("node", tuple(PARTS), f"All of {', '.join(PARTS)}, in some quarter of an hour."))


def go_first(say: Say) -> bool:
    """Everything that is started from here on runs when it wants to: a busy neighbour is no node's delay.

    Niceness does not do that where the kernel groups processes by session (sched_autogroup).
    """
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError as error:
        say(f"no real-time scheduling ({error.strerror}): neighbours are in the figures")
        return False
    return True


# --- the parts


def slowpath(rounds: int, bursts: int, say: Say) -> dict[str, Any]:
    """See there."""
    return by_rounds("bench.slowpath", "time", str(bursts), rounds=rounds, say=say)


def by_rounds(*command_line: str, rounds: int, say: Say) -> dict[str, Any]:
    """Each round is a process of its own, as where a process's memory lies matters, too."""
    found = []
    for turn in range(rounds):
        command = ["unshare", "--net", sys.executable, "-m", *command_line]
        done = subprocess.run(command, cwd=TOP, stdout=subprocess.PIPE, check=True)
        found.append(json.loads(done.stdout))
        say(f"  round {turn + 1} of {rounds}")
    return {
        way: {
            name: {
                "median": statistics.median(each[way][name] for each in found),
                "least": min(each[way][name] for each in found),
                "most": max(each[way][name] for each in found),
            }
            for name in found[0][way]
        }
        for way in found[0]
    }


def corrected(rounds: int, bursts: int, seconds: float, say: Say) -> dict[str, Any]:
    """What it costs, and what it does; of the bursts, of which there are few a second, a tenth."""
    cost = by_rounds("bench.fec", str(max(1, bursts // 10)), rounds=rounds, say=say)
    return {"cost": cost, "far": fec.far(seconds, say)}


def system_calls() -> dict[str, Any]:
    reason = calls.why_not()
    return {"skipped": reason} if reason else calls.measure(bursts=20)


def delay(rounds: int, seconds: float, say: Say) -> dict[str, Any]:
    from bench import delay as part

    return part.judge(part.measure(rounds, seconds, lambda text: say(f"  {text}")))


def idle(say: Say) -> dict[str, Any]:
    from bench import idle as part

    return part.measure(lambda text: say(f"  {text}"))


def looked_at(rounds: int, say: Say) -> dict[str, Any]:
    from bench import show as part

    return part.measure(rounds, lambda text: say(f"  {text}"))


def watched_at(rounds: int, seconds: float, say: Say) -> dict[str, Any]:
    from bench import watched as part

    return part.measure(rounds, seconds, lambda text: say(f"  {text}"))


def meshed_at(rounds: int, seconds: float, say: Say) -> dict[str, Any]:
    from bench import meshed as part

    return part.measure(rounds, seconds, lambda text: say(f"  {text}"))


def sealed(rounds: int, say: Say) -> dict[str, Any]:
    from bench import tls as part

    return part.measure(rounds, 1.0, lambda text: say(f"  {text}"))


def health(rounds: int, say: Say) -> dict[str, Any]:
    from bench import health as part

    return part.measure(rounds, say)


def crowd(links: int, watched: float, say: Say) -> dict[str, Any]:
    from bench import crowd as part

    return part.measure(links, watched, lambda text: say(f"  {text}"))


# --- what came of it


def show(document: dict[str, Any]) -> None:
    """Tables of at most 80 columns on stdout."""
    console = screen()
    about = document["machine"]
    before, after = about["load_before"][0], about["load_after"][0]
    console.print(f"{about['date']}, commit {about['commit']}, Linux {about['kernel']}, "
                  f"Python {about['python']},\nTwisted {about['twisted']}; {about['processor']}, "
                  f"{about['cores']} cores, load {before:.1f} before, {after:.1f} after")  # fmt: skip
    for part, print_part in (
        ("slowpath", show_slowpath), ("recovery", show_recovery), ("fec", show_fec), ("calls", show_calls),
        ("delay", show_delay), ("idle", show_idle),
        ("tls", show_tls), ("show", show_looks), ("health", show_health),
        ("watched", show_watched), ("meshed", show_meshed),
        ("crowd", show_crowd),
    ):  # fmt: skip
        if part in document:
            console.print()
            print_part(console, document[part])


def show_slowpath(console: Console, found: dict[str, Any]) -> None:
    console.print("Slow path, microseconds a packet: ours, a bare loop, a lean one (same calls)")
    table = Columns("way", "ours>", "bare>", "lean>", "to bare>", "(rounds)>", "to lean>")
    for way, row in found.items():
        least, most = row["to_bare"]["least"], row["to_bare"]["most"]
        table.row(way, *(f"{row[f'{name}_us']['median']:.2f}" for name in ("ours", "bare", "lean")),
                  f"{row['to_bare']['median']:.2f}", f"{least:.2f}-{most:.2f}",
                  f"{row['to_lean']['median']:.2f}")  # fmt: skip
    console.print(table)


def show_recovery(console: Console, found: dict[str, Any]) -> None:
    console.print("Recovery without losses, microseconds of a core a packet")
    table = Columns("way", "with>", "without>", "ratio>", "(rounds)>")
    for way, row in found.items():
        ratio = row["ratio"]
        table.row(way, *(f"{row[f'{name}_us']['median']:.2f}" for name in ("with", "without")),
                  f"{ratio['median']:.3f}", f"{ratio['least']:.3f}-{ratio['most']:.3f}")  # fmt: skip
    console.print(table)


def show_fec(console: Console, found: dict[str, Any]) -> None:
    console.print("Forward error correction, microseconds of a core a packet (the code alone: and XOR)")
    table = Columns("way", "with>", "without>", "more>")
    for way, row in found["cost"].items():
        table.row(way, *(f"{row[f'{name}_us']['median']:.2f}" for name in ("with", "without", "more")))
    console.print(table)
    console.print("A film over a link of two nodes")
    table = Columns("on it", "RTT, ms>", "Nacks", "FEC", "lost>", "99 %, ms>", "more bits>", "rows>")
    for each in found["far"]:
        table.row(f"{each['loss']:.0%}", f"{each['rtt'] * 1000:.0f}", "yes" if each["nacks"] else "no",
                  each["fec"], f"{each['lost'] / each['sent']:.2%}", f"{each['late_p99']:.0f}",
                  f"{each['overhead']:.1%}", f"{each['rows']}")  # fmt: skip
    console.print(table)


def show_calls(console: Console, found: dict[str, Any]) -> None:
    if "skipped" in found:
        console.print(found["skipped"])
        return
    console.print(f"System calls a packet, by strace, in bursts of {calls.BURST}")
    table = Columns("way", "ours>", "bare>", "ours by name")
    for way, row in found.items():
        names = ", ".join(f"{n:.3g} {name}" for name, n in row["ours"]["by_name"].items())
        table.row(way, f"{row['ours']['calls']:.3f}", f"{row['bare']['calls']:.3f}", names)
    console.print(table)


def show_delay(console: Console, found: dict[str, Any]) -> None:
    rows = found["rows"].values()
    console.print(f"One-way delay at {found['rate']:,} packets/s of {found['size']:,} bytes, "
                  f"{found['rounds']} rounds of {found['sent_a_round']:,} packets:\nmicroseconds, "
                  "and times the kernel's of the same round (medians of the rounds)")  # fmt: skip
    table = Columns("path", "at", "p50>", "p99>", "p99.9>", "p50 x>", "p99 x>", "p99.9 x>", "lost>")
    for row in rows:
        times = [f"{row[f'{q}_us']:,.0f}" for q in ("p50", "p99", "p99.9")]
        ratios = [f"{row[f'{q}_to_kernel']:.1f}" for q in ("p50", "p99", "p99.9")]
        table.row(row["path"], row["host"], *times, *ratios, row["lost"])
    console.print(table)
    spent = ", ".join(f"{path} {cost:.0f}" for path, cost in found["spent_at_b_us"].items())
    console.print(f"b's process, microseconds of a core a packet: {spent}")
    console.print("\nGarbage collection: delay over UDP with it, times that without")
    table = Columns("at", "p50>", "p99>", "p99.9>")
    for host, row in found["with_gc_to_without"].items():
        table.row(host, *(f"{row[q]:.2f}" for q in ("p50", "p99", "p99.9")))
    console.print(table)
    for name in ("udp", "tcp"):
        row = found["collections"][name]
        counts = ", ".join(map(str, row["by_generation"]))
        console.print(f"b's collections in {row['seconds']:.0f} s over {name}, by generation: {counts}; "
                      f"longest {row['longest_us']:,.0f} us")  # fmt: skip
    row = found["collections"]["udp"]
    console.print(f"a full collection in b: {row['full_us']:,.0f} us; without gc.freeze "
                  f"{row['full_unfrozen_us']:,.0f} us ({row['frozen']:,} objects)")  # fmt: skip


def show_idle(console: Console, found: dict[str, Any]) -> None:
    console.print(f"Idle nodes of figure 4; ready {found['start_s']:.2f} s after the command "
                  f"(median of {len(found['starts_s'])})")  # fmt: skip
    table = Columns("node", "RSS MiB>", "peak MiB>", "private MiB>", "% of a core>")
    for name, row in found["nodes"].items():
        sizes = (row[f"{what}_mib"] for what in ("rss", "peak", "private"))
        table.row(name, *(f"{size:.1f}" for size in sizes), f"{row['cpu_percent']:.2f}")
    console.print(table)


def show_tls(console: Console, found: dict[str, Any]) -> None:
    console.print(f"Data on TCP, packets/s of {found['size']:,} bytes, medians of {found['rounds']} rounds")
    table = Columns("way", "plain>", "TLS>", "TLS / plain>", "(rounds)>")
    for way in ("pipe", "link", "nodes"):
        row = found[way]
        rates = (f"{row[each]['rate']:,.0f}" for each in ("plain", "tls"))
        table.row(way, *rates, f"{row['ratio']:.2f}", f"{min(row['ratios']):.2f}-{max(row['ratios']):.2f}")
    console.print(table)
    console.print(f"\nMicroseconds of a core a packet; nodes at {found['nodes']['cost_at']:,} packets/s")
    table = Columns("at", "plain>", "TLS>")
    for way in ("pipe", "link", "nodes"):
        plain, tls = found[way]["plain"], found[way]["tls"]
        for name in (name for name in plain if name.endswith("_us")):
            table.row(f"{way}, {name.removesuffix('_us')}", f"{plain[name]:.1f}", f"{tls[name]:.1f}")
    console.print(table)


def show_looks(console: Console, found: dict[str, Any]) -> None:
    console.print(f"A node of {found['peers']} peers, {found['groups']} groups and {found['routes']} routes; "
                  "milliseconds")  # fmt: skip
    table = Columns("what", "median>", "least>", "most>")
    for name, row in found.items():
        if name.endswith("_ms"):
            table.row(name.removesuffix("_ms"), *(f"{row[q]:.1f}" for q in ("median", "least", "most")))
    console.print(table)


def show_watched(console: Console, found: dict[str, Any]) -> None:
    console.print(f"One-way delay at {found['rate']:,} packets/s through a relay that is watched, "
                  f"microseconds,\nand of its process a packet; "
                  f"{found['rounds']} rounds of {found['sent_a_round']:,} packets")  # fmt: skip
    table = Columns("forwards", "looked at", "p50>", "p99>", "p99.9>", "lost>", "us of b>")
    for way, row in found["ways"].items():
        for look in ("bare", "watched"):
            times = (f"{row[look][f'{q}_us']:,.0f}" for q in ("p50", "p99", "p99.9"))
            table.row(way, look, *times, row[look]["lost"], f"{row[look]['b_us']:.1f}")
        table.row(way, "ratio", *(f"{row['ratios'][q]:.2f}" for q in ("p50", "p99", "p99.9")), "", "")
    console.print(table)


def show_meshed(console: Console, found: dict[str, Any]) -> None:
    console.print(f"The relay of a chain of three, {found['rate']:,} packets/s of {found['size']:,} bytes, "
                  f"{found['rounds']} rounds of {found['seconds']:g} s:\n"
                  "its process's time a packet, and the share of packets that came to it")  # fmt: skip
    table = Columns("links", "forwards", "us>", "(rounds)>", "came to it>", "packets>")
    for row in found["ways"]:
        each = [cost["process_us"] for cost in row["rounds"]]
        spread = f"{min(each):.1f}-{max(each):.1f}"
        table.row(row["engine"], row["forwards"], f"{row['process_us']:.1f}", spread, f"{row['seen']:.1%}",
                  f"{row['packets']:,}")  # fmt: skip
    console.print(table)
    console.print()
    table = Columns("times as much", "median>", "(rounds)>")
    for name, row in found["ratios"].items():
        table.row(name, f"{row['median']:.2f}", f"{row['least']:.2f}-{row['most']:.2f}")
    console.print(table)


def show_health(console: Console, found: dict[str, Any]) -> None:
    console.print(
        f"Looking at a stream, microseconds of a core a packet (medians of {found['rounds']} rounds)"
    )
    table = Columns("where", "us>", "what is in it")
    kinds = {"ts": "a transport stream", "rtp": "the same in RTP", "udp": "neither: rate and sizes"}
    for kind, cost in found["inside_us"].items():
        table.row("process", f"{cost:.1f}", kinds[kind])
    copied = found["copies"]
    what = f"a transport stream of {copied['rate']:,.0f} packets/s that the kernel forwards"
    table.row("node", f"{copied['copy_us']:.1f}", f"{what}: read, handed on and looked at")
    console.print(table)


def show_crowd(console: Console, found: dict[str, Any]) -> None:
    console.print("A hub whose links are idle")
    table = Columns(
        "data", "links>", "dialled in s>", "% of a core>", "RSS MiB>", "of it links>", "KiB each>"
    )
    for name, row in found.items():
        links = row["rss_mib"] - row["alone_mib"]
        table.row(name, row["links"], f"{row['dialled_s']:.1f}", f"{row['cpu_percent']:.2f}",
                  f"{row['rss_mib']:.1f}", f"{links:.1f}", f"{links * 1024 / row['links']:.0f}")  # fmt: skip
    console.print(table)


if __name__ == "__main__":
    main()
