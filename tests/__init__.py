"""Tests, from single functions to fleets of real processes."""

import os

# Tests start processes, and gRPC would have its own say in each fork; read when it is imported.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
