"""What the tests of the report share: results of a small project in the working folder."""

import pytest
from example_project import example_results


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Of both graphs; a test may change what it likes of them."""
    monkeypatch.chdir(tmp_path)
    return example_results(tmp_path)
