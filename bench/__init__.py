"""Measurements, as ratios in one run: `make bench`, or `.venv/bin/python -m bench --help`."""
