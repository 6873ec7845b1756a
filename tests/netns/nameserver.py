"""A DNS server for tests, of a zone in JSON: `python nameserver.py ADDRESS JSON`.

{"_mcmw._tcp.example.net": [[priority, weight, port, target], ...], "b.example.net": "10.99.2.2", ...}
What the zone has not does not exist (NXDOMAIN); with "silent" in the zone nothing is answered.  It says
"ready" when it listens.
"""

import json
import sys
from typing import Any

from twisted.internet import defer, reactor
from twisted.names import dns, error, server

PORT = 53


class Zone:
    """What DNS is asked by a node and by its C library."""

    def __init__(self, names: dict[str, Any]) -> None:
        self._names = names

    def query(self, query: Any, timeout: Any = None) -> Any:
        if "silent" in self._names:
            return defer.Deferred()
        name = query.name.name.decode().lower().rstrip(".")
        if name not in self._names:
            return defer.fail(error.AuthoritativeDomainError(name))
        return defer.succeed((self._records(query, name, self._names[name]), [], []))

    def _records(self, query: Any, name: str, held: Any) -> list[Any]:
        if isinstance(held, str):
            found = [dns.Record_A(held)] if query.type == dns.A else []
        else:
            found = [dns.Record_SRV(*entry) for entry in held] if query.type == dns.SRV else []
        return [dns.RRHeader(name, query.type, dns.IN, 5, each, auth=True) for each in found]


def main(address: str, names: str) -> None:
    factory = server.DNSServerFactory(clients=[Zone(json.loads(names))])
    reactor.listenUDP(PORT, dns.DNSDatagramProtocol(factory), interface=address)
    print("ready", flush=True)
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
