"""Fuzzers: bytes as nobody would send them, to every door of the node.

    python -m tests.fuzz TARGET --runs N --seed S     coverage-guided, by atheris (`pip install .[fuzz]`)
    make fuzz RUNS=N                                  all of them
    tests/fuzz/test_corpus.py                         what they found, in make test, without atheris

A target is a module with a subclass of `Target` (see target.py) in it; whatever its call raises is a find.
"""
