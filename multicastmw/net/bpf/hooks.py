"""A program on a device: tcx from kernel 6.6 on, a clsact filter below.

A tcx link is a descriptor of ours, put behind those that are there: it goes when we go, however we go, and
other people's programs never notice.  A filter stays when its maker is killed; so it carries a name, by which
the next start finds and removes it, and the lease in the maps has made it harmless before.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from errno import EEXIST, EINVAL, ENODEV, ENOENT
from struct import pack
from typing import Any

from multicastmw.net.bpf.kernel import LINK_CREATE, NoFastPath, bpf, refused
from multicastmw.net.bpf.loading import LoadedProgram

INGRESS, EGRESS = "ingress", "egress"

TCX = {INGRESS: 46, EGRESS: 47}
PARENTS = {INGRESS: 0xFFFFFFF2, EGRESS: 0xFFFFFFF3}
CLSACT = "clsact"

# What we chose.
PRIORITY = 0x4D43  # of our filters
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
    if way != CLSACT:
        try:
            return _attach_tcx(program, device, direction)
        except OSError as error:
            if way or error.errno != EINVAL:
                raise _not_attached(direction, error) from error
    return _attach_filter(program, device, direction, filter_name(owner))


def filter_name(owner: str) -> str:
    """What our filters are called."""
    return f"mcmw:{owner}"[:NAME_MAX]


def remove_leftovers(device: int, owner: str) -> int:
    """Takes away the filters that a killed node of this owner left on the device; gives their number."""
    removed = 0
    with _tc() as route:
        for parent in PARENTS.values():
            for name, place in _our_filters(route, device, parent):
                if name == filter_name(owner):
                    route.tc("del-filter", "bpf", device, parent=parent, **place)
                    removed += 1
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


def _tc() -> Any:
    from pyroute2 import IPRoute

    return IPRoute()


def _attach_filter(program: LoadedProgram, device: int, direction: str, name: str) -> Hook:
    from pyroute2 import NetlinkError

    parent = PARENTS[direction]
    try:
        with _tc() as route:
            try:
                route.tc("add", CLSACT, device)
            except NetlinkError as error:
                if error.code != EEXIST:
                    raise
            route.tc(
                "add-filter", "bpf", device, parent=parent, prio=PRIORITY, fd=program.descriptor, name=name,
                direct_action=True, classid=1, protocol=0x0003,
            )  # fmt: skip
    except NetlinkError as error:
        raise _not_attached(direction, OSError(error.code, os.strerror(error.code))) from error
    return Hook(CLSACT, device, lambda: _detach_filter(device, parent, name))


def _detach_filter(device: int, parent: int, name: str) -> None:
    from pyroute2 import NetlinkError

    with _tc() as route, suppress(NetlinkError):
        for found, place in _our_filters(route, device, parent):
            if found == name:
                route.tc("del-filter", "bpf", device, parent=parent, **place)


def _our_filters(route: Any, device: int, parent: int) -> list[tuple[str, dict[str, int]]]:
    """Names of the filters at our priority, and how to name them to the kernel."""
    from pyroute2 import NetlinkError

    found = []
    try:
        filters = list(route.get_filters(index=device, parent=parent))
    except NetlinkError as error:
        if error.code in (ENOENT, EINVAL, ENODEV):
            return []  # no clsact there
        raise
    for entry in filters:
        options = entry.get_attr("TCA_OPTIONS")
        name = options.get_attr("TCA_BPF_NAME") if options is not None and entry["handle"] else None
        if name and entry["info"] >> 16 == PRIORITY:
            place = {"handle": entry["handle"], "info": entry["info"]}
            found.append((name.decode() if isinstance(name, bytes) else str(name), place))
    return found
