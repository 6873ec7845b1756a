"""Who on the LAN wants each group: for people, who want to see the hosts behind a gateway by their addresses.

Nothing is decided by it: a group is wanted while its timers run (igmp_group.py), whoever reported.  A host is
known from its report until it leaves, or has been silent for as long as a membership lasts.
"""

# What we chose: hosts of all groups together, some 100 bytes each; of a group with more than are kept, the
# number that is shown is too low, and a counter says so.
HOSTS_MAX = 16_384


class Reporters:
    """Hosts by group, with the time until which each is believed to be there."""

    def __init__(self) -> None:
        self._hosts: dict[int, dict[int, float]] = {}
        self._kept = 0

    def heard(self, group: int, host: int, until: float) -> bool:
        """The host wants something of the group; False where there is no room to remember it."""
        hosts = self._hosts.get(group)
        if hosts is None:
            hosts = self._hosts[group] = {}
        if host not in hosts:
            if self._kept >= HOSTS_MAX:
                if not hosts:
                    del self._hosts[group]
                return False
            self._kept += 1
        hosts[host] = until
        return True

    def left(self, group: int, host: int) -> None:
        if self._hosts.get(group, {}).pop(host, None) is not None:
            self._kept -= 1

    def forget(self, group: int) -> None:
        self._kept -= len(self._hosts.pop(group, ()))

    def expire(self, group: int, now: float) -> None:
        """Drops those of a group that fell silent."""
        hosts = self._hosts.get(group, {})
        for host in [host for host, until in hosts.items() if until <= now]:
            del hosts[host]
            self._kept -= 1

    def clear(self) -> None:
        self._hosts.clear()
        self._kept = 0

    def of(self, group: int, now: float) -> list[int]:
        """Their addresses, in order."""
        return sorted(host for host, until in self._hosts.get(group, {}).items() if until > now)
