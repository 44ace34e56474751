"""Requests, and publish and subscribe, over a NATS server: core NATS, nothing is kept there."""
