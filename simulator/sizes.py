"""Bytes of messages (until wire has it)."""

from multicastmw.wire.mesh import Find, Graft, Have, MeshMessage, Nack, Peers, Prune

HEADER = 8


def size(message: MeshMessage) -> int:
    kind = type(message)
    if kind is Have:
        n = HEADER
        for held in message.streams:
            n += (12 if type(held.stream) is int else 28) + 8 + 12 + 12 * len(held.missing)
            if held.beacon:
                n += 4 + 4 * len(held.beacon.path) + 8 + 12
        return n
    if kind is Nack:
        return HEADER + 28 + 12 * len(message.missing)
    if kind is Graft:
        return HEADER + 20 + 28 + 12 + 12 * len(message.missing)
    if kind is Prune:
        return HEADER + 20 + 28 + 8 + 8 + 36 * len(message.alternatives)
    if kind is Peers:
        return HEADER + 20 + 8 + 36 * len(message.samples)
    return HEADER + 20 + 8 + 8 + 36 * len(message.samples) + 36 * len(message.live)
