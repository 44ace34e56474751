"""Real faults at real processes, judged by the validators of the simulation."""
