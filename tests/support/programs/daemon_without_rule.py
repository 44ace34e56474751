"""discoveryd with the conflict rule taken out: the race test must notice."""

import sys

from discovery.daemon import main
from discovery.mirror import Mirror
from discovery.registry import Registry

Registry._refuse_conflict = lambda *_: None
Mirror._reshuffle = lambda self, scope, _visible, changed, cause: self._show(
    scope, changed, self._entries.get(changed), cause
)
sys.exit(main())
