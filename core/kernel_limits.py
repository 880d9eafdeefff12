"""The kernel's limits that many servers on a lab host reach, and the remedy."""

from __future__ import annotations

# From "Server settings for a LXD production setup" in LXD's manual; files below /proc/sys.
LIMITS = {
    "fs/inotify/max_user_instances": 1048576,
    "fs/inotify/max_user_watches": 1048576,
    "fs/inotify/max_queued_events": 1048576,
    "kernel/keys/maxkeys": 2000,
    "kernel/keys/maxbytes": 2000000,
}
# The inotify instances that a running server takes, as counted in a real YunoHost 12.1.
INOTIFY_INSTANCES = 25
RAISE_INOTIFY = (
    "on the host: sysctl -w fs.inotify.max_user_instances="
    f"{LIMITS['fs/inotify/max_user_instances']}, and the same line in /etc/sysctl.d "
    "(the step `limits` of a host stack)"
)
INOTIFY_REMEDY = f"the kernel allows too few inotify instances for so many servers; {RAISE_INOTIFY}"


def inotify_remedy(seen: str) -> str:
    """Return the remedy if `seen` shows the kernel's inotify limit; else nothing."""
    return INOTIFY_REMEDY if "inotify" in seen or "Too many open files" in seen else ""
