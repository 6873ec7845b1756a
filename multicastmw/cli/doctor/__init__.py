"""`mcmw doctor`: what keeps multicast from working here, and the line that mends it.

facts.py     looks at this host: nothing is judged there
probe.py     joins a group as any program does, and looks whether the node hears of it
checks.py    facts and the node's status become findings: nothing is looked at there
command.py   the command
"""
