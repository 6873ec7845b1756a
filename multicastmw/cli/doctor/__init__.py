"""`mcmw doctor`: what keeps multicast from working here, and the line that mends it.

facts.py         looks at this host: nothing is judged there
walls.py         looks at its firewall
probe.py         joins a group as any program does, and looks whether the node hears of it
finding.py       what a check finds
of_host.py, of_packets.py, of_links.py
                 facts and the node's status become findings: nothing is looked at there
checks.py        all of them, in their order
command.py       the command
"""
