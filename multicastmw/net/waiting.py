"""Reads what has come already, out of the reactor's turn."""

import select

from twisted.internet.interfaces import IReadDescriptor

# What we chose.
BATCHES = 16  # of 64 packets: what comes faster than it is read is left


def take_waiting(reader: IReadDescriptor, batches: int = BATCHES) -> bool:
    """Until nothing waits, as far as that is not for ever.  True: something may wait yet."""
    poll = select.poll()
    poll.register(reader.fileno(), select.POLLIN)
    for _ in range(batches):
        found = poll.poll(0)
        if not found or not found[0][1] & select.POLLIN:  # nothing, or it was closed meanwhile
            return False
        reader.doRead()
    return True
