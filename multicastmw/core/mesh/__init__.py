"""The self-organising overlay: who is whose neighbour, which way each stream goes, and what is sent again.

    Mesh ── Circle, one a group: neighbours chosen at random, by round trip and by what they can carry
      │       └── Meeting: where members of a group find each other (of the nodes that are relays)
      ├──── Feed, one a stream: its parent, its children, what is missing, what is kept for others
      ├──── Slots: how many children the uplink carries
      └──── Neighbour, one a link: what it holds, and what is thought of it

All of these are told what happens and what time it is; they speak through the links that they are given, and
ask for connections.  The simulator (simulator/) and the real node (services/mesh.py) run the same ones.
"""
