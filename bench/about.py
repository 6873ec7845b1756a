"""What figures belong to, and how progress is told."""

import importlib.metadata
import os
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

TOP = Path(__file__).parent.parent
Say = Callable[[str], None]


def machine() -> dict[str, Any]:
    """What the figures belong to."""
    models = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    ]
    command = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "processor": models[0].partition(":")[2].strip() if models else platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "twisted": importlib.metadata.version("twisted"),
        "commit": commit.stdout.strip(),
        "load_before": os.getloadavg(),
    }


def teller() -> Say:
    """Progress on stderr, with the time."""
    errors = Console(stderr=True, highlight=False, markup=False)
    return lambda text: errors.print(f"{time.strftime('%H:%M:%S')} {text}", soft_wrap=True)
