"""The object file that clang made: ELF64, little-endian, for BPF.

A program is a section with one function; what it calls, or hands to a helper as a callback, stands in .text
and is put behind it, as the kernel takes one piece of code.  Three kinds of relocations are all there are:

    R_BPF_64_64 to a map             the instruction loads the map's descriptor (at load time)
    R_BPF_64_64 to .text             it loads a callback's place, relative to the instruction
    R_BPF_64_32, call                the same for a call

Maps are `struct map` in the section "maps".  Of the type information (.BTF) clang leaves the sizes of
sections and the places in them open; the kernel wants both.
"""

from collections.abc import Iterator
from struct import Struct, error, pack_into, unpack_from
from typing import NamedTuple

from multicastmw.net.bpf.kernel import NoFastPath

EM_BPF = 247
SYMTAB, REL = 2, 9
INSTRUCTION = 8
LOAD_IMM64, CALL = 0x18, 0x85
PSEUDO_CALL, PSEUDO_FUNC = 1, 4
STT_FUNC, STT_SECTION = 2, 3

SECTION = Struct("<IIQQQQIIQQ")
SYMBOL = Struct("<IBBHQQ")
RELOCATION = Struct("<QQ")
MAP = Struct("<5I")

BTF_MAGIC = 0xEB9F
KIND_DATASEC = 15
# Bytes behind a type's 12, by kind: so many, and so many for each member.
BTF_TAILS = {1: (4, 0), 3: (12, 0), 4: (0, 12), 5: (0, 12), 6: (0, 8), 13: (0, 8), 14: (4, 0), 15: (0, 12),
             17: (4, 0), 19: (0, 12)}  # fmt: skip


class MapShape(NamedTuple):
    """What a map is created from; sizes in bytes."""

    kind: int
    key_size: int
    value_size: int
    entries: int
    flags: int


class Section(NamedTuple):
    name: str
    kind: int
    info: int
    data: bytes


class Symbol(NamedTuple):
    name: str
    kind: int
    section: int
    value: int
    size: int


class Program(NamedTuple):
    """`code` with what it calls; `maps`: instruction index and the name of the map whose descriptor goes
    there; `functions`: instruction index and type, as the kernel wants to be told."""

    name: str
    code: bytes
    maps: list[tuple[int, str]]
    functions: list[tuple[int, int]]


class ObjectFile:
    """A parsed object file; raises NoFastPath where it is none."""

    def __init__(self, data: bytes) -> None:
        try:
            self._sections = list(_sections(data))
            self._symbols = list(self._read_symbols())
            self.license = self._named("license").data.rstrip(b"\0").decode()
            self.maps = dict(self._read_maps())
            self._places = self._read_function_info()
            self.btf = self._mended_btf()
            self.programs = [
                self._linked(number)
                for number, section in enumerate(self._sections)
                if section.kind == 1 and section.name != ".text" and self._function_at(number, 0)
            ]
        except (error, IndexError, KeyError, OverflowError, ValueError) as problem:
            raise NoFastPath(f"the program's object file is damaged: {problem!r}") from problem

    def _named(self, name: str) -> Section:
        return _first((section for section in self._sections if section.name == name), f"section {name}")

    def _read_symbols(self) -> Iterator[Symbol]:
        table = _first((section for section in self._sections if section.kind == SYMTAB), "symbols")
        strings = self._named(".strtab").data
        for at, info, _, section, value, size in SYMBOL.iter_unpack(table.data):
            yield Symbol(_text(strings, at), info & 15, section, value, size)

    def _read_maps(self) -> Iterator[tuple[str, MapShape]]:
        place = self._sections.index(self._named("maps"))
        for symbol in self._symbols:
            if symbol.section == place and symbol.kind != STT_SECTION:
                yield symbol.name, MapShape._make(MAP.unpack_from(self._sections[place].data, symbol.value))

    # --- programs

    def _function_at(self, section: int, place: int) -> Symbol | None:
        found = (s for s in self._symbols if (s.kind, s.section, s.value) == (STT_FUNC, section, place))
        return next(found, None)

    def _relocations(self, section: int, piece: Symbol) -> Iterator[tuple[int, Symbol]]:
        for candidate in self._sections:
            if candidate.kind == REL and candidate.info == section:
                for place, info in RELOCATION.iter_unpack(candidate.data):
                    if piece.value <= place < piece.value + piece.size:
                        yield place - piece.value, self._symbols[info >> 32]

    def _linked(self, number: int) -> Program:
        entry = self._function_at(number, 0)
        assert entry is not None  # whoever calls has looked
        code, maps = bytearray(), []
        starts: dict[Symbol, int] = {}
        waiting = [entry]
        uses: list[tuple[int, Symbol]] = []
        while waiting:
            piece = waiting.pop()
            if piece in starts:
                continue
            start = starts[piece] = len(code)
            code += self._sections[piece.section].data[piece.value : piece.value + piece.size]
            for place, symbol in self._relocations(piece.section, piece):
                at = start + place
                if symbol.name in self.maps and symbol.kind != STT_SECTION:
                    maps.append((at // INSTRUCTION, symbol.name))
                else:
                    wanted = self._function_used(code, at, symbol)
                    uses.append((at, wanted))
                    waiting.append(wanted)
        for at, wanted in uses:
            _point(code, at, starts[wanted])
        functions = sorted(
            (start // INSTRUCTION, self._places[self._sections[piece.section].name, piece.value])
            for piece, start in starts.items()
        )
        return Program(entry.name, bytes(code), maps, functions)

    def _function_used(self, code: bytearray, at: int, symbol: Symbol) -> Symbol:
        (immediate,) = unpack_from("<i", code, at + 4)
        within = (immediate + 1) * INSTRUCTION if code[at] == CALL else immediate
        found = self._function_at(symbol.section, symbol.value + within)
        if found is None:
            raise ValueError(f"no function at {symbol.value + within} of {symbol.name or symbol.section}")
        return found

    # --- type information

    def _read_function_info(self) -> dict[tuple[str, int], int]:
        """(section, place in it) to the type of the function there (.BTF.ext)."""
        data, strings = self._named(".BTF.ext").data, self._btf_strings()
        (header,) = unpack_from("<I", data, 4)
        at, length = unpack_from("<II", data, 8)
        at += header
        end = at + length
        (record,) = unpack_from("<I", data, at)
        at += 4
        found = {}
        while at < end:
            name, count = unpack_from("<II", data, at)
            at += 8
            for _ in range(count):
                place, kind = unpack_from("<II", data, at)
                found[_text(strings, name), place] = kind
                at += record
        return found

    def _btf_strings(self) -> bytes:
        data = self._named(".BTF").data
        header, _, _, strings, size = unpack_from("<5I", data, 4)
        return data[header + strings : header + strings + size]

    def _mended_btf(self) -> bytes:
        data, strings = bytearray(self._named(".BTF").data), self._btf_strings()
        magic, _, _, header, start, size = unpack_from("<HBBIII", data)
        if magic != BTF_MAGIC:
            raise ValueError("no type information")
        values = {symbol.name: symbol.value for symbol in self._symbols if symbol.kind != STT_SECTION}
        names: dict[int, str] = {}
        at, end, number = header + start, header + start + size, 0
        while at < end:
            number += 1
            name, info, _ = unpack_from("<III", data, at)
            kind, members = info >> 24 & 31, info & 0xFFFF
            names[number] = _text(strings, name)
            if kind == KIND_DATASEC:
                pack_into("<I", data, at + 8, len(self._named(names[number]).data))
                self._mend_section(data, at + 12, members, values, names)
            fixed, each = BTF_TAILS.get(kind, (0, 0))
            at += 12 + fixed + each * members
        return bytes(data)

    @staticmethod
    def _mend_section(
        data: bytearray, at: int, members: int, values: dict[str, int], names: dict[int, str]
    ) -> None:
        """Where each variable of a section stands; the kernel wants them in that order."""
        end = at + 12 * members
        found = [unpack_from("<III", data, place) for place in range(at, end, 12)]
        found = sorted((values[names[kind]], kind, size) for kind, _, size in found)
        for place, (value, kind, size) in zip(range(at, end, 12), found, strict=True):
            pack_into("<III", data, place, kind, value, size)


def _point(code: bytearray, at: int, function: int) -> None:
    """The instruction at `at` means the function that begins at `function`; both are bytes."""
    pack_into("<i", code, at + 4, (function - at) // INSTRUCTION - 1)
    source = PSEUDO_CALL if code[at] == CALL else PSEUDO_FUNC
    code[at + 1] = code[at + 1] & 15 | source << 4


def _sections(data: bytes) -> Iterator[Section]:
    if data[:6] != b"\x7fELF\x02\x01" or unpack_from("<H", data, 18)[0] != EM_BPF:
        raise ValueError("not an ELF64 file for BPF")
    (start,) = unpack_from("<Q", data, 40)
    size, count, names_at = unpack_from("<HHH", data, 58)
    headers = [SECTION.unpack_from(data, start + number * size) for number in range(count)]
    names = data[headers[names_at][4] :]
    for name, kind, _, _, at, length, _, info, _, _ in headers:
        yield Section(_text(names, name), kind, info, data[at : at + length])


def _first(found: Iterator[Section], what: str) -> Section:
    section = next(found, None)
    if section is None:
        raise ValueError(f"no {what}")
    return section


def _text(strings: bytes, at: int) -> str:
    return strings[at : strings.index(b"\0", at)].decode()
