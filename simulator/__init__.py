"""The overlay in a simulated network: the machines of multicastmw.core on an event loop of our own.

`loop` keeps the time, `latency` says how far hosts are from each other, `network` carries their packets and
loses some, `churn` lets hosts come and go.  Everything random comes from a random.Random that is handed in:
the same seed gives the same run, packet by packet.  Nothing here is shipped.
"""
