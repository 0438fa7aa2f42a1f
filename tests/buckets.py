"""Fixtures of a bucket, for the packages whose tests keep recordings in one."""

from collections.abc import Iterator

import pytest

from tests.recordings.buckets import Proxy, Server, bucket_server


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An S3 server with object lock and If-None-Match."""
    with bucket_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(name="server", scope="session")
def _server(s3: Server) -> Server:
    return s3


@pytest.fixture(scope="session")
def one_proxy(s3: Server) -> Iterator[Proxy]:
    with Proxy(s3.endpoint) as proxy:
        yield proxy


@pytest.fixture
def proxy(one_proxy: Proxy) -> Proxy:
    """Well, whatever the test before made of it."""
    one_proxy.well()
    return one_proxy
