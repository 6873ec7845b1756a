"""The kernel fast path's program: C in, one object file out.

`fastpath.c` is the program, `fastpath.h` what it shares with the node (map layouts, numbers), `kernel.h` what
it needs of the kernel.  `compile.py` makes `fastpath.bpf.o` of them when the package is built, and the object
is shipped with it: a machine that runs a node needs no compiler.  net/bpf loads it.
"""
