"""`discoveryctl`: the registry for people at a terminal and for their scripts."""

from discovery.cli.app import main

__all__ = ["main"]
