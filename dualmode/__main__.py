"""Does: `python -m dualmode`."""

from dualmode.main import console

console()
