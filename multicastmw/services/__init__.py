"""Lifetimes: one service a part; node.py is the only place where parts meet."""
