"""The process that fuzzes: `python -m tests.fuzz.child ITSELF TARGET [libFuzzer's arguments]`.

ITSELF is the command that libFuzzer starts again what it wants done in another process.

It ends with the process, as libFuzzer does; what it says goes to stderr, and __main__.py reads it.
"""

import sys

import atheris

from tests.fuzz.target import TARGETS, execute, load


def main() -> None:
    del sys.argv[0]
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=["multicastmw", *TARGETS[name].guides]):
        target = load(name)

    def one(data: bytes) -> None:
        execute(target, data)

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


main()
