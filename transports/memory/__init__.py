"""Transports inside one process and one event loop, by name; nothing is copied."""
