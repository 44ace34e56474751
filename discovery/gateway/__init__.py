"""What the daemon serves over HTTP; needs the `http` extra."""

from discovery.gateway.http import HttpApp, listening_socket, serve

__all__ = ["HttpApp", "listening_socket", "serve"]
