"""The erasure code: Reed-Solomon over GF(256), systematic, by a Cauchy matrix (docs/protocol.rst, "Parity").

A block has symbols, each at a place of its own, and rows of parity.  Row j is the sum of all symbols, that
at place i times

    c(j, i) = (x_0 + y_i) / (x_j + y_i),     x_j = 64 + j,  y_i = i

Every square part of such a matrix has an inverse: so any m rows give back any m symbols.  Row 0 is the plain
sum: with one row the code is XOR.  A sum is an XOR of whole numbers, a product by one factor is a translation
of bytes, so Python does a packet and a row at a time, and nothing byte by byte.
"""

from collections.abc import Mapping, Sequence
from functools import cache

from multicastmw.wire.parity import PLACES

# What the specification says.
POLYNOMIAL = 0x11D  # x^8 + x^4 + x^3 + x^2 + 1; 2 generates the field

_POWERS: list[int] = []
_LOGARITHMS = [0] * 256
_power = 1
for _exponent in range(255):
    _POWERS.append(_power)
    _LOGARITHMS[_power] = _exponent
    _power = _power << 1 ^ (POLYNOMIAL if _power & 0x80 else 0)


def product(one: int, other: int) -> int:
    if not one or not other:
        return 0
    return _POWERS[(_LOGARITHMS[one] + _LOGARITHMS[other]) % 255]


def inverse(number: int) -> int:
    """Raises ZeroDivisionError for 0."""
    if not number:
        raise ZeroDivisionError("0 has no inverse")
    return _POWERS[-_LOGARITHMS[number] % 255]


def factor(row: int, place: int) -> int:
    """c(j, i) above."""
    return product(PLACES ^ place, inverse(PLACES + row ^ place))


@cache
def times(number: int) -> bytes:
    """The table that multiplies bytes by it."""
    return bytes(product(number, each) for each in range(256))


@cache
def tables(row: int) -> tuple[bytes, ...]:
    """Of each place of a row."""
    return tuple(times(factor(row, place)) for place in range(PLACES))


def add(sums: list[int], place: int, symbol: bytes) -> None:
    """Adds a symbol to all rows; what is shorter than others is as if zeros followed."""
    sums[0] ^= int.from_bytes(symbol, "little")
    for row in range(1, len(sums)):
        sums[row] ^= int.from_bytes(symbol.translate(tables(row)[place]), "little")


def rebuilt(
    parity: Mapping[int, bytes], present: Mapping[int, bytes], missing: Sequence[int]
) -> dict[int, bytes]:
    """The symbols at the missing places, as long as the parity is.

    `parity` is by row and `present` by place; there are as many rows as missing places, or more.
    """
    rows = sorted(parity)[: len(missing)]
    size = len(parity[rows[0]])
    lacks = [int.from_bytes(parity[row], "little") for row in rows]
    for place, symbol in present.items():
        for index, row in enumerate(rows):
            scaled = symbol.translate(tables(row)[place]) if row else symbol
            lacks[index] ^= int.from_bytes(scaled, "little")
    known = [lack.to_bytes(size, "little") for lack in lacks]
    found = {}
    for place, line in zip(missing, inverted([[factor(r, p) for p in missing] for r in rows]), strict=True):
        total = 0
        for number, each in zip(line, known, strict=True):
            total ^= int.from_bytes(each.translate(times(number)), "little")
        found[place] = total.to_bytes(size, "little")
    return found


def inverted(matrix: list[list[int]]) -> list[list[int]]:
    """By elimination (Gauss and Jordan); raises StopIteration where there is no inverse."""
    size = len(matrix)
    wide = [line + [int(i == j) for j in range(size)] for i, line in enumerate(matrix)]
    for column in range(size):
        pivot = next(i for i in range(column, size) if wide[i][column])
        wide[column], wide[pivot] = wide[pivot], wide[column]
        by = times(inverse(wide[column][column]))
        wide[column] = [by[each] for each in wide[column]]
        for i in range(size):
            if i != column and (by := times(wide[i][column])) != times(0):
                wide[i] = [one ^ by[other] for one, other in zip(wide[i], wide[column], strict=True)]
    return [line[size:] for line in wide]
