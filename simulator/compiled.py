"""The machines and the loop as C, for long runs: mypyc compiles the same sources.

    python -m simulator.compiled     what is newer, into build/simulator, outside of the packages
    compiled.use()                   from now on imports of these modules find it there

Nothing that is shipped is compiled, and nothing depends on it: where there is no C compiler, or a source is
newer than what was made of it, the simulator runs as Python.  The same seed gives the same run either way.
"""

import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from hashlib import sha256
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from importlib.util import find_spec, spec_from_file_location
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "simulator"
STAMP = "sources"
OPTIMIZED = "1"  # 2 takes half as long again to compile

# A destination is not simulated; latency.py finds the matrix from where it is itself, and is rarely asked.
LEFT_OUT = {"__init__.py", "destination.py", "envelopes.py"}
COUNTERS = b"(Counters):"  # which find their names in __slots__, and compiled classes have none
SOURCES = (
    "core/bucket.py", "core/window.py", "wire/announcements.py", "wire/membership.py", "wire/mesh.py",
)  # fmt: skip
OURS = ("correcting.py", "keepalive.py", "liars.py", "loop.py", "network.py", "node.py", "world.py")


def sources(root: Path = ROOT) -> list[Path]:
    """What is compiled."""
    package = root / "multicastmw"
    machines = [
        each for each in sorted((package / "core/mesh").glob("*.py"))
        if each.name not in LEFT_OUT and COUNTERS not in each.read_bytes()
    ]  # fmt: skip
    return [*machines, *(package / name for name in SOURCES), *(root / "simulator" / name for name in OURS)]


def state(root: Path = ROOT) -> str:
    """What it is made of: other sources, or another Python, are another state."""
    digest = sha256(repr((sys.version, EXTENSION_SUFFIXES[0], OPTIMIZED)).encode())
    for source in sources(root):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def is_current(folder: Path = FOLDER) -> bool:
    """Is everything compiled as it is now?"""
    try:
        return (folder / STAMP).read_text() == state()
    except OSError:
        return False


class Finder(MetaPathFinder):
    """Finds what is compiled, before the sources are looked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        file = self._folder / (fullname.replace(".", "/") + EXTENSION_SUFFIXES[0])
        if not file.exists():
            return None
        return spec_from_file_location(fullname, file, loader=ExtensionFileLoader(fullname, str(file)))


def use(folder: Path = FOLDER) -> bool:
    """Whether imports find compiled modules from now on."""
    if not is_current(folder):
        return False
    sys.meta_path.insert(0, Finder(folder))
    return True


# --- compiling


def lacking() -> Iterator[str]:
    """What would have to be there."""
    if not shutil.which("cc"):
        yield "C compiler"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        yield "Python.h"
    for module in ("mypyc", "setuptools"):
        if find_spec(module) is None:
            yield module


def translate(names: Sequence[str], folder: str) -> list[Any]:
    """Writes C into `folder`, in some seconds; setuptools' extensions of it.

    `names` are relative to the working directory.  Raises SystemExit when mypyc refuses one and has said why.
    """
    from mypyc.build import mypycify

    return list(mypycify(list(names), opt_level=OPTIMIZED, target_dir=folder))


def compile_all(folder: Path = FOLDER) -> None:
    """Some minutes of a processor; what was there stays until it is done."""
    from setuptools import setup  # type: ignore[import-untyped]

    os.chdir(ROOT)  # names of modules are made of relative paths
    now = state()
    folder.parent.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=folder.parent) as made:
        names = [str(source.relative_to(ROOT)) for source in sources()]
        setup(
            name="simulator", ext_modules=translate(names, f"{made}/c"),
            script_args=["--quiet", "build_ext", f"--build-lib={made}/lib", f"--build-temp={made}/o"],
        )  # fmt: skip
        Path(made, "lib", STAMP).write_text(now)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(f"{made}/lib", folder)


def main() -> None:
    if is_current():
        return
    if missing := list(lacking()):
        sys.stderr.write(f"simulating as Python, which is slower: there is no {', no '.join(missing)}\n")
        return
    sys.stderr.write("compiling the machines, which takes some minutes ...\n")
    try:
        compile_all()
    except SystemExit:  # which mypyc and setuptools raise, and have said why
        sys.stderr.write("simulating as Python, which is slower\n")


if __name__ == "__main__":
    main()
