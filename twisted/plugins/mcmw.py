"""Tells twistd that there is an `mcmw`; strings only, so that nothing is imported for other plugins."""

from twisted.application.service import ServiceMaker

multicast_middleware = ServiceMaker(
    "Multicast Middleware",
    "multicastmw.daemon",
    "IP multicast for every program, over an overlay of unicast links",
    "mcmw",
)
