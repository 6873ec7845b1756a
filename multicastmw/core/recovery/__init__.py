"""Losses on the links of a static tree are repaired, hop by hop (docs/protocol.rst, "Recovery").

    recovery.py  all of a node's: who asks for what, what is announced, and the bounds
    repair.py    one stream: what is missing of it, and what is kept of it
    fed.py       one stream that the mesh has, at a border: partners are answered from what is kept there
    served.py    what is the same of both
    partner.py   the other end of a link, where that speaks recovery too

What is missing and what is kept are the machines that the mesh has for it (core/mesh/gaps.py, kept.py).  Here
a stream comes over one link, so that link's other end alone is asked, and nobody chooses.
"""
