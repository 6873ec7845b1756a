"""Texts of service information: the character tables of ETSI EN 300 468, annex A.

The first byte says which table the text is in; a byte of 0x20 or above is itself text, in the default table:
ISO/IEC 6937 with a euro sign.  Python has codecs for all but that one, which therefore stands below: its
accents come *before* their letter, where Unicode has them behind it.

    0x20..      ISO/IEC 6937          0x10 0x00 n   ISO/IEC 8859-n     0x14   Big5
    0x01..0x0B  ISO/IEC 8859-5..15    0x11          UCS-2              0x15   UTF-8
                                      0x12          KS X 1001          0x1F  compressed, each in its own way
                                      0x13          GB 2312
"""

from unicodedata import normalize

# Annex A, table A.3; 8 and 0x0C.. are reserved.
FIRST_BYTES = {
    **{byte: f"iso8859-{byte + 4}" for byte in range(0x01, 0x0C) if byte != 0x08},
    0x11: "utf-16-be",
    0x12: "euc_kr",
    0x13: "gb2312",
    0x14: "big5",
    0x15: "utf-8",
}
NUMBERED = 0x10
PARTS_OF_8859 = frozenset(range(1, 16)) - {12}
FIRST_PRINTABLE = 0x20
CONTROLS = frozenset((*range(0x20), *range(0x7F, 0xA0), *range(0xE080, 0xE0A0)))  # also emphasis: A.1

ACCENTS = dict(zip(range(0xC1, 0xD0), "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\0\u030a\u0327\0"
                   "\u030b\u0328\u030c", strict=True))  # fmt: skip
UPPER_HALF = {
    **dict(zip(range(0xA0, 0xC0), "\u00a0¡¢£€¥\0§¤\u2018\u201c«\u2190\u2191\u2192\u2193"
               "°±²³\u00d7µ¶·÷\u2019\u201d»¼½¾¿", strict=True)),
    **dict(zip(range(0xD0, 0xE0), "\u2015¹®©\u2122\u266a¬¦\0\0\0\0\u215b\u215c\u215d\u215e", strict=True)),
    **dict(zip(range(0xE0, 0x100), "\u2126ÆĐªĦ\0ĲĿŁØŒºÞŦŊŉ" "ĸæđðħıĳŀłøœßþŧŋ\u00ad", strict=True)),
}  # fmt: skip
UNKNOWN = "\ufffd"

# What we chose.
LONGEST = 64  # characters of a name that are kept; a descriptor holds up to 250 bytes


def decode(data: bytes) -> str:
    """The text, without control codes and not endless; what cannot be read is U+FFFD, or nothing."""
    if not data:
        return ""
    first = data[0]
    if first >= FIRST_PRINTABLE:
        text = _iso6937(data)
    elif first == NUMBERED:
        part = int.from_bytes(data[1:3], "big")
        text = data[3:].decode(f"iso8859-{part}", "replace") if part in PARTS_OF_8859 else ""
    elif first in FIRST_BYTES:
        text = data[1:].decode(FIRST_BYTES[first], "replace")
    else:
        text = ""
    return "".join(sign for sign in text if ord(sign) not in CONTROLS).strip()[:LONGEST]


def _iso6937(data: bytes) -> str:
    if data.isascii():
        return data.decode("ascii")
    signs: list[str] = []
    accent = ""
    for byte in data:
        if byte in ACCENTS:
            accent = ACCENTS[byte].replace("\0", "")
            continue
        sign = chr(byte) if byte < 0xA0 else UPPER_HALF.get(byte, UNKNOWN).replace("\0", UNKNOWN)
        signs.append(normalize("NFC", sign + accent))
        accent = ""
    return "".join(signs)
