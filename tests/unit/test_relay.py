"""What the relay's sshd lets a tunnel's user do."""

from __future__ import annotations

import pytest

from remote.targets import relay


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", ""),
        (
            "allowusers root\nallowusers admin",
            "its AllowUsers has root admin. Add grappe-tunnel there",
        ),
        ("allowusers root\nallowusers grappe-*", ""),
        ("allowusers grappe-tunnel@192.0.2.0/24", ""),
        ("allowgroups ssh-users", "its AllowGroups has ssh-users"),
        ("denyusers *-tunnel", "its DenyUsers has *-tunnel"),
        ("denyusers *@203.0.113.0/24", ""),
        ("denyusers grappe-tunnel@*", "its DenyUsers has grappe-tunnel@*"),
        ("disableforwarding yes", "it has DisableForwarding yes"),
        ("disableforwarding no\npubkeyauthentication yes", ""),
        ("pubkeyauthentication no", "sshd takes no keys"),
        ("allowtcpforwarding local", "it has AllowTcpForwarding local"),
        ("allowtcpforwarding remote", ""),
        ("authenticationmethods publickey,password", "AuthenticationMethods publickey,password"),
        ("authenticationmethods password publickey", ""),
        ("permitlisten none", "it has PermitListen none"),
        ("pubkeyacceptedalgorithms rsa-sha2-512,rsa-sha2-256", "PubkeyAcceptedAlgorithms"),
        ("pubkeyacceptedalgorithms ssh-ed25519,rsa-sha2-512", ""),
    ],
)
def test_sshd_settings_that_refuse_a_tunnel_are_named(line: str, words: str) -> None:
    """Each by its name in sshd_config: ssh itself says only that permission is denied."""
    found = relay.refusal(["port 22", *line.splitlines()], "grappe-tunnel")
    assert (words in found, bool(words)) == (True, bool(found))
