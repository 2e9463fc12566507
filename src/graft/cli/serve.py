"""`graft serve`: a classifier as a web page and a service."""

from argparse import SUPPRESS, Namespace
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path

from graft.cli.console import Console
from graft.cli.parsing import Parser, given, number, text, whole_number

LIBRARIES = ("fastapi", "h11", "prometheus_client", "python_multipart", "uvicorn")
LIMITS = {"queue": "queue_images", "max_images": "images", "timeout": "request_seconds", "connections": "connections"}
MEGABYTE = 1 << 20


def parser() -> Parser:
    """The words `graft serve` understands."""
    words = Parser(
        "serve",
        "RUN [options]",
        "Answer for photos over HTTP, with a trained classifier: a page for people, routes for programs.",
        (
            ("graft serve photos-run", "then open the address it names, and drop a photo on the page"),
            ("curl -F image=@cat.jpg http://127.0.0.1:8000/predict", "the same for a program"),
            ("graft serve classifier.graft --host 0.0.0.0 --quiet", "for other machines: put a proxy in front of it"),
        ),
    )
    words.add_argument("source", metavar="RUN", help="a run's folder, or its file classifier.graft")
    where = words.add_argument_group("where", argument_default=SUPPRESS)
    where.add_argument("--host", metavar="ADDRESS", help="who can reach it (default: 127.0.0.1, this machine alone)")
    where.add_argument("--port", metavar="N", type=whole_number(0, 65_535), help="default: 8000; 0 takes a free one")
    where.add_argument(
        "--reload", action="store_true", help="load the classifier again whenever its file is replaced, without a pause"
    )
    where.add_argument(
        "--name", metavar="NAME", type=text(1, 64), help="of the model in the routes under /v2 (default: classifier)"
    )
    limits = words.add_argument_group("limits", argument_default=SUPPRESS)
    limits.add_argument("--threads", metavar="N", type=whole_number(1, 4096), help="to compute with (default: all)")
    limits.add_argument(
        "--queue", metavar="N", type=whole_number(1), help="photos that may wait (default: 32 a thread, at least 64)"
    )
    limits.add_argument(
        "--max-images", metavar="N", type=whole_number(1, 256), help="photos in one request (default: 32)"
    )
    limits.add_argument(
        "--max-body", metavar="MB", type=number(0.001, 2000), help="megabytes of one request (default: 64)"
    )
    limits.add_argument("--timeout", metavar="S", type=number(0.1, 3600), help="seconds for one request (default: 30)")
    limits.add_argument("--connections", metavar="N", type=whole_number(1), help="at once (default: 512)")
    return words.add_common()


def run(arguments: Namespace, console: Console) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    _require_libraries()
    from graft.core.records import construct
    from graft.pipeline.predict import bundle_of
    from graft.pipeline.workspace import working
    from graft.serving.records import Limits, Settings
    from graft.serving.server import serve

    limits = {LIMITS[name]: value for name, value in given(arguments, LIMITS).items()}
    if hasattr(arguments, "max_body"):
        limits["body_bytes"] = round(arguments.max_body * MEGABYTE)
    settings = construct(
        Settings,
        bundle=str(bundle_of(Path(arguments.source))),
        limits=construct(Limits, **limits),
        quiet=console.quiet,
        debug=console.debug,
        **given(arguments, ("host", "port", "name", "threads", "reload")),
    )

    def tell(address: str) -> None:
        if not _is_loopback(settings.host):
            port = address.rstrip("/").rpartition(":")[2]
            console.note(f"Everybody who reaches port {port} of this machine can ask: the service knows no users.")
        if console.json:
            console.value({"address": address})
        else:
            console.line(f"Serving on {address}")
            console.note("Ctrl-C ends it.")
        console.flush()

    console.note("Loading the classifier …")
    with working(tidy=False):
        serve(settings, tell)
    return 0


def _is_loopback(host: str) -> bool:
    """Whether only this machine's own programs reach the address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"


def _require_libraries() -> None:
    from graft.core.errors import BadInput

    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise BadInput(
            f"Serving needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed.",
            hint="Type: pip install 'graft-vision[serve]'.",
            code="extra_missing",
        )
