"""discoveryctl, as its console script runs it."""

import sys

from discovery.cli import main

sys.exit(main())
