"""The demo, with a daemon of the caller's choice. usage: demo.py COMMAND…"""

import sys

from discovery.cli.context import Context
from discovery.cli.demo import perform

sys.exit(perform(Context(), sys.argv[1:]))
