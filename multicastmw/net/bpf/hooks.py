"""A program on a device: tcx from kernel 6.6 on, a clsact filter below.

A tcx link is a descriptor of ours, put behind those that are there: it goes when we go, however we go, and
other people's programs never notice.  A filter stays when its maker is killed; so it carries a name, by which
the next start finds and removes it, and the lease in the maps has made it harmless before.

tcx comes before all filters.  Where other people's filters are, ours is one, too, behind them: a meter or a
firewall there goes on seeing everything.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from errno import EINVAL, ENODEV, ENOENT, EOPNOTSUPP
from struct import pack
from typing import Any

from multicastmw.net.bpf.kernel import LINK_CREATE, NoFastPath, bpf, refused
from multicastmw.net.bpf.loading import LoadedProgram
from multicastmw.net.netlink import kernel_says

INGRESS, EGRESS = "ingress", "egress"

TCX = {INGRESS: 46, EGRESS: 47}
PARENTS = {INGRESS: 0xFFFFFFF2, EGRESS: 0xFFFFFFF3}
CLSACT = "clsact"

# What we chose.
PRIORITY = 0xFFF0  # of our filters: behind those that name none, which the kernel counts down from 0xc000
PREFIX = "mcmw:"
NAME_MAX = 60


class Hook:
    """An attached program, until `detach`; `way` is "tcx" or "clsact"."""

    def __init__(self, way: str, device: int, detach: Callable[[], None]) -> None:
        self.way = way
        self.device = device
        self.detach = detach


def attach(program: LoadedProgram, device: int, direction: str, owner: str, way: str = "") -> Hook:
    """Attaches to the device with that index; `owner` names the node on this host, for its filters.

    `way` forces "tcx" or "clsact".  Raises NoFastPath.
    """
    parent = PARENTS[direction]
    try:
        if way != CLSACT and (way or not _has_others_filters(device, parent)):
            try:
                return _attach_tcx(program, device, direction)
            except OSError as error:
                if way or error.errno != EINVAL:
                    raise
        return _attach_filter(program, device, parent, filter_name(owner))
    except OSError as error:
        raise _not_attached(direction, error) from error


def filter_name(owner: str) -> str:
    """What our filters are called."""
    return f"{PREFIX}{owner}"[:NAME_MAX]


def remove_leftovers(device: int, owner: str) -> int:
    """Takes away the filters that a killed node of this owner left on the device; gives their number.

    Raises NoFastPath.
    """
    removed = 0
    try:
        with _tc() as route:
            for parent in PARENTS.values():
                removed += _remove(route, device, parent, filter_name(owner))
    except OSError as error:
        raise refused("look for what an earlier node left", error) from error
    return removed


def _attach_tcx(program: LoadedProgram, device: int, direction: str) -> Hook:
    # struct link_create: program, device, attach type, flags; relative to nothing: behind all others.
    told = pack("<IIIIIIQ", program.descriptor, device, TCX[direction], 0, 0, 0, 0)
    link = bpf(LINK_CREATE, told)
    return Hook("tcx", device, lambda: os.close(link))


def _not_attached(direction: str, error: OSError) -> NoFastPath:
    if error.errno == ENODEV:
        return NoFastPath("cannot attach the program: the device is gone")
    return refused(f"attach the program ({direction})", error)


@contextmanager
def _tc() -> Iterator[Any]:
    """Raises OSError with the kernel's errno."""
    from pyroute2 import IPRoute

    with kernel_says(), IPRoute() as route:
        yield route


def _attach_filter(program: LoadedProgram, device: int, parent: int, name: str) -> Hook:
    with _tc() as route:
        with suppress(FileExistsError), kernel_says():
            route.tc("add", CLSACT, device)
        route.tc(
            "add-filter", "bpf", device, parent=parent, prio=PRIORITY, fd=program.descriptor, name=name,
            direct_action=True, classid=1, protocol=0x0003,
        )  # fmt: skip
    return Hook(CLSACT, device, lambda: _detach_filter(device, parent, name))


def _detach_filter(device: int, parent: int, name: str) -> None:
    with suppress(OSError), _tc() as route:
        _remove(route, device, parent, name)


def _remove(route: Any, device: int, parent: int, name: str) -> int:
    places = [place for found, place in _filters(route, device, parent) if found == name]
    for place in places:
        route.tc("del-filter", "bpf", device, parent=parent, **place)
    return len(places)


def _has_others_filters(device: int, parent: int) -> bool:
    with _tc() as route:
        return any(not name.startswith(PREFIX) for name, _ in _filters(route, device, parent))


def _filters(route: Any, device: int, parent: int) -> list[tuple[str, dict[str, int]]]:
    """Their names, and how to name them to the kernel; only programs have a name."""
    try:
        with kernel_says():
            entries = [entry for entry in route.get_filters(index=device, parent=parent) if entry["handle"]]
    except OSError as error:
        if error.errno in (ENOENT, EINVAL, ENODEV, EOPNOTSUPP):
            return []  # no clsact there, or no such thing in this kernel
        raise
    found = []
    for entry in entries:
        options = entry.get_attr("TCA_OPTIONS")
        named = options.get_attr("TCA_BPF_NAME") if hasattr(options, "get_attr") else None
        name = named.decode(errors="replace") if isinstance(named, bytes) else str(named or "")
        found.append((name, {"handle": entry["handle"], "info": entry["info"]}))
    return found
