"""The race: figure 4 with each contestant in turn, the same source and sinks for all.

contestants/   how each one is set up: its configuration, its keys, its daemons
source.c       numbered and stamped packets at a steady rate      built.py compiles them
sink.c         what arrives: loss, duplicates, disorder, delays
track.py       one contestant in a lab with the sinks on it, and one run over it
account.py     whose processor time a run took
search.py      the highest rate that holds
turn.py        everything that is measured of one contestant in one round
figures.py     medians, and ratios to native of the same round
report.py      the tables; plot.py the picture
command.py     `python -m bench race`
"""
