"""One BPF map: get, set, delete; and many at once, where the kernel can."""

import ctypes
import mmap
import os
from collections.abc import Iterable, Mapping
from errno import E2BIG, ENOENT, ENOSPC
from functools import lru_cache
from pathlib import Path
from struct import pack
from typing import Literal

from multicastmw.net.bpf.elf import MapShape
from multicastmw.net.bpf.kernel import (
    MAP_CREATE,
    MAP_DELETE,
    MAP_LOOKUP,
    MAP_LOOKUP_BATCH,
    MAP_NEXT_KEY,
    MAP_UPDATE,
    MAP_UPDATE_BATCH,
    NoFastPath,
    bpf,
    refused,
)

PERCPU_ARRAY = 6
POSSIBLE = Path("/sys/devices/system/cpu/possible")


@lru_cache(1)
def possible_cpus() -> int:
    """How many values a per-CPU entry has: of all CPUs that there may be, not only of those there are.

    Raises NoFastPath.
    """
    try:
        last = POSSIBLE.read_text().strip().split(",")[-1]
    except OSError as error:
        raise NoFastPath(f"{POSSIBLE}: {error.strerror}; is /sys mounted?") from error
    return int(last.split("-")[-1]) + 1


class Map:
    """A map in the kernel, as long as it is open.  Keys and values are bytes of the shape's sizes.

    A per-CPU map's value is read as the values of all CPUs, one behind the other, each rounded up to 8.
    """

    def __init__(self, name: str, shape: MapShape) -> None:
        self.name = name
        self.shape = shape
        sizes = pack("<7I16s", *shape, 0, 0, name.encode()[:15])
        value = shape.value_size
        self._read_size = (value + 7 & ~7) * possible_cpus() if shape.kind == PERCPU_ARRAY else value
        try:
            self.descriptor = bpf(MAP_CREATE, sizes)
        except OSError as error:
            raise refused(f"make the map {name}", error) from error
        self._key = ctypes.create_string_buffer(shape.key_size)
        self._value = ctypes.create_string_buffer(self._read_size)
        self._element = pack("<IIQQQ", self.descriptor, 0, ctypes.addressof(self._key),
                             ctypes.addressof(self._value), 0)  # fmt: skip

    def close(self) -> None:
        """A program that uses the map keeps it."""
        os.close(self.descriptor)

    def get(self, key: bytes) -> bytes | None:
        """The value, None where there is none."""
        self._put(key)
        try:
            bpf(MAP_LOOKUP, self._element)
        except OSError as error:
            if error.errno == ENOENT:
                return None
            raise refused(f"read the map {self.name}", error) from error
        return self._value.raw

    def set(self, key: bytes, value: bytes) -> None:
        """Puts the value there as a whole; raises NoFastPath where the map is full."""
        self._put(key)
        if len(value) != self._read_size:
            raise ValueError(f"{self.name}: a value of {len(value)} bytes, not {self._read_size}")
        self._value.raw = value
        try:
            bpf(MAP_UPDATE, self._element)
        except OSError as error:
            raise self._not_written(error) from error

    def delete(self, key: bytes) -> bool:
        """False where it was not there."""
        self._put(key)
        try:
            bpf(MAP_DELETE, self._element[:16])  # the kernel wants nothing behind the key
        except OSError as error:
            if error.errno == ENOENT:
                return False
            raise refused(f"delete from the map {self.name}", error) from error
        return True

    def keys(self) -> list[bytes]:
        """All keys, as far as nobody changes the map meanwhile."""
        following = ctypes.create_string_buffer(self.shape.key_size)
        place = ctypes.addressof(following)
        found: list[bytes] = []
        while len(found) < self.shape.entries:
            before = ctypes.addressof(self._key) if found else 0
            try:
                bpf(MAP_NEXT_KEY, pack("<IIQQ", self.descriptor, 0, before, place))
            except OSError as error:
                if error.errno == ENOENT:
                    break
                raise refused(f"read the map {self.name}", error) from error
            self._key.raw = following.raw
            found.append(following.raw)
        return found

    def memory(self, numbers: Literal["B", "I", "Q"]) -> "memoryview[int]":
        """An array that may be mapped (BPF_F_MMAPABLE): to read and write without a call.

        `numbers` is what it consists of, by 8, 32 or 64 bits.  Raises NoFastPath.
        """
        size = self.shape.entries * (self.shape.value_size + 7 & ~7)
        try:
            return memoryview(mmap.mmap(self.descriptor, size)).cast(numbers)
        except OSError as error:
            raise refused(f"map the map {self.name} into memory", error) from error

    # --- many at once

    def set_all(self, items: Mapping[bytes, bytes]) -> None:
        """All of these, in their order."""
        keys = self._joined(items, self.shape.key_size)
        values = self._joined(items.values(), self._read_size)
        if not items:
            return
        try:
            self._batch(MAP_UPDATE_BATCH, keys, values, len(items))
        except OSError as error:
            raise self._not_written(error) from error

    def delete_all(self, keys: Iterable[bytes]) -> None:
        """All of these; it does not matter which were there."""
        for key in keys:
            self.delete(key)

    def first(self, count: int) -> list[bytes]:
        """The first `count` values of an array."""
        keys = ctypes.create_string_buffer(count * self.shape.key_size)
        values = ctypes.create_string_buffer(count * self._read_size)
        try:
            self._batch(MAP_LOOKUP_BATCH, keys, values, count)
        except OSError as error:
            if error.errno != ENOENT:  # which says that these were the last ones
                raise refused(f"read the map {self.name}", error) from error
        size, found = self._read_size, values.raw
        return [found[at : at + size] for at in range(0, count * size, size)]

    def _batch(self, command: int, keys: "ctypes.Array[ctypes.c_char]",
               values: "ctypes.Array[ctypes.c_char]", count: int) -> None:  # fmt: skip
        out = ctypes.create_string_buffer(max(8, self.shape.key_size))
        places = (ctypes.addressof(part) for part in (keys, values))
        after = ctypes.addressof(out) if command == MAP_LOOKUP_BATCH else 0
        told = pack("<QQQQIIQQ", 0, after, *places, count, self.descriptor, 0, 0)
        bpf(command, told)

    @staticmethod
    def _joined(parts: Iterable[bytes], size: int) -> "ctypes.Array[ctypes.c_char]":
        joined = b"".join(parts)
        if len(joined) % size:
            raise ValueError(f"{len(joined)} bytes are no multiple of {size}")
        return ctypes.create_string_buffer(joined, max(1, len(joined)))

    def _put(self, key: bytes) -> None:
        if len(key) != self.shape.key_size:
            raise ValueError(f"{self.name}: a key of {len(key)} bytes, not {self.shape.key_size}")
        self._key.raw = key

    def _not_written(self, error: OSError) -> NoFastPath:
        if error.errno in (E2BIG, ENOSPC):
            return NoFastPath(f"the map {self.name} is full: {self.shape.entries} entries")
        return refused(f"write the map {self.name}", error)
