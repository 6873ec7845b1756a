"""The manual pages, made of what `--help` and node.ini are made of, so that they cannot say anything else.

roff.py       a page in the language of man(7)
commands.py   mcmw(1) and a page for each of its commands, from click
daemon.py     mcmw(8), from the options of `twistd mcmw`
ini.py        mcmw-node.ini(5), from sections.py's table of options and the comments of etc/node.ini
__main__.py   `python -m multicastmw.manual FOLDER` writes all of them

click-man does a part of this: it knows neither the literal blocks nor the exit codes of our --help, and
nothing of twistd's options and node.ini.
"""
