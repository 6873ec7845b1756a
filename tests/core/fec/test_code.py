"""The erasure code, against its definition and by all that it promises."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.fec.code import add, factor, inverse, inverted, product, rebuilt, times
from multicastmw.wire.parity import PLACES, ROWS


def slow_product(one: int, other: int) -> int:
    """Polynomials over GF(2), modulo x^8 + x^4 + x^3 + x^2 + 1."""
    total = 0
    for bit in range(8):
        if other >> bit & 1:
            total ^= one << bit
    for bit in range(14, 7, -1):
        if total >> bit & 1:
            total ^= 0x11D << (bit - 8)
    return total


def parity_of(symbols: dict[int, bytes], rows: int) -> dict[int, bytes]:
    sums = [0] * rows
    for place, symbol in symbols.items():
        add(sums, place, symbol)
    size = max(map(len, symbols.values()))
    return {row: total.to_bytes(size, "little") for row, total in enumerate(sums)}


class FieldTests(SynchronousTestCase):
    def test_products_are_those_of_polynomials(self):
        for one in range(256):
            self.assertEqual([slow_product(one, other) for other in range(256)], list(times(one)))

    def test_every_number_but_0_has_an_inverse(self):
        self.assertEqual({product(each, inverse(each)) for each in range(1, 256)}, {1})
        self.assertRaises(ZeroDivisionError, inverse, 0)

    def test_the_first_row_is_a_plain_sum(self):
        self.assertEqual({factor(0, place) for place in range(PLACES)}, {1})

    @given(
        st.sets(st.integers(0, ROWS - 1), min_size=1, max_size=ROWS),
        st.permutations(range(PLACES)),
    )
    @settings(max_examples=100)
    def test_every_square_part_of_the_matrix_has_an_inverse(self, rows, places):
        places = places[: len(rows)]
        matrix = [[factor(row, place) for place in places] for row in rows]
        back = inverted(matrix)
        for i, line in enumerate(matrix):
            for j in range(len(rows)):
                total = 0
                for k, number in enumerate(line):
                    total ^= product(number, back[k][j])
                self.assertEqual(total, int(i == j))


class CodeTests(SynchronousTestCase):
    def test_a_row_is_the_sum_of_products(self):
        symbols = {3: b"\x01\x02", 7: b"\x80", 63: b"\xff\xff\xff"}
        for row, found in parity_of(symbols, ROWS).items():
            expected = [0, 0, 0]
            for place, symbol in symbols.items():
                for at, byte in enumerate(symbol):
                    expected[at] ^= slow_product(byte, factor(row, place))
            self.assertEqual(list(found), expected)

    @given(st.data())
    @settings(max_examples=200)
    def test_as_many_rows_as_symbols_are_missing_give_them_back(self, data):
        places = data.draw(st.sets(st.integers(0, PLACES - 1), min_size=1, max_size=PLACES))
        symbols = {place: data.draw(st.binary(min_size=1, max_size=40)) for place in sorted(places)}
        missing = data.draw(st.sets(st.sampled_from(sorted(places)), min_size=1, max_size=ROWS))
        parity = parity_of(symbols, ROWS)
        left = data.draw(st.sets(st.sampled_from(range(ROWS)), min_size=len(missing)))
        found = rebuilt(
            {row: parity[row] for row in left},
            {place: symbol for place, symbol in symbols.items() if place not in missing},
            sorted(missing),
        )
        size = len(parity[0])
        self.assertEqual(found, {place: symbols[place].ljust(size, b"\0") for place in missing})
