"""Is a stream well, and whose fault is it if not?  Machines that look at packets, sans I/O.

    Monitor ── Watch (a group, for a lease) ─┬─ Way (S, G): what the overlay's numbers say
                                            └─ WatchedStream (S, G, port) ─┬─ TransportStream (TR 101 290)
                                                                           ├─ RtpStream (RFC 3550), with one
                                                                           └─ neither: rate, sizes, gaps

Whose fault: every packet carries its number in the overlay.  What is missing behind a hole in these numbers
is the way's; what is missing without one was missing when the packet came to the overlay, so it is the
source's.  docs/health.rst has the rules, the figures and where they are from.
"""
