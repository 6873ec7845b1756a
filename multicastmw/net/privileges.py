"""Root is dropped, and of root's capabilities the node keeps those that its work needs.

`twistd --uid` changes the user when everything is open.  But a TAP that is put down and up again has lost its
routes, one that is deleted has to be made again, and a clean exit takes the routes away: that takes
CAP_NET_ADMIN as long as the node lives.  So the capabilities are held over the change, all but the needed
ones are dropped behind it, and nothing that this process may execute gets any back.

Capabilities are a thread's: this is done before there is another one.
"""

import ctypes
import os
import struct

# What linux/capability.h and linux/prctl.h say.
CAP_NET_BIND_SERVICE, CAP_NET_ADMIN = 10, 12
VERSION_3 = 0x2008_0522
PR_SET_KEEPCAPS, PR_SET_NO_NEW_PRIVS = 8, 38

_LIBC = ctypes.CDLL(None, use_errno=True)


def hold() -> None:
    """The next change of the user costs no permitted capability; raises OSError."""
    _prctl(PR_SET_KEEPCAPS, 1)


def reduce_to(*capabilities: int) -> None:
    """Has these and no others from now on, for good; raises OSError."""
    mask = sum(1 << capability for capability in capabilities)
    low, high = mask & 0xFFFF_FFFF, mask >> 32
    header = struct.pack("Ii", VERSION_3, 0)
    # Effective, permitted, inheritable: the lower 32, then the upper.
    if _LIBC.capset(header, struct.pack("6I", low, low, 0, high, high, 0)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    _prctl(PR_SET_KEEPCAPS, 0)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
