"""What nodes ask each other: who wants a group (ping), how packets fare between all (matrix), and where a
stream goes (trace).

    prober.py     the destination in this process: reads, keeps the bounds, sends when it is time
    answering.py  what this node answers
    survey.py     its part in a survey: probes out, counts of what came
    asking.py     the questions of this node's own people, and what comes back, as lines for them
    table.py      a survey's reports as pairs of nodes
    path.py       a trace's answers as a tree, and where in it packets go
"""
