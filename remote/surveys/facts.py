"""The shapes of what surveys return; `checks` import them too. Standard library alone.

A fact that a survey could not get is empty, or a text that says why.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, TypedDict

from remote.iptables import Preceding


class Marked(TypedDict):
    """A thing of LXD's, with its configuration."""

    name: str
    config: Dict[str, str]


class Pool(TypedDict):
    """A storage pool of LXD's.

    Attributes:
        driver: Its kind: btrfs, dir, lvm, zfs.
        free: The bytes left.
        unpacked: The fingerprints of the images that it has unpacked already.
    """

    driver: str
    free: int
    unpacked: List[str]


class Lxd(TypedDict, total=False):
    """Describes LXD: its things, or only `error` and `program` if LXD does not answer.

    Attributes:
        program: Its command: `lxc` or `incus`.
        aliases: Fingerprints by alias.
        images: Properties by fingerprint.
        sizes: Bytes of the images' files by fingerprint, which LXD unpacks.
        spaces: The asked-for pools, by name; none of a pool that does not answer.
        members: Those of its cluster; none without one.
        brings: The devices that each profile brings, by profile and name.
        sets: The configuration that each profile sets, by profile.
        gone: The paths of the host's that profiles bring, and that are not there.
    """

    error: str
    program: str
    projects: List[Marked]
    networks: List[Marked]
    aliases: Dict[str, str]
    images: Dict[str, Dict[str, str]]
    sizes: Dict[str, int]
    pools: List[str]
    spaces: Dict[str, Pool]
    members: List[str]
    profiles: List[str]
    brings: Dict[str, Dict[str, Dict[str, str]]]
    sets: Dict[str, Dict[str, str]]
    gone: List[str]


class Instance(TypedDict):
    """An instance of a lab's project; of its config only our marks."""

    name: str
    project: str
    ephemeral: bool
    location: str
    config: Dict[str, str]


class Listener(TypedDict):
    """A TCP port on which the host listens for others; `everywhere`: on all its addresses."""

    port: int
    program: str
    everywhere: bool


class Subnet(TypedDict):
    """An IPv4 network of one of the host's interfaces, as `10.0.0.1/24`."""

    interface: str
    subnet: str


class Route(TypedDict):
    """An IPv4 route, or a rule that drops (`table` is `rule` then); `to` is a network."""

    to: str
    device: str
    table: str
    line: str


class FilterChain(TypedDict):
    """A base chain of nftables that filters, as `remote.unmanaged.nft.Chain`."""

    table: str
    name: str
    kind: str
    hook: str
    policy: str
    rules: List[str]


class Fragment(TypedDict):
    """A fragment of a target's store, without its rendered parts."""

    target: str
    id: str
    owner: str
    lab: str
    keys: List[str]
    spec: Dict[str, Any]


class HostsLine(TypedDict):
    """A line of a hosts file outside of Grappe's part that names one of a lab's domains."""

    number: int
    address: str
    domains: List[str]
    text: str


class HostsFileFacts(TypedDict):
    """What `remote.surveys.hosts_file` returns; `fixed` as in `HostFacts`."""

    lines: List[HostsLine]
    fixed: Dict[str, List[str]]


class HostFacts(TypedDict):
    """What preflights and doctor ask of a lab host.

    Attributes:
        haproxy: HAProxy's errors about its configuration without our part; empty if valid.
        haproxy_loads: The paths that its unit loads.
        haproxy_masked: Whether its unit is masked.
        variables: The variables in its `bind` lines.
        nat: The loaded NAT rules, as `iptables-save` prints them, or `nft TABLE CHAIN: RULE`.
        before_ufw: The loaded rules that come before those of UFW's users.
        unled: The chains of a loaded UFW that no rule jumps to.
        configs: The other files that HAProxy loads, by path.
        ufw_rules: UFW's comments beside its users' rules.
        ufw_output: UFW's default for outgoing packets.
        ufw_sysctl: The lines of UFW's own file of kernel settings that end forwarding.
        networkd: The file by which systemd-networkd takes over labs' bridges; empty if none does.
        reached: Why each URL cannot be reached; empty where it can.
        absent: The paths, kernel modules, own addresses and abilities that it lacks, of those
            asked for.
        missing: The programs that are not installed.
        files: The shared files by path; None for one that does not exist.
        fixed: Why a shared file cannot be changed, and what to do, by path.
    """

    lxd: Lxd
    haproxy: str
    haproxy_loads: List[str]
    haproxy_masked: bool
    variables: Dict[str, str]
    before_ufw: List[Preceding]
    unled: List[str]
    listening: List[Listener]
    subnets: List[Subnet]
    routes: List[Route]
    nat: List[str]
    filters: List[FilterChain]
    configs: Dict[str, str]
    ufw_rules: List[str]
    ufw_output: str
    ufw_sysctl: List[str]
    networkd: str
    fragments: List[Fragment]
    reached: Dict[str, str]
    absent: List[str]
    missing: List[str]
    files: Dict[str, Optional[str]]
    fixed: Dict[str, List[str]]


class LabFacts(HostFacts):
    """What `remote.surveys.lab` returns."""

    instances: List[Instance]


class RelayFacts(TypedDict):
    """What `remote.surveys.relay` returns.

    Attributes:
        unprivileged: The lowest port that any user may listen on.
        host_key: Its sshd's, as `ssh-ed25519 AAAA...`; empty without one that can be pinned.
        shut_out: Why its sshd would not let the tunnels' user in; empty where it would.
    """

    fragments: List[Fragment]
    listening: List[Listener]
    unprivileged: int
    host_key: str
    shut_out: str


class Container(TypedDict):
    """A container of any project; `address` is that of a running one."""

    name: str
    project: str
    owner: str
    address: str
    own_address: str
    profiles: List[str]


class Ufw(TypedDict):
    """Whether UFW's file enables it, and whether its rules are loaded."""

    enabled: bool
    active: bool


class Space(TypedDict):
    """A file system's bytes."""

    size: int
    free: int


class Taken(TypedDict):
    """A limited resource of the kernel: how many there may be, and how many are in use."""

    limit: int
    used: int


class Target(TypedDict):
    """A fragment's target: the host's `port`, the server's `address`, and its port, `there`."""

    id: str
    owner: str
    address: str
    port: int
    there: int


class Certificate(TypedDict):
    """The seconds that a server's certificate is still valid."""

    server: str
    project: str
    left: float


class HostKey(TypedDict):
    """A server's public host key, as `TYPE BASE64`."""

    server: str
    project: str
    key: str


class Presented(TypedDict):
    """The certificates and host keys that running servers present."""

    certificates: List[Certificate]
    host_keys: List[HostKey]


class HealthFacts(HostFacts, Presented):
    """What `remote.surveys.health` returns.

    Attributes:
        firewall: LXD's firewall driver: `nftables` or `xtables`.
        ipv6: Labs' bridges with IPv6 on, unless our rules drop their packets.
        switched_off: UFW's scripts with our part that UFW would not run.
        links: By bridge what is wrong with it; empty if it serves its servers.
        masquerades: The loaded masquerade rules.
        forwarding: The kernel's net.ipv4.ip_forward: `1` or `0`.
        unforwarded: The interfaces from which the kernel forwards no packets.
        chains: All rules of iptables, as `iptables-save` prints them.
        copies: Files of others that rules are loaded from at a boot, with a copy of ours.
        loaded: HAProxy's errors about its whole configuration.
        units: `ActiveState` and `UnitFileState` by unit.
        inotify: The instances of inotify that a user may have.
        conntrack: The connections that the kernel tracks.
        unreadable: The instances whose files of lxcfs, as /proc/meminfo, nobody can read.
        memory: In bytes, by the kernel's names: `MemTotal`, `MemAvailable`.
    """

    instances: List[Container]
    firewall: str
    ufw: Ufw
    ipv6: List[str]
    switched_off: List[str]
    links: Dict[str, str]
    masquerades: List[str]
    forwarding: str
    unforwarded: List[str]
    chains: str
    copies: List[str]
    loaded: str
    units: Dict[str, Dict[str, str]]
    disk: Space
    inotify: Taken
    conntrack: Taken
    unreadable: List[str]
    memory: Dict[str, int]
    targets: List[Target]


class Part(TypedDict):
    """A disk or a partition; `holds` names its content, `mounted` its mount point."""

    path: str
    type: str
    size: int
    holds: str
    mounted: str


class Disk(Part):
    """A disk."""

    parts: List[Part]


class Root(TypedDict):
    """The file system of `/`: its type, used bytes, devices in order, and whether all is RAID1."""

    type: str
    used: int
    devices: List[str]
    mirrored: bool


class Daemon(TypedDict, total=False):
    """A container daemon's counts; where it does not answer, `error` alone."""

    error: str
    instances: int
    strangers: int


class ServerFacts(TypedDict):
    """What `remote.surveys.lab_host` returns of a bare server; `memory` in bytes."""

    missing: List[str]
    systemd: bool
    netfilter: bool
    root: Root
    disks: List[Disk]
    memory: int
    processors: int
    addresses: List[str]
    daemons: Dict[str, Daemon]
