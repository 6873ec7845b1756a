"""How many programs of this host have joined a group on a device: /proc/net/igmp.

IGMP tells of the first program alone; the second one's join changes only what the kernel counts as users.
"""

import struct
import sys
from collections.abc import Collection

LISTING = "/proc/net/igmp"

# What we chose: of a host with some 20,000 memberships; what is behind that is not looked at.
READ_MAX = 1 << 20


def users(device: str, groups: Collection[int], listing: str = LISTING) -> dict[int, int]:
    """Users of those of the groups (32-bit integers) that are joined there."""
    try:
        with open(listing) as file:
            lines = file.read(READ_MAX).splitlines()
    except OSError:
        return {}
    wanted = {_as_listed(group): group for group in groups}
    found: dict[int, int] = {}
    here = False
    for line in lines[1:]:
        words = line.split()
        if line[:1].isdigit() and len(words) > 1:
            here = words[1].rstrip(":") == device
        elif here and len(words) > 1 and words[0] in wanted and words[1].isdigit():
            found[wanted[words[0]]] = int(words[1])
    return found


def _as_listed(group: int) -> str:
    """In hexadecimal as it stands in memory: bytes in the machine's order."""
    return f"{int.from_bytes(struct.pack('!I', group), sys.byteorder):08X}"
