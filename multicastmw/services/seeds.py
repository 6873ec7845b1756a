"""What DNS says of a mesh's seeds: srv:NAME stands for the targets of _mcmw._tcp.NAME (RFC 2782)."""

from random import Random
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, TimeoutError
from twisted.python.failure import Failure

from multicastmw.endpoints import is_host

# What we chose.
TARGETS_MAX = 8  # of one name
PATIENCE = 1, 3  # seconds for an answer, and for the second question


class Target(NamedTuple):
    """Where a seed is; as text it is as one writes it, an IPv6 address in brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class NoTargets(Exception):
    """DNS names nobody; says why."""


def service(name: str) -> str:
    return f"_mcmw._tcp.{name}"


def look_up(name: str, rng: Random) -> "Deferred[list[Target]]":
    """Its targets in the order to try them in: by priority, and at random among those of one.

    Fails with NoTargets.
    """
    from twisted.names import client

    asked: Deferred[Any] = client.lookupService(service(name), timeout=PATIENCE)
    return asked.addCallbacks(
        lambda answer: _ordered(name, answer[0], rng), lambda failure: _none(name, failure)
    )


def _ordered(name: str, records: Any, rng: Random) -> list[Target]:
    from twisted.names import dns

    found: list[tuple[int, float, Target]] = []
    for record in records:
        if record.type != dns.SRV or len(found) == TARGETS_MAX:
            continue
        said = record.payload
        host = said.target.name.decode("ascii", "replace").rstrip(".")
        if is_host(host) and said.port:  # a target of "." says that there is no such service
            found.append((said.priority, rng.random(), Target(host, said.port)))
    if not found:
        raise NoTargets(f"DNS names no host for {service(name)}")
    return [target for _, _, target in sorted(found)]


def _none(name: str, failure: Failure) -> "list[Target]":
    from twisted.names.error import DomainError

    if failure.check(TimeoutError):
        raise NoTargets("no DNS server answers")
    if failure.check(DomainError):
        raise NoTargets(f"DNS knows no {service(name)}")
    raise NoTargets(f"DNS fails: {failure.getErrorMessage() or type(failure.value).__name__}")
