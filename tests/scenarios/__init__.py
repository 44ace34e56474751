"""Stories that show the protocol at work, played by the real core in virtual time."""
