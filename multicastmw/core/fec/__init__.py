"""Forward error correction on links: what a link loses is rebuilt at its other end, and nobody asks for it.

    fec.py         all of a node's: on which links, how much, and the bounds
    protection.py  one link: what it loses, and whether its packets are protected
    coder.py       ── what goes out over it: packets in blocks, and a block's parity behind them
    rebuilder.py   ── what comes in: the last packets, and those that parity gives back
    loss.py        what the link loses, as both ends count it
    code.py        the erasure code

Packets are not changed and not held back; who does not know of it loses nothing by it (docs/recovery.rst).
"""
