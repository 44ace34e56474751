"""Transports between processes, over ZeroMQ: ROUTER and DEALER, XPUB and SUB."""
