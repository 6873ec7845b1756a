"""An object file becomes maps and programs in the kernel."""

import ctypes
import os
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.resources import files
from struct import Struct, pack, pack_into, unpack_from
from typing import NamedTuple

from multicastmw.net.bpf.elf import INSTRUCTION, ObjectFile, Program
from multicastmw.net.bpf.kernel import (
    BTF_LOAD,
    PROG_LOAD,
    PROG_TEST_RUN,
    NoFastPath,
    bpf,
    bpf_answer,
    refused,
)
from multicastmw.net.bpf.maps import Map

OBJECT = "fastpath.bpf.o"

SCHED_CLS = 3  # a tc program
LOG_SIZE = 8 << 20
LOG_ALL, LOG_STATISTICS = 1, 4
PSEUDO_MAP = 1
LINE_MAX = 200  # of the verifier's words, in a line of ours

# union bpf_attr, up to the last field that is used
PROGRAM = Struct("<IIQQIIQII16sIIIIQIIQI4x")
TEST = Struct("<IIIIQQIIIIQQIII4x")


class Run(NamedTuple):
    """What a program made of a frame that it was only shown; `nanoseconds` are a run's, on average."""

    verdict: int
    frame: bytes
    context: bytes
    nanoseconds: int


class LoadedProgram:
    """A program in the kernel: it stays while it is open, or attached."""

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self.descriptor = descriptor

    def close(self) -> None:
        os.close(self.descriptor)

    def run(self, frame: bytes, context: bytes = b"", repeat: int = 1) -> Run:
        """Shows it a frame (BPF_PROG_TEST_RUN): clones are really sent, the last redirect is not done.

        `context` is a struct __sk_buff, of which the kernel takes some fields.  Raises OSError.
        """
        blocks = [ctypes.create_string_buffer(size) for size in (len(frame), len(frame) + 4096)]
        contexts = [ctypes.create_string_buffer(max(1, len(context))) for _ in range(2)]
        blocks[0].raw = frame
        contexts[0].raw = context or b"\0"
        where = [ctypes.addressof(block) for block in blocks]
        whence = [ctypes.addressof(block) if context else 0 for block in contexts]
        size = len(context)
        told = TEST.pack(
            self.descriptor, 0, len(frame), len(blocks[1]), *where, repeat, 0, size, size, *whence, 0, 0, 0
        )
        answer = bpf_answer(PROG_TEST_RUN, told)
        verdict, _, length = unpack_from("<iII", answer, 4)
        (nanoseconds,) = unpack_from("<I", answer, 36)
        return Run(verdict, blocks[1].raw[:length], contexts[1].raw[:size], nanoseconds)


class Loaded:
    """All maps and programs of an object, by name, until they are closed."""

    def __init__(self, maps: dict[str, Map], programs: dict[str, LoadedProgram]) -> None:
        self.maps = maps
        self.programs = programs

    def close(self) -> None:
        """Attached programs, and the maps that they use, stay in the kernel."""
        for program in self.programs.values():
            program.close()
        for table in self.maps.values():
            table.close()


def shipped_object() -> bytes:
    """The program that came with the package; raises NoFastPath where it was installed without."""
    try:
        return (files("multicastmw.ebpf") / OBJECT).read_bytes()
    except OSError as error:
        raise NoFastPath(
            "this installation came without the kernel's program; wheels have it, and an installation from "
            "source has it where clang is"
        ) from error


def load(data: bytes, entries: Mapping[str, int] | None = None) -> Loaded:
    """Everything in an object file; raises NoFastPath, and then nothing stays.

    `entries` says of maps by name how many entries they have, where that is not as in the file.
    """
    found = ObjectFile(data)
    with ExitStack() as undo:
        btf = _load_btf(found.btf)
        undo.callback(os.close, btf)  # programs keep it
        maps: dict[str, Map] = {}
        programs: dict[str, LoadedProgram] = {}
        loaded = Loaded(maps, programs)
        with ExitStack() as failed:
            failed.callback(loaded.close)
            for name, shape in found.maps.items():
                places = (entries or {}).get(name, shape.entries)
                maps[name] = Map(name, shape._replace(entries=places))
            for program in found.programs:
                programs[program.name] = _load_program(program, maps, btf, found.license)
            failed.pop_all()
    return loaded


def verifier_statistics(data: bytes) -> dict[str, str]:
    """What the verifier says of its work, by program ("processed 1234 insns ...")."""
    found, lines = ObjectFile(data), {}
    loaded = load(data)
    btf = _load_btf(found.btf)
    try:
        for program in found.programs:
            code, keep = _attributes(program, loaded.maps, btf, found.license, LOG_STATISTICS)
            os.close(bpf(PROG_LOAD, code))
            lines[program.name] = next(line for line in _log(keep) if line.startswith("processed"))
    finally:
        os.close(btf)
        loaded.close()
    return lines


def _load_btf(btf: bytes) -> int:
    block = ctypes.create_string_buffer(btf, len(btf))
    try:
        return bpf(BTF_LOAD, pack("<QQIII4x", ctypes.addressof(block), 0, len(btf), 0, 0))
    except OSError as error:
        raise refused("load the program's types", error) from error


Blocks = list["ctypes.Array[ctypes.c_char]"]


def _attributes(
    program: Program, maps: dict[str, Map], btf: int, licence: str, log_level: int
) -> tuple[bytes, Blocks]:
    """The command's structure, and the memory that it points to; the last of these is the log."""
    code = bytearray(program.code)
    for index, name in program.maps:
        at = index * INSTRUCTION
        code[at + 1] = code[at + 1] & 15 | PSEUDO_MAP << 4
        pack_into("<i", code, at + 4, maps[name].descriptor)
    functions = b"".join(pack("<II", *function) for function in program.functions)
    contents = (bytes(code), licence.encode() + b"\0", functions, bytes(LOG_SIZE if log_level else 0))
    blocks = [ctypes.create_string_buffer(content, len(content)) for content in contents]
    instructions, license_at, functions_at, log = (ctypes.addressof(block) for block in blocks)
    attributes = PROGRAM.pack(
        SCHED_CLS, len(code) // INSTRUCTION, instructions, license_at,
        log_level, LOG_SIZE if log_level else 0, log if log_level else 0,
        0, 0, program.name.encode()[:15], 0, 0,
        btf, 8, functions_at, len(program.functions), 0, 0, 0,
    )  # fmt: skip
    return attributes, blocks


def _load_program(program: Program, maps: dict[str, Map], btf: int, licence: str) -> LoadedProgram:
    attributes, keep = _attributes(program, maps, btf, licence, 0)
    try:
        return LoadedProgram(program.name, bpf(PROG_LOAD, attributes))
    except OSError as error:
        said = _objection(program, maps, btf, licence)
        raise refused(f"load the program {program.name}", error, said) from error
    finally:
        del keep


def _objection(program: Program, maps: dict[str, Map], btf: int, licence: str) -> str:
    """Once more with a log, of which the last line before the statistics says it."""
    attributes, keep = _attributes(program, maps, btf, licence, LOG_ALL)
    try:
        os.close(bpf(PROG_LOAD, attributes))
    except OSError:
        lines = [line for line in _log(keep) if line and not line.startswith(("processed ", "verification "))]
        return f"the verifier says: {lines[-1][:LINE_MAX]}" if lines else ""
    return ""


def _log(blocks: Blocks) -> list[str]:
    return [line.strip() for line in blocks[-1].value.decode(errors="replace").splitlines()]
