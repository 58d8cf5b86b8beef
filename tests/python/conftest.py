# SPDX-License-Identifier: Apache-2.0
"""What programs under test keep goes into a folder of the test run, not into the user's cache."""
import pytest


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_test_run(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()
