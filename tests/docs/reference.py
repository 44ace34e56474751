"""The pages that are made from the code."""

from __future__ import annotations

from tests.docs.api_page import api_page
from tests.docs.settings_page import settings_page
from tests.support.documents import ROOT

PAGES = {
    ROOT / "docs" / "reference" / "api.md": api_page,
    ROOT / "docs" / "reference" / "settings.md": settings_page,
}
