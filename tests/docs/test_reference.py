"""The reference pages are what the code says now, and leave out nothing."""

from __future__ import annotations

import pytest

import discovery
from discovery import config
from discovery.setting import settings_in
from discovery.settings import DaemonSettings
from tests.docs import api_page, reference, settings_page
from tests.support.documents import named

SETTINGS = [setting.name for setting in settings_in(DaemonSettings)]


@pytest.mark.parametrize("page", reference.PAGES, ids=named)
def test_a_page_is_what_is_made_from_the_code_now(page):
    made = reference.PAGES[page]()
    assert page.read_text() == made, "make it anew: python -m tests.docs"


def test_every_public_name_has_one_place():
    in_chapters = [name for names in api_page.CHAPTERS.values() for name in names]
    everything = [*in_chapters, *api_page.ALIASES, *api_page.ERRORS]
    assert sorted(everything) == sorted(discovery.__all__)


@pytest.mark.parametrize("name", discovery.__all__)
def test_every_public_name_is_told_of(name):
    page = api_page.api_page()
    heads = (f"### `{name}`", f"| `{name}` |")
    _, found, after = page.partition(next(head for head in heads if head in page))
    assert found
    assert len(after.split("\n#")[0].strip()) > 20, "says too little"


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_told_of(name):
    page = settings_page.settings_page()
    id_ = name.replace(".", "_")
    told = page.split(f"### `{name}`\n")[1].split("\n#")[0]
    assert f"`--{id_.replace('_', '-')}` · `DISCOVERY_{id_.upper()}`" in told


def test_every_other_variable_that_is_read_is_told_of():
    others = {name.removeprefix("DISCOVERY_") for name in settings_page.OTHER_VARIABLES}
    assert others == config._OTHER_VARIABLES | {f"{config._SECRETS}<ALIAS>"}
