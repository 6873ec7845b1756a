"""Makes the object file: `python compile.py OUTPUT`, with clang and llvm-strip.

Runs before the package is installed, so it imports nothing of it.
"""

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = HERE / "fastpath.c"
# v3 (kernel 5.12): atomic operations that give the old value.
FLAGS = ("-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-Wno-unused-variable")


class NoCompiler(Exception):
    """clang is missing, or it failed; says so in a line."""


def compile_to(output: Path) -> None:
    """Raises NoCompiler."""
    clang = shutil.which("clang")
    if clang is None:
        raise NoCompiler("clang is not installed")
    output.parent.mkdir(parents=True, exist_ok=True)
    nameless = (f"-ffile-prefix-map={HERE}=.", "-fdebug-compilation-dir=.")  # of this machine's folders
    made = subprocess.run(
        [clang, *FLAGS, *nameless, "-c", SOURCE.name, "-o", output],
        cwd=HERE, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode:
        raise NoCompiler(f"clang failed:\n{made.stderr}")
    strip = shutil.which("llvm-strip")
    if strip:  # the debug information that the kernel does not read is nine tenths of the file
        subprocess.run([strip, "-g", output], check=True)


if __name__ == "__main__":
    compile_to(Path(sys.argv[1]).absolute())
