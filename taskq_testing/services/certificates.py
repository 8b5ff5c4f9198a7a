"""Certificates for 127.0.0.1, signed by an authority that nobody trusts unless told to."""

from __future__ import annotations

import ssl

from taskq_testing.services.child import ServiceError

__all__ = ["server_context"]


def server_context() -> tuple[ssl.SSLContext, str]:
    """Return what a TLS server at 127.0.0.1 or localhost needs, and the certificate of its authority, in PEM.

    Raises:
        ServiceError: the package trustme, which makes them, is not installed.
    """
    try:
        import trustme  # noqa: PLC0415 - only TLS needs it
    except ImportError:
        raise ServiceError("TLS needs certificates, which trustme makes; `pip install trustme`") from None
    maker = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    maker.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context, maker.cert_pem.bytes().decode()
