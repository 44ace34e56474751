"""discoveryd whose store does not answer any more: it says that it last did a minute ago."""

import sys

from discovery.daemon import main
from discovery.stores.memory import MemoryStore

MemoryStore.age_s = lambda _: 60.0
sys.exit(main())
