from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from support.harness import KEY
from support.shop import Shop
from typing_extensions import override

from syncd.config.configuration import load
from syncd.config.settings import Settings
from syncd.diagnostics.check.ledger import check_feed
from syncd.ledger.feed import FeedStore
from syncd.ledger.state_file import Served
from syncd.source.connections import connect, source_on

pytestmark = pytest.mark.db


class StateOfTwo(dict[str, str]):
    """The environment of a host whose other daemon starts the feed meanwhile.

    It does so between the ledger's answer and the look at this host's files.
    """

    def __init__(self, settings: Settings, folder: Path, *, commits: bool) -> None:
        super().__init__(STATE_DIRECTORY=str(folder))
        self._settings = settings
        self._folder = folder
        self._commits = commits

    @override
    def get(self, key: str, default: str = "") -> str:  # type: ignore[override]
        settings = self._settings
        with closing(connect(settings, "other")) as other:
            feeds = FeedStore(other, settings.feed)
            if self._commits:
                feeds.start(source_on(settings, other), timedelta(minutes=5))
            view = settings.source.confirmed_view
            Served(self._folder, settings.feed).keep(feeds.source_identity(), view)
        return super().get(key, default)


@pytest.mark.parametrize("commits", [True, False])
def test_two_first_starts_at_once_do_not_refuse_each_other(
    shop: Shop, tmp_path: Path, *, commits: bool
) -> None:
    """A file that was there before the ledger knew the feed still refuses the start."""
    settings = load(shop.configure(tmp_path, "http://127.0.0.1:9"), KEY)
    environment = StateOfTwo(settings, tmp_path, commits=commits)
    with closing(connect(settings, "test")) as connections:
        found = list(check_feed(settings, connections, environment))
    assert ("feed.unexpected" in [each.code for each in found]) is not commits
