"""UFW's own scripts, which bring our NAT rules back at each start of UFW.

Runs on the host: standard library alone. Each script keeps its original mode in a note, and gets it
back when the last rule goes.
"""

from __future__ import annotations

from remote import ipv6, managed_block
from remote.iptables import JUMPS, NAT
from remote.names import UFW_SCRIPTS
from remote.system import File, RefusedError
from remote.target import Files
from remote.unmanaged import nat as unmanaged

BEFORE, AFTER = UFW_SCRIPTS
# The unit loads this file: the nat table alone.
LOAD = "/var/lib/grappe/nat/load.rules"
# The filter rules, for UFW's last script.
FILTER = "/var/lib/grappe/nat/filter.rules"
# The original modes of these scripts; we restore them when we leave.
MODES = {path: f"/var/lib/grappe/nat/{path.rpartition('/')[2]}.mode" for path in UFW_SCRIPTS}
# The note for a script that was missing, and the content that it starts with.
ABSENT, NOTHING = "absent", "#!/bin/sh\n"

JUMP_SCRIPT = (
    f"iptables -w -t nat -N {NAT} 2>/dev/null || true; "
    f"iptables -w -t nat -C PREROUTING -j {NAT} 2>/dev/null || "
    f"iptables -w -t nat -I PREROUTING -j {NAT}"
)
# Rules of before.rules may have come in ahead of the jump since.
FIRST_JUMP_SCRIPT = (
    f"iptables -w -t nat -N {NAT} 2>/dev/null || true; "
    f"[ \"$(iptables -w -t nat -S PREROUTING 1 2>/dev/null)\" = '-A PREROUTING -j {NAT}' ] || "
    f"{{ iptables -w -t nat -D PREROUTING -j {NAT} 2>/dev/null || true; "
    f"iptables -w -t nat -I PREROUTING -j {NAT}; }}"
)
# By then somebody's own rules may have flushed ours, `ufw reset` may have removed our part of
# before.rules, and UFW has emptied its last chains. The drops come first: without them the script
# accepts nothing.
LAST_SCRIPT = (
    f"iptables-restore -w -n < {LOAD} || true; {FIRST_JUMP_SCRIPT}; "
    f"iptables-restore -w -n < {FILTER} && "
    + " && ".join(
        f"{{ iptables -w -C {chain} -j {ours} 2>/dev/null || iptables -w -I {chain} -j {ours}; }}"
        for ours, chain in JUMPS.items()
    )
    + f"; {ipv6.SHUT}"
)
BODIES = {
    path: f'if [ "$1" = start ]; then\n    {script}\nfi\n'
    for path, script in ((BEFORE, JUMP_SCRIPT), (AFTER, LAST_SCRIPT))
}


def with_our_part(current: Files) -> Files:
    """Return UFW's scripts with our part, and the notes of their original modes.

    Raises:
        RefusedError: A script is not a shell script.
    """
    files: Files = {}
    for path, kept in MODES.items():
        script = current[path]
        if not unmanaged.is_shell_script(script.content or ""):
            raise RefusedError(
                f"{path} is not a shell script, and our part of it is one",
                (script.content or "").partition("\n")[0],
                "move it, and have a shell script in its place call it",
            )  # fmt: skip
        was = ABSENT if script.content is None else f"{script.mode or 0o640:o}"
        noted = current[kept].content or was
        mode = "640" if noted == ABSENT else noted
        # A script without the executable bit was switched off: only our part may run.
        body = BODIES[path] + ("exit 0\n" if not int(mode, 8) & 0o111 else "")
        text = script.content if script.content is not None else NOTHING
        files[kept] = File(noted, 0o600)
        files[path] = File(managed_block.put(text, body, at_top=True), int(mode, 8) | 0o110)
    return files


def restored(current: Files) -> Files:
    """Return UFW's scripts as they were before us, and then without the notes.

    In this order: after a power cut between the two, the next change still knows their modes.
    """
    files = {path: _restored(current, path) for path in MODES}
    return {**files, **{kept: File(None) for kept in MODES.values()}}


def _restored(current: Files, path: str) -> File:
    mode, rest = current[MODES[path]].content, managed_block.remove(current[path].content)
    if mode == ABSENT:
        return File(None if (rest or "") in ("", NOTHING) else rest)
    return File(rest, int(mode, 8) if mode else None)
