"""Edges: the TAP reader, TCP and UDP links, the clock, netlink."""
