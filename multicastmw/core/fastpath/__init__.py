"""The fast path's decisions, sans I/O: what the kernel is told, and what it tells.

    tables.py   the keys and values of the kernel's maps, as the node means them
    peers.py    links that the kernel may serve, each at an index
    flows.py    streams that the kernel may forward: a route of the map each, or why not
    fed.py      streams of the mesh in the kernel: which may be there, and what the mesh sees of them
    counts.py   what the kernel has counted, put where the slow path counts the same
    gates.py    when what was left to us is out, so that a flow may pass the kernel again
    handover.py who judges a flow's numbers, and what goes along when that changes
    lossy.py    flows that lose packets, and are repaired here for a while
    mirror.py   the one writer: keeps the maps as the routing service answers

The kernel is a cache of the routing service's answers.  What cannot be served there as a whole stays here as
a whole, so nothing depends on it but speed.
"""
