"""Post-installed labs: publishing, passwords, interruptions, strangers, fail2ban and DNS."""

from __future__ import annotations

import concurrent.futures
import json
import pathlib
import subprocess
import threading
from collections.abc import Iterator
from typing import Self

import pytest

from hosts import command, connections
from hosts.host import Host
from remote import haproxy_maps
from sandbox import layout
from sandbox.project_copy import UP
from sandbox.workstation import login
from tests.e2e.conftest import Client, ProjectCopy

pytestmark = pytest.mark.sandbox

MARKED = "Marked-4711-Passwort"
SERVERS = [
    {
        "name": "yuno1", "image": "standin", "recipe": "standin", "publish": "yuno-by-hand",
        "volumes": [{"name": "data", "path": "/srv/data", "size": "64MiB"}],
        "snapshots": ["installed"], "config": {"boot.autostart.priority": "9"},
        "devices": {"side": {"type": "proxy", "listen": "tcp:127.0.0.1:8098",
                             "connect": "tcp:127.0.0.1:80"}},
    },
    {"name": "yuno2", "image": "yuno-by-hand"},
]  # fmt: skip
IDENTITY = "cat /etc/machine-id; ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub | cut -d' ' -f2"


class HostRecorder:
    """Records the host's process list and LXD's operations while its block runs."""

    def __init__(self, host: Host) -> None:
        self._host, self._end = host, threading.Event()
        self._thread = threading.Thread(target=self._record)
        self.seen: list[str] = []

    def _record(self) -> None:
        script = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; lxc query '/1.0/operations?recursion=1&project=grappe-hanna'"
        while not self._end.is_set():
            self.seen.append(self._host.run(["sh", "-c", script], check=False).stdout)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._end.set()
        self._thread.join()


@pytest.fixture(scope="module")
def hanna(project: ProjectCopy) -> Iterator[tuple[ProjectCopy, HostRecorder]]:
    """Hanna's lab, up, and the recorder of the host during its `up`."""
    project.write("hanna", 41, servers=SERVERS)
    project.pulumi("config", "set", "--secret", "grappe:password", MARKED, "-s", "hanna")
    with HostRecorder(connections.connect(project.layout.host_url)) as recorder:
        project.up("hanna")
    yield project, recorder
    project.destroy("hanna")


def inside(lab_host: Host, server: str, script: str, student: str = "hanna") -> str:
    argv = ["lxc", "exec", server, "--project", f"grappe-{student}", "--", "sh", "-c", script]
    return lab_host.run(argv).stdout


def test_second_server_starts_from_the_published_first(
    hanna: tuple[ProjectCopy, HostRecorder], lab_host: Host, client: Client
) -> None:
    """Each has its own machine-id and host key, and is reachable."""
    servers = hanna[0].outputs("hanna")["servers"]
    assert client.reaches(servers)
    assert (
        len(
            set(
                inside(lab_host, "yuno1", IDENTITY).split()
                + inside(lab_host, "yuno2", IDENTITY).split()
            )
        )
        == 4
    )
    hanna[0].up("hanna", "--expect-no-changes")
    listed = lab_host.run(["lxc", "image", "list", "-f", "csv", "-c", "l"]).stdout
    assert "yuno-by-hand" in listed


@pytest.mark.long
def test_republished_server_keeps_its_identity(project: ProjectCopy, lab_host: Host) -> None:
    """Publishing changes only a copy; a post-installed server is refused."""
    servers = [{"name": "yuno1", "publish": "yuno-again"}]
    project.write("hugo", 43, servers=servers, workstation="none")
    project.up("hugo")
    before = inside(lab_host, "yuno1", IDENTITY, "hugo")
    lab_host.run(["lxc", "image", "delete", "yuno-again"])
    project.up("hugo")
    assert before == inside(lab_host, "yuno1", IDENTITY, "hugo")
    project.up("hugo", "--expect-no-changes")

    lab_host.run(["lxc", "image", "delete", "yuno-again"])
    inside(lab_host, "yuno1", "mkdir -p /etc/yunohost && touch /etc/yunohost/installed", "hugo")
    output = project.up("hugo", ok=False)
    assert "grappe-hugo/yuno1 is post-installed, and was not published" in output
    assert before == inside(lab_host, "yuno1", IDENTITY, "hugo")
    project.destroy("hugo")


def test_ssh_accepts_the_password(hanna: tuple[ProjectCopy, HostRecorder], client: Client) -> None:
    """The student logs in through the forwarded port."""
    for server in hanna[0].outputs("hanna")["servers"]:
        assert "hanna" == server["ssh"]["user"]
        assert server["name"] == client.login("hanna", server["ssh"]["port"], MARKED)


def test_password_is_in_no_log_or_state(
    hanna: tuple[ProjectCopy, HostRecorder], lab_host: Host, tmp_path: pathlib.Path
) -> None:
    """In no argv, no operation, no log, no file of the host, no plain state, no preview."""
    project, recorder = hanna
    assert len(recorder.seen) > 5
    assert not any(MARKED in seen for seen in recorder.seen)
    # All of the host but the kernel's views and the servers' own file systems.
    search = (f"grep -rlaF {MARKED} /etc /root /home /run /tmp /var/log /var/tmp /var/lib/grappe "
              "/var/lib/lxd/database /var/lib/lxd/containers/*/backup.yaml 2>/dev/null; "
              f"journalctl --no-pager | grep -cF {MARKED}; true")  # fmt: skip
    assert ["0"] == lab_host.run(["sh", "-c", search]).stdout.split()
    for server in ("yuno1", "yuno2"):
        search = f"grep -rlaF {MARKED} /etc /root /home /run /tmp /var; true"
        assert "" == inside(lab_host, server, search)
    found = subprocess.run(
        ["grep", "-rlaF", MARKED, ".state", "stacks"], cwd=project.folder, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert "" == found.stdout
    assert MARKED not in project.pulumi("preview", "--diff", "-s", "hanna")
    assert MARKED not in project.pulumi("stack", "export", "-s", "hanna")


def test_rare_settings_work(hanna: tuple[ProjectCopy, HostRecorder], lab_host: Host) -> None:
    """A volume that outlives its server, a device, a snapshot, a start order."""
    project, _recorder = hanna
    inside(lab_host, "yuno1", "echo kept > /srv/data/note")
    shown = lab_host.run(["lxc", "config", "show", "yuno1", "--project", "grappe-hanna"]).stdout
    assert 'boot.autostart.priority: "9"' in shown
    assert "type: proxy" in shown
    info = lab_host.run(["lxc", "info", "yuno1", "--project", "grappe-hanna"]).stdout
    assert "installed" in info
    project.lab("up", "hanna", "--yes", "--rebuild", "yuno1")
    assert "kept\n" == inside(lab_host, "yuno1", "cat /srv/data/note")
    project.up("hanna", "--expect-no-changes")


def test_lost_post_installation_is_drift_and_is_redone(
    hanna: tuple[ProjectCopy, HostRecorder], lab_host: Host
) -> None:
    """A preview finds the missing file; a plain `up` post-installs again."""
    project, _recorder = hanna
    inside(lab_host, "yuno2", "rm /etc/yunohost/installed")
    project.pulumi("preview", "--expect-no-changes", "-s", "hanna", ok=False)
    project.up("hanna")
    assert "yuno2.hanna.grappe.test" in inside(lab_host, "yuno2", "cat /etc/yunohost/current_host")
    project.up("hanna", "--expect-no-changes")


def test_interrupted_post_installation_is_finished(project: ProjectCopy, lab_host: Host) -> None:
    """YunoHost writes `installed` half way; after a kill the next `up` does the rest."""
    project.write("ines", 46, servers=[{"name": "yuno1"}], workstation="none")
    project.up("ines")
    inside(lab_host, "yuno1", "echo installed > /run/standin-hold", "ines")
    project.pulumi("config", "set", "--secret", "grappe:password", MARKED, "-s", "ines")
    engine = subprocess.Popen(
        ["pulumi", *UP, "-s", "ines"], cwd=project.folder, env=project.env,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    there = "test -e /etc/yunohost/installed && echo there; true"
    command.wait_until(
        lambda: "there" in inside(lab_host, "yuno1", there, "ines"), what="installed", timeout=60
    )
    # Nobody else may post-install it: its route stays withdrawn, also after the kill.
    state = f"sed -n 's/^yuno1.ines.grappe.test //p' {haproxy_maps.STATES}"
    assert "stopped\n" == lab_host.run(["sh", "-c", state]).stdout
    engine.kill()
    engine.wait()
    inside(lab_host, "yuno1", "pkill -f '[t]ools postinstall'; rm /run/standin-hold; true", "ines")
    assert "stopped\n" == lab_host.run(["sh", "-c", state]).stdout
    project.lab("preview", "ines")
    output = project.lab("up", "ines")
    assert "ines" in output
    inside(lab_host, "yuno1", "test -e /etc/nginx/conf.d/yuno1.ines.grappe.test.conf", "ines")
    # Without it every user of YunoHost might log in by ssh.
    assert "X11Forwarding no" in inside(lab_host, "yuno1", f"cat {SSHD}", "ines")
    # YunoHost enables its firewall after `installed`, and nowhere else.
    assert "enabled" in inside(lab_host, "yuno1", "systemctl is-enabled nftables", "ines")
    assert "up\n" == lab_host.run(["sh", "-c", state]).stdout
    project.up("ines", "--expect-no-changes")
    project.lab("down", "ines", "--yes")


@pytest.mark.long
def test_unresumable_post_installation_names_the_remedy(
    project: ProjectCopy, lab_host: Host
) -> None:
    """YunoHost refuses a user that exists; the error says to rebuild the server."""
    project.write("ivo", 47, servers=[{"name": "yuno1"}], workstation="none")
    project.up("ivo")
    # A try that was cut off once it had made its domain.
    began = (
        "echo domain > /run/standin-hold; timeout 5 yunohost tools postinstall --username ivo "
        "--fullname Ivo --password a-long-enough-one --domain yuno1.ivo.grappe.test; true"
    )
    inside(lab_host, "yuno1", began, "ivo")
    project.pulumi("config", "set", "--secret", "grappe:password", MARKED, "-s", "ivo")
    output = " ".join(project.up("ivo", ok=False).split())
    assert "The domain already exists" in output
    assert "./lab up ivo --rebuild yuno1" in output
    project.pulumi("config", "rm", "grappe:password", "-s", "ivo")
    project.lab("up", "ivo", "--yes", "--rebuild", "yuno1")
    inside(lab_host, "yuno1", "useradd ivo", "ivo")
    project.pulumi("config", "set", "--secret", "grappe:password", MARKED, "-s", "ivo")
    output = " ".join(project.up("ivo", ok=False).split())
    assert "Username already exists" in output
    assert "pulumi config set grappe:login NAME -s ivo" in output
    assert "./lab up ivo --rebuild yuno1" in output
    project.lab("up", "ivo", "--yes", "--rebuild", "yuno1")
    assert "ivo" in inside(lab_host, "yuno1", "getent passwd ivo", "ivo")
    project.lab("down", "ivo", "--yes")


def test_stranger_who_was_cut_off_leaves_no_administrator(
    project: ProjectCopy, lab_host: Host
) -> None:
    """Grappe stops YunoHost's API first, which ends a stranger's post-installation half way."""
    project.write("ivo", 47, servers=[{"name": "yuno1"}], workstation="none")
    project.pulumi("config", "rm", "grappe:password", "-s", "ivo")
    project.up("ivo")
    form = "domain=evil.test&username=mallory&fullname=Mallory&password=a-long-enough-one"
    posted = f"curl -s -m 60 -d '{form}' http://127.0.0.1:6787/yunohost/api/postinstall"
    waits = "for n in $(seq 100); do id mallory && exit 0; sleep 0.1; done; exit 1"
    began = f"echo user > /run/standin-hold; setsid {posted} >/dev/null 2>&1 & {waits}"
    inside(lab_host, "yuno1", began, "ivo")
    project.pulumi("config", "set", "--secret", "grappe:password", MARKED, "-s", "ivo")
    output = " ".join(project.up("ivo", ok=False).split())
    assert "the user mallory already exists" in output
    assert "./lab up ivo --rebuild yuno1" in output
    closed = inside(lab_host, "yuno1", "systemctl is-active yunohost-api || true", "ivo")
    assert "inactive\n" == closed
    project.lab("up", "ivo", "--yes", "--rebuild", "yuno1")
    assert "ivo\n" == inside(lab_host, "yuno1", "getent group admins | cut -d: -f4", "ivo")
    project.lab("down", "ivo", "--yes")


@pytest.mark.long
def test_server_installed_by_a_stranger_is_refused(project: ProjectCopy, lab_host: Host) -> None:
    """Without a password, whoever opens the page first may post-install the server."""
    project.write("ivo", 47, servers=[{"name": "yuno1"}], workstation="none")
    project.pulumi("config", "rm", "grappe:password", "-s", "ivo")
    project.up("ivo")
    theirs = (
        "yunohost tools postinstall --domain yuno1.ivo.grappe.test --username mallory "
        "--fullname Mallory --password a-long-enough-one"
    )
    inside(lab_host, "yuno1", theirs, "ivo")
    project.pulumi("config", "set", "--secret", "grappe:password", MARKED, "-s", "ivo")
    output = " ".join(project.up("ivo", ok=False).split())
    assert "was post-installed by somebody else: it has no user ivo" in output
    project.lab("down", "ivo", "--yes")


SSHD = "/etc/ssh/sshd_config.d/yunohost.conf"


@pytest.fixture(scope="module")
def iris(project: ProjectCopy) -> Iterator[str]:
    """Her server, post-installed."""
    project.write("iris", 48, servers=[{"name": "yuno1"}])
    project.pulumi("config", "set", "--secret", "grappe:password", MARKED, "-s", "iris")
    project.up("iris")
    yield "iris"
    project.lab("down", "iris", "--yes")


@pytest.mark.usefixtures("iris")
def test_check_notes_a_main_domain_changed_in_yunohost(
    project: ProjectCopy, lab_host: Host
) -> None:
    """A changed main domain is a note; a stack file with another one fails with the command."""
    blog = "blog.iris.grappe.test"
    moved = f"yunohost domain add {blog}; yunohost domain main-domain -n {blog}"
    inside(lab_host, "yuno1", moved, "iris")
    project.up("iris", "--expect-no-changes")
    assert "its main domain is blog.iris.grappe.test now" in project.lab("check", "iris")

    project.write("iris", 48, servers=[{"name": "yuno1", "domain": "shop.iris.grappe.test"}])
    project.pulumi("config", "set", "--secret", "grappe:password", MARKED, "-s", "iris")
    output = " ".join(project.up("iris", ok=False).split())
    assert "yunohost domain main-domain -n shop.iris.grappe.test" in output
    inside(lab_host, "yuno1", moved.replace("blog", "shop"), "iris")
    project.up("iris")
    # YunoHost makes its main domain the server's hostname.
    (server,) = project.outputs("iris")["servers"]
    assert "shop" == login(project.layout, "iris", server["ssh"]["port"], MARKED)


@pytest.mark.long
@pytest.mark.usefixtures("iris")
def test_password_of_a_restored_server_is_set_again(project: ProjectCopy, lab_host: Host) -> None:
    """A restored snapshot has the password of its time; the next `up` says so, and sets the new."""
    lxc = ["lxc", "--project", "grappe-iris"]
    lab_host.run([*lxc, "snapshot", "yuno1", "before"])
    other = "Another-long-1"
    project.pulumi("config", "set", "--secret", "grappe:password", other, "-s", "iris")
    project.up("iris")
    project.up("iris", "--expect-no-changes")
    (server,) = project.outputs("iris")["servers"]
    assert login(project.layout, "iris", server["ssh"]["port"], other)
    lab_host.run([*lxc, "restore", "yuno1", "before"])
    inside(lab_host, "yuno1", "systemctl is-system-running --wait || true", "iris")
    output = project.up("iris")
    assert "the password of iris is an older one" in output
    assert login(project.layout, "iris", server["ssh"]["port"], other)
    project.up("iris", "--expect-no-changes")
    lab_host.run([*lxc, "delete", "yuno1/before"])


SILENT_API = (
    "mkdir -p /run/systemd/system/yunohost-api.service.d && "
    "printf '[Service]\\nExecStart=\\nExecStart=/bin/sleep infinity\\n' "
    "> /run/systemd/system/yunohost-api.service.d/silent.conf && systemctl daemon-reload && "
    "systemctl restart yunohost-api && rm -r /run/systemd/system/yunohost-api.service.d && "
    "systemctl daemon-reload"
)


@pytest.mark.usefixtures("iris")
def test_check_finds_stopped_services(project: ProjectCopy, lab_host: Host) -> None:
    """A stopped, disabled or masked service, or a page that nginx lost; each remedy works."""
    for harm, words in (
        ("systemctl stop fail2ban", "fail2ban does not run"),
        # Its unit is active, as YunoHost's is when its main thread has died.
        (SILENT_API, "yunohost-api does not answer"),
        (
            "mv /etc/nginx/conf.d/$(cat /etc/yunohost/current_host).conf /root",
            "nginx has no page of ",
        ),
        ("systemctl disable --now yunohost-api", "yunohost-api is disabled"),
        ("systemctl mask --now nginx", "nginx is masked"),
    ):
        inside(lab_host, "yuno1", harm, "iris")
        output = project.lab("check", "iris", ok=False)
        assert words in output
        (line,) = [line for line in output.splitlines() if "lxc exec" in line]
        lab_host.run(["sh", "-c", line[line.index("lxc exec") :]], timeout=60)
        project.lab("check", "iris")


# A stand-in for YunoHost's directory: its start creates the user.
DIRECTORY = """
userdel iris
printf '%s\\n' '[Service]' Type=oneshot RemainAfterExit=yes 'ExecStart=/usr/sbin/useradd iris' \
    '[Install]' WantedBy=multi-user.target > /etc/systemd/system/slapd.service
systemctl enable slapd
"""


@pytest.mark.usefixtures("iris")
def test_stopped_directory_is_not_taken_for_a_stranger(
    project: ProjectCopy, lab_host: Host
) -> None:
    """The user is unknown then; a rebuild, the remedy for a stranger, would delete her work."""
    inside(lab_host, "yuno1", DIRECTORY, "iris")
    assert "slapd does not run" in project.lab("check", "iris", ok=False)
    exported = json.loads(project.pulumi("stack", "export", "-s", "iris"))
    (urn,) = [item["urn"] for item in exported["deployment"]["resources"]
              if item["type"].endswith("PostInstall")]  # fmt: skip
    project.up("iris", "--replace", urn)
    assert "iris" in inside(lab_host, "yuno1", "id iris", "iris")


# Runs on the workstation: a stranger who tries to post-install a server before Grappe does.
RACE = """
import http.client, os, socket, ssl, sys, time
domain, stop, tries, won = sys.argv[1], sys.argv[2], 0, 0
form = f"domain={domain}&username=mallory&fullname=Mallory&password=a-long-enough-one"
kind = {"Content-Type": "application/x-www-form-urlencoded", "Host": domain}
limit = time.monotonic() + 60
while not os.path.exists(stop) and time.monotonic() < limit:
    way = http.client.HTTPConnection(sys.argv[3], timeout=5)
    try:
        plain = socket.create_connection((sys.argv[3], 443), timeout=5)
        way.sock = ssl._create_unverified_context().wrap_socket(plain, server_hostname=domain)
        way.request("POST", "/yunohost/api/postinstall", form, kind)
        won += way.getresponse().status == 201
    except OSError:
        pass
    way.close()
    tries += 1
print(tries, won)
"""


# Opens a connection while the page is routed; posts over it once no new connection opens.
EARLY = """
import http.client, pathlib, socket, ssl, sys, time
domain, host, opened = sys.argv[1:]
trusting = ssl._create_unverified_context()
class Page(http.client.HTTPSConnection):
    def connect(self):
        made = socket.create_connection((host, 443), timeout=10)
        self.sock = trusting.wrap_socket(made, server_hostname=domain)
early = Page(domain)
early.request("GET", "/yunohost/api/installed")
early.getresponse().read()
pathlib.Path(opened).touch()
for turn in range(600):
    try:
        Page(domain).connect()
    except OSError:
        break
    time.sleep(0.1)
form = f"domain={domain}&username=mallory&fullname=Mallory&password=a-long-enough-one"
seen = []
for turn in range(40):
    try:
        early.request("POST", "/yunohost/api/postinstall", form)
        answer = early.getresponse()
        answer.read()
        seen.append(answer.status)
    except OSError:
        seen.append(0)
        break
    time.sleep(0.1)
print(seen)
"""


@pytest.mark.long
def test_early_connection_cannot_post_install(
    project: ProjectCopy, lab_host: Host, workstation: Host, tmp_path: pathlib.Path
) -> None:
    """A connection opened before the route was withdrawn finds YunoHost's API stopped."""
    domain = "yuno1.ivan.grappe.test"
    project.write("ivan", 52, servers=[{"name": "yuno1"}], workstation="none")
    project.up("ivan")
    project.pulumi("config", "set", "--secret", "grappe:password", MARKED, "-s", "ivan")
    opened = tmp_path / "opened"
    argv = ["python3", "-c", EARLY, domain, layout.HOST_ADDRESS, str(opened)]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        early = pool.submit(workstation.run, argv, timeout=90)
        command.wait_until(opened.exists, what="an early connection", timeout=20)
        project.up("ivan")
        statuses = json.loads(early.result().stdout)
    assert statuses
    assert not [status for status in statuses if 200 <= status < 300]
    assert "ivan" in inside(lab_host, "yuno1", "getent passwd ivan", "ivan")
    assert "active" == inside(lab_host, "yuno1", "systemctl is-active yunohost-api", "ivan").strip()
    project.lab("check", "ivan")
    project.lab("down", "ivan", "--yes")


def test_page_opens_only_after_post_installation(
    project: ProjectCopy, lab_host: Host, workstation: Host, tmp_path: pathlib.Path
) -> None:
    """Before, HAProxy does not route it, so that nobody else post-installs the server."""
    domain, stop = "yuno1.ivo.grappe.test", tmp_path / "stop"
    project.write("ivo", 47, servers=[{"name": "yuno1"}], workstation="none")
    project.pulumi("config", "set", "--secret", "grappe:password", MARKED, "-s", "ivo")
    argv = ["python3", "-c", RACE, domain, str(stop), layout.HOST_ADDRESS]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        race = pool.submit(workstation.run, argv, timeout=90)
        project.up("ivo")
        stop.touch()
        tries, won = map(int, race.result().stdout.split())
    assert tries > 20
    assert won == 0
    assert "ivo" in inside(lab_host, "yuno1", "getent passwd ivo", "ivo")
    project.lab("down", "ivo", "--yes")


@pytest.mark.long
def test_server_without_a_password_is_anybody_s(project: ProjectCopy, workstation: Host) -> None:
    """The risk is real: without a password in its stack, anybody can post-install the server."""
    domain = "yuno1.ivo.grappe.test"
    project.write("ivo", 47, servers=[{"name": "yuno1"}], workstation="none")
    project.pulumi("config", "rm", "grappe:password", "-s", "ivo")
    project.up("ivo")
    form = f"domain={domain}&username=mallory&fullname=Mallory&password=a-long-enough-one"
    page = f"https://{domain}/yunohost/api/postinstall"
    argv = ["curl", "-sSk", "-o", "/dev/null", "-w", "%{http_code}", "--resolve",
            f"{domain}:443:{layout.HOST_ADDRESS}", "-d", form]  # fmt: skip
    assert ["201", "400"] == [workstation.run([*argv, page]).stdout for _turn in range(2)]
    project.lab("down", "ivo", "--yes")


def guess(host: Host, address: str, domain: str, times: int) -> list[str]:
    """Try wrong passwords at a server's login; return the HTTP status of each try."""
    one = (
        "curl -sk -o /dev/null -w '%{http_code} ' --max-time 5 -H 'X-Requested-With: x' "
        f"--resolve {domain}:443:{address} -d credentials=hanna:wrong https://{domain}/yunohost/api/login; "
    )
    script = f"for n in $(seq {times}); do {one} done; true"
    return host.run(["sh", "-c", script], timeout=90).stdout.split()


def test_fail2ban_bans_one_person_not_the_host(
    hanna: tuple[ProjectCopy, HostRecorder], lab_host: Host, workstation: Host, client: Client
) -> None:
    """The lab host forwards all pages: a ban of it is drift, and `check` has the unban command."""
    project, _recorder = hanna
    domain = "yuno1.hanna.grappe.test"
    inside(lab_host, "yuno1", "yunohost tools regen-conf fail2ban --force")
    assert ["401"] * 12 == guess(workstation, layout.HOST_ADDRESS, domain, 12)
    assert "yuno1" == client.get(f"http://{domain}")
    # The neighbour comes with an address of its own, and fail2ban works.
    once = "curl -sk -o /dev/null -H 'X-Requested-With: x' -d a=b https://10.64.41.10/yunohost/api/login"
    inside(lab_host, "yuno2", f"for n in $(seq 12); do {once}; done; true")
    banned = "fail2ban-client get yunohost banip"
    command.wait_until(
        lambda: ["10.64.41.11"] == inside(lab_host, "yuno1", banned).split(), what="ban", timeout=30
    )
    assert "curl: (" in inside(lab_host, "yuno2", "curl -sS -m 3 http://10.64.41.10/ 2>&1; true")

    # An earlier ban outlives the reload that forbids it.
    forget = "rm /etc/fail2ban/jail.d/grappe.conf; fail2ban-client reload"
    inside(lab_host, "yuno1", f"{forget}; fail2ban-client set yunohost banip 10.64.41.1")
    told = project.pulumi("preview", "--diff", "-s", "hanna")
    assert "its fail2ban may ban the lab host" in told
    project.up("hanna")
    project.up("hanna", "--expect-no-changes")
    assert "yuno1" == client.get(f"http://{domain}")
    ignored = inside(lab_host, "yuno1", "fail2ban-client get yunohost ignoreip")
    assert "10.64.41.1\n" in ignored

    inside(lab_host, "yuno1", "fail2ban-client set yunohost banip 10.64.41.1")
    output = project.lab("check", "hanna", ok=False)
    assert "its fail2ban bans 10.64.41.1" in output
    (way_out,) = [line for line in output.splitlines() if "fail2ban-client unban" in line]
    lab_host.run(["sh", "-c", way_out[way_out.index("lxc exec") :]], timeout=60)
    command.wait_until(lambda: "yuno1" == client.get(f"http://{domain}"), what="page", timeout=30)
    project.lab("check", "hanna")


@pytest.mark.usefixtures("hanna")
def test_dns_of_yunohost_resolves_the_neighbour(lab_host: Host) -> None:
    """YunoHost's dnsmasq resolves the lab's domains, also after `regen-conf`."""
    assert "nameserver 127.0.0.1\n" == inside(lab_host, "yuno2", "cat /etc/resolv.conf")
    script = "getent ahostsv4 yuno1.hanna.grappe.test | head -n 1"
    inside(lab_host, "yuno2", "yunohost tools regen-conf dnsmasq --force")
    assert "10.64.41.10" in inside(lab_host, "yuno2", script)


def test_two_clones_share_no_secret(
    hanna: tuple[ProjectCopy, HostRecorder], lab_host: Host
) -> None:
    """No file that only root or a group may read is the same in both."""
    script = (
        "find / -xdev -type f -size +0 \\( -perm 0600 -o -perm 0400 -o -perm 0640 -o -perm 0440 \\) "
        "-not -path '/proc/*' -not -path '/sys/*' -not -path '/run/*' -exec sha256sum {} + "
    )
    found = [set(inside(lab_host, name, script).splitlines()) for name in ("yuno1", "yuno2")]
    allowed = ("/etc/sudoers", "/etc/shadow", "/etc/gshadow", "/var/cache/", "/var/log/",
               "/etc/ssh/", "/var/lib/apt/", "/var/lib/dpkg/")  # fmt: skip
    same = [line.split("  ", 1)[1] for line in found[0] & found[1]]
    assert [] == [path for path in same if not path.startswith(allowed)]
    assert "/etc/yunohost/certs/yunohost.org/key.pem" in " ".join(found[0])
    # Nor does one have the journal of the machine that its image was made on.
    journals = inside(lab_host, "yuno2", "ls /var/log/journal 2>/dev/null; true").split()
    assert set(journals) <= {inside(lab_host, "yuno2", "cat /etc/machine-id").strip()}


def test_password_refused_by_yunohost_fails_with_its_reason(project: ProjectCopy) -> None:
    """`up` shows YunoHost's message; with another password it resumes."""
    project.write("ida", 42, servers=[{"name": "yuno1"}], workstation="none")
    project.pulumi("config", "set", "--secret", "grappe:password", "12345678", "-s", "ida")
    output = " ".join(project.up("ida", ok=False).split())
    assert "`yunohost tools postinstall` failed in grappe-ida/yuno1" in output
    assert "is among the most used passwords in the world" in output
    assert "pulumi config set --secret grappe:password -s ida" in output
    project.pulumi("config", "set", "--secret", "grappe:password", MARKED, "-s", "ida")
    project.up("ida")
    project.destroy("ida")


def test_lab_without_its_state_is_adopted_in_place(
    hanna: tuple[ProjectCopy, HostRecorder], lab_host: Host, client: Client
) -> None:
    """`up` reuses everything: no container is recreated."""
    project, _recorder = hanna
    before = inside(lab_host, "yuno1", IDENTITY) + inside(lab_host, "yuno2", IDENTITY)
    project.lab("forget", "hanna", "--yes")
    project.up("hanna")
    assert before == inside(lab_host, "yuno1", IDENTITY) + inside(lab_host, "yuno2", IDENTITY)
    assert client.reaches(project.outputs("hanna")["servers"])
    project.up("hanna", "--expect-no-changes")
