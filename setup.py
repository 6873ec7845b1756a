"""The project is described in setup.cfg; this adds one step to its build: the kernel's program.

Without clang the package is built all the same, and its nodes run without the fast path.
"""

import runpy
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

EBPF = Path("multicastmw", "ebpf")
OBJECT = "fastpath.bpf.o"


class BuildWithProgram(build_py):
    """Puts the object file beside its source, in the wheel or, for an editable installation, in the tree."""

    def run(self):
        super().run()
        base = Path() if self.editable_mode else Path(self.build_lib)
        output = base / EBPF / OBJECT
        compiler = runpy.run_path(str(EBPF / "compile.py"))
        try:
            compiler["compile_to"](output.absolute())
        except compiler["NoCompiler"] as reason:
            if output.exists():  # an object that a packager made before
                return
            print(f"{OBJECT} is not built, so nodes will run without the kernel fast path: {reason}")


setup(cmdclass={"build_py": BuildWithProgram})
