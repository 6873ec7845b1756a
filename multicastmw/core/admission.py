"""Which groups a node has to do with: the [groups] allow and deny lists of node.ini.

The longest prefix that holds a group decides, and a tie denies.  So `deny = 239.0.0.0/8` with
`allow = 239.1.0.0/16` leaves one hole in the wall.  A group that no prefix holds is admitted
exactly when nothing is allowed by name.
"""

from collections.abc import Iterable
from ipaddress import IPv4Network


class Admission:
    """The verdict on groups; asked once a new channel, so it keeps no memory of its answers."""

    def __init__(self, allow: Iterable[IPv4Network] = (), deny: Iterable[IPv4Network] = ()) -> None:
        self._unlisted = True
        verdicts: dict[int, dict[int, bool]] = {}
        for network in allow:
            verdicts.setdefault(int(network.netmask), {})[int(network.network_address)] = True
            self._unlisted = False
        for network in deny:  # after the allowed ones: what is in both lists is denied
            verdicts.setdefault(int(network.netmask), {})[int(network.network_address)] = False
        self._by_length = sorted(verdicts.items(), reverse=True)

    def admits(self, group: int) -> bool:
        """Is this IPv4 group (32-bit integer) let through?"""
        for mask, verdicts in self._by_length:
            verdict = verdicts.get(group & mask)
            if verdict is not None:
                return verdict
        return self._unlisted
