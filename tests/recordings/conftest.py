"""What tests of recordings share."""

from collections.abc import Iterator

import pytest

from .buckets import Server, bucket_server


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An S3 server with object lock and If-None-Match."""
    with bucket_server(tmp_path_factory.mktemp("s3")) as server:
        yield server
