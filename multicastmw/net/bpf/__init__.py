"""The kernel fast path's edge: bpf(2), spoken directly.

    kernel.py   the system call, and what its refusals mean
    elf.py      the object file that clang made: programs, maps, type information
    maps.py     one map: get, set, delete, in batches
    tables.py   the keys and values of our maps, twins of ebpf/fastpath.h
    loading.py  an object file becomes maps and programs in the kernel
    hooks.py    a program on a device: tcx, or a clsact filter below kernel 6.6

No library and no tool is needed where a node runs, and nothing is pinned: what was loaded and attached goes
with the descriptors, so with the process.  Whatever fails, fails as `NoFastPath`, in one line.
"""
