"""Bytes to values and back: construct declarations and their struct twins."""
