"""Broken setups of the connection: the network, TLS, and a server that answers late or stops answering."""

from __future__ import annotations

import http.server
import socket
import threading

from setup_registry import SetupRegistry, url

SETUPS = SetupRegistry()
causes = SETUPS.causes
LOCAL = {"TRACKER_PLATFORM": "local"}


# --- the network --------------------------------------------------------------------------------------------------


@causes("host_unknown")
def wrong_host(setup):
    return url(setup.on_port(5432, "db.nowhere.invalid"))


@causes("refused")
def wrong_port(setup):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return url(setup.on_port(port), **LOCAL)


@causes("localhost")
def localhost_when_deployed(setup):
    return url(setup.on_port(1, "localhost"))


@causes("ipv6_only")
def host_with_only_ipv6(setup):
    return url(setup.on_port(5432, "[2001:db8::1]"))


@causes("not_postgres")
def port_of_a_web_server(setup):
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    server.RequestHandlerClass.log_message = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    setup.stack.callback(thread.join)
    setup.stack.callback(server.server_close)
    setup.stack.callback(server.shutdown)
    return url(setup.on_port(server.server_port))


@causes("silent")
def port_that_sends_no_reply(setup):
    silent = setup.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    return url(setup.on_port(silent.getsockname()[1]))


@causes("timeout")
def firewall_that_drops(setup):
    """A full queue drops the first packet of every further connection, as a firewall does."""
    full = setup.stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    for _ in range(4):
        client = setup.stack.enter_context(socket.socket())
        client.setblocking(False)
        client.connect_ex(full.getsockname())
    return url(setup.on_port(full.getsockname()[1]))


@causes("hung_up")
def port_that_hangs_up(setup):
    listener = setup.stack.enter_context(socket.create_server(("127.0.0.1", 0)))

    def hang_up() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.close()

    threading.Thread(target=hang_up, daemon=True).start()
    setup.stack.callback(listener.shutdown, socket.SHUT_RDWR)
    return url(setup.on_port(listener.getsockname()[1]))


# --- TLS ----------------------------------------------------------------------------------------------------------


@causes("tls_refused")
def tls_that_the_server_does_not_support(setup):
    return url(setup.on_port(setup.proxy().port, query="?sslmode=require"))


@causes("tls_required")
def tls_that_the_server_requires(setup):
    port, _ = setup.fixture("tls_pooler")("localhost")
    return url(setup.on_port(port, query="?sslmode=disable"))


@causes("certificate_expired")
def expired_certificate(setup):
    port, root = setup.fixture("tls_pooler")("localhost", "20200101000000Z", "20210101000000Z")
    return url(setup.on_port(port, "localhost", f"?sslmode=verify-full&sslrootcert={root}"))


@causes("certificate_not_yet")
def certificate_of_the_future(setup):
    port, root = setup.fixture("tls_pooler")("localhost", "20800101000000Z", "20900101000000Z")
    return url(setup.on_port(port, "localhost", f"?sslmode=verify-full&sslrootcert={root}"))


@causes("certificate_host")
def certificate_of_another_host(setup):
    port, root = setup.fixture("tls_pooler")("db.example.com")
    return url(setup.on_port(port, "localhost", f"?sslmode=verify-full&sslrootcert={root}"))


@causes("certificate_unknown")
def certificate_of_an_unknown_authority(setup):
    port, _ = setup.fixture("tls_pooler")("localhost")
    _, other = setup.fixture("certificates")("localhost")
    return url(setup.on_port(port, "localhost", f"?sslmode=verify-full&sslrootcert={other}"))


@causes("root_certificate")
def root_certificate_that_was_not_deployed(setup):
    port, _ = setup.fixture("tls_pooler")("localhost")
    return url(setup.on_port(port, "localhost", "?sslmode=verify-full&sslrootcert=/nowhere/root.crt"))


# --- a slow or interrupted connection -----------------------------------------------------------------------------


@causes("silent_after_login")
def server_that_stops_answering(setup):
    """The login succeeds, but the first statement gets no answer."""
    setup.is_repeatable = False  # the proxy then accepts no new connection
    proxy = setup.proxy()
    note = proxy._note

    def swallow(text: str) -> tuple[bool, bool]:
        proxy.swallow = True
        return note(text)

    proxy._note = swallow
    return url(setup.on_port(proxy.port))


@causes("connection_lost")
def connection_that_is_cut(setup):
    proxy = setup.proxy()
    note = proxy._note
    proxy._note = lambda text: (True, note(text)[1])
    return url(setup.on_port(proxy.port))


@causes("far_away")
def database_on_another_continent(setup):
    proxy = setup.proxy()
    proxy.delay_to_server_ms = 80
    return url(setup.on_port(proxy.port))
