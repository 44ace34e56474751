"""The soak: a fleet that never rests for an hour, and what must be flat and equal all the while."""
