"""The whole core under a seeded scheduler; `python -m tests.simulation --seed N` plays a seed."""
