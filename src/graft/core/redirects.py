"""Where a publisher may lead a download: to its own host, or, for a file known by its hash, to a mirror of its own.

A publisher that hands out files from elsewhere names the place in its answer. That answer is not trusted: it must not
take the encryption away, nor have this machine ask a computer that only this machine can reach.
"""

from collections.abc import Callable
from http.client import HTTPMessage, HTTPResponse, HTTPSConnection
from ipaddress import IPv6Address, ip_address
from typing import IO, NoReturn
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, OpenerDirector, Request, build_opener

SHOWN_CHARACTERS = 200
Refuse = Callable[[str], NoReturn]


def redirecting_opener(url: str, *, elsewhere: bool, refuse: Refuse) -> OpenerDirector:
    """As urllib opens, the environment's proxies included; another host is followed to with `elsewhere` alone.

    Another host must speak https and, where `url` is a public one's, have a public address. `refuse` is called with
    what "must …, got …" of any other.
    """
    asked = urlsplit(url)
    inside = _is_inside(asked.hostname or "")

    class Redirects(HTTPRedirectHandler):
        def redirect_request(
            self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
        ) -> Request | None:
            led = urlsplit(newurl)
            if (asked.scheme, asked.netloc) != (led.scheme, led.netloc):
                shown = f"{led.scheme}://{led.netloc}"[:SHOWN_CHARACTERS]
                if not elsewhere:
                    refuse(f"be on {asked.netloc}, got led to {shown}")
                if led.scheme != "https" or "@" in led.netloc:
                    refuse(f"lead to plain https addresses only, got led to {shown}")
                if not inside and _is_inside(led.hostname or ""):
                    refuse(f"lead to public addresses only, got led to {shown}")
            request = super().redirect_request(req, fp, code, msg, headers, newurl)
            if request is not None:
                request.remove_header("Proxy-authorization")  # urllib would show it to a host that needs no proxy
            return request

    class Https(HTTPSHandler):
        def https_open(self, req: Request) -> HTTPResponse:
            host = urlsplit(req.full_url).netloc
            by_proxy = req.host != host  # which then is what looks the name up
            if inside or by_proxy or host == asked.netloc:
                return super().https_open(req)
            return self.do_open(Public, req)

    class Public(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            address = str(self.sock.getpeername()[0])
            if not is_public(address):  # what the name says here and now, before anything is asked
                self.close()
                refuse(f"lead to public addresses only, got led to {self.host[:SHOWN_CHARACTERS]} at {address}")

    return build_opener(Redirects(), Https())


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public network: not this machine's, nor its neighbours'."""
    found = ip_address(address)
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return (mapped or found).is_global


def _is_inside(host: str) -> bool:
    """Whether a host's name says by itself that it is this machine or a neighbour."""
    name = host.rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return not is_public(name)
    except ValueError:
        return False  # a name: only its address can say
