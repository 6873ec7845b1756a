"""Real nodes over long ways: a lab whose internet has delays, losses and uplinks with an end.

forwarder.c    the internet: one process that every host's uplink leads to; its head says what it does
built.py       compiles it when it is needed
internet.py    the lab's internet with it: `Lab(..., internet=partial(DelayedInternet, delays=...))`
matrix.py      delays between places, and trees over hosts
film.py        a stream over many nodes while some are killed
report.py      what their receivers saw of it
measure.py     what the forwarder itself adds and carries
"""
