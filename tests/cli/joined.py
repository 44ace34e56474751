"""Runs a Python program with its stderr among its stdout, in the order of writing."""

import os
import sys

os.dup2(1, 2)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])  # noqa: S606 - no shell is wanted
