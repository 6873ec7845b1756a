"""Runs targets under atheris, each in a process of its own, and says what came of it.

    python -m tests.fuzz TARGET... | all  --runs N | --total N  --seed S
                                          [--work DIR] [--json FILE] [--keep] [--nice N]

What it prints is a table of docs/reliability.rst.  --total is spread over the targets: the slow have less.
A run begins with the target's seeds and its corpus.  --work keeps what it found between runs; --keep makes
the corpus anew, of the fewest inputs that cover what all do.  An input that is a find is written to where
this runs.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from hashlib import sha1
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.fuzz.target import TARGETS, Target, load

CORPUS = Path(__file__).parent / "corpus"

# What we chose: an execution takes about a millisecond, on a busy machine some more; a process 100 MiB.
SECONDS = 25
MEBIBYTES = 1024
KEPT = 2_048  # bytes of an input that is kept: the corpus is read by people, too

WIDTHS = (11, 6, 10, 10, 8, 6, 6, 7)
HEADING = ("target", "seed", "executions", "per second", "seconds", "edges", "inputs", "crashes")
RULE = "  ".join("=" * width for width in WIDTHS)

PROGRESS = re.compile(r"^#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+)", re.M)
EXECUTED = re.compile(r"^stat::number_of_executed_units: (\d+)", re.M)
RSS = re.compile(r"^stat::peak_rss_mb:\s+(\d+)", re.M)
ARTIFACT = re.compile(r"Test unit written to (\S+)")


def main() -> int:
    arguments = parsed()
    if find_spec("atheris") is None:
        sys.exit("atheris is missing: pip install -e '.[fuzz]'")
    names = list(TARGETS) if "all" in arguments.targets else arguments.targets
    print(f"{RULE}\n{row(HEADING)}\n{RULE}", flush=True)
    results = []
    for name in names:
        results.append(run(name, arguments, executions(name, names, arguments)))
        print(line(results[-1]), flush=True)
        if arguments.json:
            Path(arguments.json).write_text(json.dumps(results, indent=1) + "\n")
    print(RULE)
    return 1 if any(result["crash"] for result in results) else 0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument(
        "targets", nargs="+", choices=[*TARGETS, "all"], metavar="TARGET", help=", ".join(TARGETS)
    )
    parser.add_argument("--runs", type=int, default=20_000, help="executions of each target")
    parser.add_argument("--total", type=int, help="executions of all of them together, instead")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, help="folder of what was found in earlier runs")
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--keep", action="store_true", help="take what is new into the corpus")
    parser.add_argument("--nice", type=int, default=0)
    return parser.parse_args()


def executions(name: str, names: list[str], arguments: argparse.Namespace) -> int:
    """How many one target has."""
    if arguments.total is None:
        return int(arguments.runs)
    return int(arguments.total) * TARGETS[name].share // sum(TARGETS[each].share for each in names)


def run(name: str, arguments: argparse.Namespace, runs: int) -> dict[str, Any]:
    """One target's run and its figures."""
    with tempfile.TemporaryDirectory() as folder:
        work = arguments.work / name if arguments.work else Path(folder) / "work"
        target = load(name)
        plant(target, work)
        words = dictionary(target, Path(folder))
        began = time.monotonic()
        options = [f"-runs={runs}", f"-seed={arguments.seed}", f"-max_len={target.longest}"]
        options += ["-print_final_stats=1", *words]
        code, said = child(name, arguments.nice, options, [work, *corpora(name)])
        took = time.monotonic() - began
        if arguments.keep and code == 0:
            keep(name, arguments.nice, [work, *corpora(name)])
    seen = PROGRESS.findall(said)
    executed = EXECUTED.search(said)
    done = int(executed[1]) if executed else int(seen[-1][0]) if seen else 0
    found = ARTIFACT.search(said)
    if code:
        sys.stderr.write(said[-4000:])
    return {
        "target": name,
        "seed": arguments.seed,
        "executions": done,
        "seconds": round(took, 1),
        "per_second": round(done / took),
        "edges": int(seen[-1][1]) if seen else 0,
        "features": int(seen[-1][2]) if seen else 0,
        "inputs": int(seen[-1][3]) if seen else 0,
        "peak_mib": int(rss[1]) if (rss := RSS.search(said)) else 0,
        "crash": (found[1] if found else f"exit {code}") if code else None,
    }


def line(result: dict[str, Any]) -> str:
    figures = [f"{result[key]:,.0f}" for key in ("executions", "per_second", "seconds", "edges", "inputs")]
    return row((result["target"], str(result["seed"]), *figures, result["crash"] or "none"))


def row(cells: tuple[str, ...]) -> str:
    first, *figures, last = zip(cells, WIDTHS, strict=True)
    return "  ".join((first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in figures), last[0]))


def child(name: str, nice: int, options: list[str], folders: list[Path]) -> tuple[int, str]:
    """libFuzzer in a process of its own; it writes new inputs into the first of the folders.

    To merge, it starts itself again by the name that it was started by, so that is a script.
    """
    with tempfile.TemporaryDirectory() as folder:
        itself = Path(folder) / "itself"
        itself.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.fuzz.child {itself} {name} "$@"\n')
        itself.chmod(0o755)
        command = [str(itself), *options, f"-timeout={SECONDS}", f"-rss_limit_mb={MEBIBYTES}"]
        command += [f"-artifact_prefix={name}-", *map(str, folders)]
        done = subprocess.run(
            ["nice", "-n", str(nice), *command],
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )
    return done.returncode, done.stderr


def plant(target: Target, work: Path) -> None:
    """The seeds, each named by what it holds, as libFuzzer names its own."""
    work.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds():
        (work / sha1(seed).hexdigest()).write_bytes(seed)


def corpora(name: str) -> list[Path]:
    return [CORPUS / name] if (CORPUS / name).is_dir() else []


def dictionary(target: Target, folder: Path) -> list[str]:
    if not target.words:
        return []
    path = folder / "words"
    quoted = ("".join(f"\\x{byte:02x}" for byte in word) for word in target.words)
    path.write_text("".join(f'"{word}"\n' for word in quoted))
    return [f"-dict={path}"]


def keep(name: str, nice: int, folders: list[Path]) -> None:
    """The fewest inputs that cover what all of them do are the corpus; finds stay."""
    home = CORPUS / name
    with tempfile.TemporaryDirectory() as merged:
        options = ["-set_cover_merge=1", f"-max_len={KEPT}"]
        code, said = child(name, nice, options, [Path(merged), *folders])
        if code:
            raise SystemExit(said[-2000:])
        home.mkdir(parents=True, exist_ok=True)
        for path in home.iterdir():
            if not path.name.startswith("find-"):
                path.unlink()
        for path in Path(merged).iterdir():
            content = path.read_bytes()
            (home / sha1(content).hexdigest()[:12]).write_bytes(content)


if __name__ == "__main__":
    sys.exit(main())
