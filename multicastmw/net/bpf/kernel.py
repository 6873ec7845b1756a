"""The bpf(2) system call, and what its refusals mean.

Every command takes a structure (linux/bpf.h, union bpf_attr), zeroed beyond what it has.
"""

import ctypes
import os
import platform
from errno import E2BIG, EACCES, EINVAL, ENOSYS, EPERM

# The call's number: it differs from machine to machine.
NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "loongarch64": 280, "ppc64le": 361}

MAP_CREATE, MAP_LOOKUP, MAP_UPDATE, MAP_DELETE, MAP_NEXT_KEY, PROG_LOAD = range(6)
PROG_TEST_RUN, BTF_LOAD = 10, 18
MAP_LOOKUP_BATCH, MAP_UPDATE_BATCH = 24, 26
LINK_CREATE = 28

# linux/capability.h
CAPABILITIES = {12: "CAP_NET_ADMIN", 38: "CAP_PERFMON", 39: "CAP_BPF"}
SYS_ADMIN = 21

OLDEST = "5.19"  # bpf_loop is in 5.17; from 5.19 on maps are written without CAP_BPF

_libc = ctypes.CDLL(None, use_errno=True)


class NoFastPath(Exception):
    """Why there is no fast path, in one line."""


def bpf(command: int, attributes: bytes) -> int:
    """The raw call; raises OSError."""
    return _called(command, ctypes.create_string_buffer(attributes, len(attributes)))


def bpf_answer(command: int, attributes: bytes) -> bytes:
    """The same for a command that answers in its attributes."""
    block = ctypes.create_string_buffer(attributes, len(attributes))
    _called(command, block)
    return block.raw


def _called(command: int, block: "ctypes.Array[ctypes.c_char]") -> int:
    number = NUMBERS.get(platform.machine())
    if number is None:
        raise OSError(ENOSYS, f"bpf(2) is not known on {platform.machine()}")
    result = _libc.syscall(number, command, block, len(block))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


def effective_capabilities(whose: str = "thread-self") -> int:
    """As bits; `whose` is a process id.  Raises OSError."""
    with open(f"/proc/{whose}/status") as status:
        (effective,) = (int(line.split()[1], 16) for line in status if line.startswith("CapEff"))
    return effective


def missing_capabilities() -> list[str]:
    """Which of those that the fast path takes this process has not."""
    effective = effective_capabilities()
    if effective >> SYS_ADMIN & 1 and effective >> 12 & 1:
        return []
    return [name for bit, name in CAPABILITIES.items() if not effective >> bit & 1]


def refused(doing: str, error: OSError, detail: str = "") -> NoFastPath:
    """The kernel said no to `doing` ("load the program"): what to make of it."""
    if error.errno in (EPERM, EACCES, EINVAL) and (missing := missing_capabilities()):
        return NoFastPath(f"may not {doing}: {', '.join(missing)} missing")
    if error.errno == EPERM:
        return NoFastPath(f"may not {doing}: bpf(2) is forbidden here (a container's filter, or lockdown)")
    if error.errno == ENOSYS:
        return NoFastPath(f"cannot {doing}: this kernel has no bpf(2)")
    if "unknown func" in detail or "invalid func" in detail or (error.errno == E2BIG and not detail):
        return NoFastPath(f"cannot {doing}: kernel {platform.release()} is older than {OLDEST}")
    return NoFastPath(f"cannot {doing}: {detail or error.strerror}")
