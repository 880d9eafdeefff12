"""A browser on the workstation: it shows a student's pages as a picture and as text."""

from __future__ import annotations

import pathlib
import tempfile

from hosts import command
from sandbox.layout import Layout

SECONDS = 60
# No window, no requests of chromium's own, and self-signed certificates are accepted.
_QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--ignore-certificate-errors",
)  # fmt: skip


def visit(
    url: str, layout: Layout | None = None, *, picture: pathlib.Path | None = None,
    size: tuple[int, int] = (1280, 800),
) -> str:  # fmt: skip
    """Open a page, on the workstation if a sandbox is given; return its document.

    Args:
        url: The page.
        layout: The sandbox, whose hosts entries resolve domains.
        picture: The path for a screenshot, a PNG file.
        size: The window's width and height.
    """
    prefix = ["ip", "netns", "exec", layout.workstation] if layout else []
    with tempfile.TemporaryDirectory(prefix="grappe-browser-") as profile:
        argv = [*prefix, "chromium", *_QUIET, f"--user-data-dir={profile}",
                f"--window-size={size[0]},{size[1]}"]  # fmt: skip
        if picture:
            _run([*argv, f"--screenshot={picture}", url])
        return _run([*argv, "--dump-dom", url])


def _run(argv: list[str]) -> str:
    return command.execute(argv, timeout=SECONDS).demand("the browser failed").stdout
