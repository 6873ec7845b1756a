"""Decisions, sans I/O: time is an argument, and nothing here owns a socket or a clock."""
