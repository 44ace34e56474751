"""The verified files of models on this machine: from a source into a cache, whole or not at all.

Everything here is plain, blocking work on files, for a thread; `discovery.models.artifacts` is what
applications use.
"""
