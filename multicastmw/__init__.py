"""IP multicast for every program, over an overlay of unicast links."""

__version__ = "0.1.0"
