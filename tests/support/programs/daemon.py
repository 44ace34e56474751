"""discoveryd, as its console script runs it."""

import sys

from discovery.daemon import main

sys.exit(main())
