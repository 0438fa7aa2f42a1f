"""What tests of recordings share."""

from tests.buckets import _server, one_proxy, proxy, s3

__all__ = ["_server", "one_proxy", "proxy", "s3"]
