"""Who a node is: its 64-bit id, and the origin that its packets are counted under.

    node id    | SHA-256 of the public key or the name, first 48 bits | 0 (16 bits)    |
    origin     | the same                                             | salt (16 bits) |

The salt is drawn at each start, so that a restarted node's packets are a new count and not duplicates.
"""

from hashlib import sha256

SALT_BITS = 16
SALTS = 1 << SALT_BITS
IDS = 1 << 64


def node_id(who: str | bytes) -> int:
    """The id of a node by its TLS certificate's public key (bytes, DER), else by its name (str, as UTF-8)."""
    digest = sha256(who.encode() if isinstance(who, str) else who).digest()
    return int.from_bytes(digest[:6], "big") << SALT_BITS


def origin(node: int, salt: int) -> int:
    """A running node's origin; raises ValueError where `node` is no node id or the salt has over 16 bits."""
    if node % SALTS or not 0 <= node < IDS:
        raise ValueError(f"{node:#x} is no node id")
    if not 0 <= salt < SALTS:
        raise ValueError(f"salt {salt} has more than 16 bits")
    return node | salt


def node_of(origin: int) -> int:
    """The id of the node that sends under this origin."""
    return origin >> SALT_BITS << SALT_BITS
