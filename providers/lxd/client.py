"""The real LXD or Incus of a host, over pylxd.

One request at a time of a pylxd client: a `requests` session is not safe to share. pylxd is
imported on first use, because the engine starts this process twice a run.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

from core import errors, kernel_limits, names, run
from hosts import connections
from hosts.host import Host
from providers.lxd import background
from providers.lxd.daemon import (
    OPERATION_SECONDS,
    AbsentError,
    Daemon,
    Executed,
    Json,
    OnOutput,
    ignore,
)
from remote import daemons, hung_start, power_cut

# The paths at which a host may have the daemon's socket.
SOCKETS = tuple(daemons.SOCKETS.values())
# The time-out of one request.
REQUEST_SECONDS = 20.0
# Seconds between two reads of the output of a program in an instance.
POLL_SECONDS = 1
# Seconds between two checks that the run still waits for an operation.
WAIT_SECONDS = 2
# LXD refuses a change during its own work on an instance; and for how many seconds we try again.
BUSY = "Instance is busy running"
BUSY_SECONDS = 30.0
# LXD's helper for files ends when it is idle; a request of that moment finds its socket gone.
FORKFILE = "forkfile.sock"
FILE_TRIES, FILE_PAUSE = 5, 0.2
_RESTARTS = (
    "it ends, or starts again: once `systemctl is-active lxd` says active on the host, run the "
    "same again"
)
_FULL = (
    "on the host: `df -h`, and `lxc storage info POOL` for each of `lxc storage list`, show what "
    "is full; make room, then run the same again"
)
# Words of LXD's refusals, and what to do.
_REMEDIES = {
    power_cut.ADDRESS_TAKEN:
        "on the host: ss -lnp 'sport = 53' names the program that listens on a lab's address; "
        "let it listen on its own addresses alone, or choose another grappe:number",
    "shutting down": _RESTARTS,
    "setup in progress": _RESTARTS,
    "database is closed": _RESTARTS,
    "database is locked": "its database is busy: run the same again",
    "o space left on device": _FULL,
    "isk quota exceeded":
        "the server's own disk is full, or its project's quota: on the host, lxc exec SERVER "
        "--project PROJECT -- df -h / shows it; remove something in it, then run the same again",
}  # fmt: skip
# The most repairs for one change: several faults may block it, one after the other.
REPAIRS = 2


@functools.cache
def on(host: Host) -> Daemon:
    """Return the daemon of a host, one object a process."""
    return Lxd(host)


class Lxd:
    """The real daemon, through its socket on the host.

    Args:
        host: The host.
        seconds: The time-out of one request.
    """

    def __init__(self, host: Host, seconds: float = REQUEST_SECONDS) -> None:
        self._host = host
        self._seconds = seconds
        # Idle clients.
        self._clients: list[Any] = []
        self._background = background.BackgroundChanges()

    @property
    def program(self) -> str:  # noqa: D102
        return daemons.program(find_socket(self._host))

    def get(self, path: str, *, project: str = "", **query: str) -> Any:  # noqa: D102
        return self._send("get", path, params=_query(project, query)).json()["metadata"]

    def change(  # noqa: D102
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        project: str = "",
        timeout: float = OPERATION_SECONDS,
        query: Mapping[str, str] | None = None,
    ) -> Json:
        request = (method, path, body, _query(project, query or {}), timeout)
        thing = path
        if method == "POST":
            thing = f"{path}/{(body or {}).get('name')}"
        else:
            # LXD would refuse the one that it is still making.
            self._background.wait(path)
        for _turn in range(REPAIRS):
            try:
                done = self._change(*request)
                break
            except errors.DaemonError as error:
                messages = f"{error.brief} {error.seen}"
                if not (power_cut.is_symptom(messages) and self._repair(method, thing, messages)):
                    raise
        else:
            done = self._change(*request)
        if method == "DELETE":
            self._background.forget(path)
            if path.startswith("networks/"):
                self._repair(method, path)
        return done

    def _change(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        params: Mapping[str, str],
        timeout: float,
    ) -> Json:
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                answer = self._send(
                    method.lower(), path, params=params, json=dict(body or {})
                ).json()
                if answer.get("type") != "async":
                    return answer.get("metadata") or {}
                return self._wait(answer["operation"], f"{method} {path}", timeout)
            except errors.DaemonError as error:
                # LXD cleans up after a start that failed, for some seconds.
                if BUSY not in error.seen or time.monotonic() > deadline:
                    raise
                run.raise_if_cancelled()
                time.sleep(POLL_SECONDS)

    def begin(self, path: str, body: Mapping[str, Any], thing: str) -> None:  # noqa: D102
        def make() -> None:
            try:
                self.change("POST", path, body)
            except AbsentError as error:
                raise errors.DaemonError(
                    f"LXD on {self._host.url} did not make {thing}",
                    seen=f"{thing} was removed meanwhile",
                    do="run the same again",
                ) from error

        def is_known() -> bool:
            with contextlib.suppress(AbsentError):
                self.get(thing)
                return True
            return False

        self._background.begin(thing, make, is_known)

    def finish(self, thing: str) -> None:  # noqa: D102
        self._background.finish(thing)

    def unblock(self, thing: str, *, project: str = "") -> bool:  # noqa: D102
        kind, _slash, name = thing.partition("/")
        if kind == "instances":
            return bool(self._host.call(hung_start.__name__, {"name": f"{project}_{name}"}))
        return self._repair("PUT", thing, f"{power_cut.NO_PROCESS} {power_cut.ADDRESS_TAKEN}")

    def _repair(self, method: str, path: str, refusal: str = "") -> bool:
        """Repair what a power cut or a killed LXD left; return whether there was anything."""
        request = {
            "sockets": list(SOCKETS), "path": path, "removes": method == "DELETE", "said": refusal,
        }  # fmt: skip
        return bool(self._host.call(power_cut.__name__, request))

    def read_file(self, path: str, *, project: str = "", file: str = "") -> bytes:  # noqa: D102
        params = _query(project, {"path": file} if file else {})
        tries = FILE_TRIES
        while True:
            try:
                return bytes(self._send("get", path, params=params, is_api=False).content)
            except errors.DaemonError as error:
                tries -= 1
                if FORKFILE not in error.seen or not tries:
                    raise
            time.sleep(FILE_PAUSE)

    def write_file(  # noqa: D102
        self, path: str, content: bytes, *, headers: Mapping[str, str], project: str, file: str
    ) -> None:
        params = _query(project, {"path": file})
        self._send("post", path, params=params, data=content, headers=_for_both(headers))

    def remove_file(self, path: str, *, project: str, file: str) -> None:  # noqa: D102
        self._send("delete", path, params=_query(project, {"path": file}))

    def upload_image(  # noqa: D102
        self, metadata: str, rootfs: str, *, properties: Mapping[str, str]
    ) -> str:
        import requests_toolbelt  # noqa: PLC0415

        with open(metadata, "rb") as metadata_file, open(rootfs, "rb") as rootfs_file:  # noqa: PTH123
            body = requests_toolbelt.MultipartEncoder(
                {
                    "metadata": ("metadata.tar", metadata_file, "application/octet-stream"),
                    "rootfs": ("rootfs.tar", rootfs_file, "application/octet-stream"),
                }
            )
            own = {"X-LXD-public": "0", "X-LXD-properties": urllib.parse.urlencode(properties)}
            headers = {"Content-Type": body.content_type, **_for_both(own)}
            answer = self._send("post", "images", data=body, headers=headers, timeout=600).json()
        return str(self._wait(answer["operation"], "the image's upload", 600)["fingerprint"])

    def settle(self) -> None:  # noqa: D102
        # A failed flush is no failure of the change.
        with contextlib.suppress(errors.GrappeError):
            self._host.run(["sync"], timeout=OPERATION_SECONDS, root=False)

    def execute(  # noqa: D102
        self, instance: str, argv: list[str], *, project: str, timeout: float,
        on_output: OnOutput = ignore,
    ) -> Executed:  # fmt: skip
        body = {
            "command": argv, "interactive": False, "wait-for-websocket": False,
            "record-output": True,
        }  # fmt: skip
        path = f"instances/{instance}"
        query = _query(project, {})
        answer = self._send("post", f"{path}/exec", params=query, json=body).json()
        operation = _identifier(answer["operation"])
        folder = "logs/exec-output" if self.program == "incus" else "logs"
        log = f"{path}/{folder}/exec_{operation}"
        logs = [f"{log}.stdout", f"{log}.stderr"]
        output = [b"", b""]

        def read_new() -> None:
            for index, log in enumerate(logs):
                new = self._read_log(log, query)[len(output[index]) :]
                output[index] += new
                if new:
                    on_output(new)

        try:
            # LXD forgets an operation five seconds after its end. So each wait follows the last one
            # at once, and the output is read meanwhile, which a busy host makes slow.
            with run.Pool(1) as pool:
                waited, polled = 0.0, pool.submit(self._poll, operation, POLL_SECONDS)
                while (done := polled.result())["status_code"] < 200 and waited < timeout:  # noqa: PLR2004
                    polled = pool.submit(self._poll, operation, POLL_SECONDS)
                    waited += POLL_SECONDS
                    read_new()
                    run.raise_if_cancelled()
            result = self._judge(done, f"the program in {instance}", timeout)
            read_new()
        finally:
            for log in logs:
                with contextlib.suppress(AbsentError, errors.DaemonError):
                    self._send("delete", log, params=query)
        return Executed(int(result.get("return", -1)), output[0], output[1])

    def _read_log(self, path: str, query: Mapping[str, str]) -> bytes:
        """Return a whole log: for a part, LXD announces the length of the whole."""
        try:
            return bytes(self._send("get", path, params=query, is_api=False).content)
        except AbsentError:
            return b""
        except errors.DaemonError as error:
            # LXD also says this of a log that it has not opened yet.
            if "no such file" not in error.seen:
                raise
            return b""

    def _poll(self, operation: str, seconds: int) -> Json:
        """Wait for an operation for some seconds; return its state."""
        try:
            path, params = f"operations/{operation}/wait", {"timeout": str(seconds)}
            answer = self._send("get", path, params=params, timeout=seconds + self._seconds)
        except AbsentError as error:
            raise errors.DaemonError(
                f"LXD on {self._host.url} was restarted meanwhile",
                seen="it does not know the operation that it was asked for (a host so busy that it "
                "takes seconds to answer shows the same)",
                do=_RESTARTS,
            ) from error
        except errors.DaemonError as error:
            # At the time-out Incus returns an error; LXD returns the current state.
            if "deadline exceeded" not in error.seen:
                raise
            answer = self._send("get", f"operations/{operation}")
        return dict(answer.json()["metadata"])

    def _wait(self, operation: str, call: str, timeout: float) -> Json:
        """Wait until LXD has finished, or the run is interrupted."""
        identifier, deadline = _identifier(operation), time.monotonic() + timeout
        done = self._poll(identifier, min(WAIT_SECONDS, int(timeout)))
        while done["status_code"] < 200 and time.monotonic() < deadline:  # noqa: PLR2004
            run.raise_if_cancelled()
            done = self._poll(identifier, WAIT_SECONDS)
        return self._judge(done, call, timeout)

    def _judge(self, answer: Json, call: str, timeout: float) -> Json:
        if answer["status_code"] < 200:  # noqa: PLR2004 - LXD: 1xx is under way
            raise errors.UnfinishedError(
                f"LXD on {self._host.url} did not finish {call} within {timeout:g} s",
                seen=f"the operation is {answer['status']}",
                do=f"{self.program} operation list; running this again is safe",
            )
        if answer["status_code"] != 200:  # noqa: PLR2004
            reason = str(answer.get("err", ""))
            raise errors.DaemonError(
                f"LXD on {self._host.url} failed: {call}",
                seen=reason,
                do=remedy(reason, self.program),
            )
        return answer.get("metadata") or {}

    def _send(self, method: str, path: str, **options: Any) -> Any:
        import pylxd.exceptions  # noqa: PLC0415
        import requests  # noqa: PLC0415

        # A change may wait for its turn: LXD makes one network at a time, and each takes a second.
        patience = self._seconds if method == "get" else max(self._seconds, OPERATION_SECONDS)
        options.setdefault("timeout", patience)
        try:
            with self._client() as client:
                return getattr(_node(client, path), method)(**options)
        except pylxd.exceptions.NotFound as error:
            raise AbsentError(path) from error
        except pylxd.exceptions.LXDAPIException as error:
            raise errors.DaemonError(
                f"LXD on {self._host.url} refused {method.upper()} {path}",
                seen=str(error),
                do=remedy(str(error), self.program),
            ) from error
        except (requests.RequestException, pylxd.exceptions.ClientConnectionFailed) as error:
            hangs = isinstance(error, requests.Timeout) or "timed out" in str(error)
            raise errors.DaemonError(
                f"LXD on {self._host.url} does not answer",
                seen=f"no answer within {options['timeout']:g} s" if hangs else str(error),
                do="on the host: systemctl status lxd, journalctl -u lxd",
            ) from error

    @contextlib.contextmanager
    def _client(self) -> Iterator[Any]:
        try:
            client = self._clients.pop()
        except IndexError:
            client = self._connect()
        try:
            yield client
        finally:
            self._clients.append(client)

    def _connect(self) -> Any:
        import pylxd  # noqa: PLC0415

        path = self._host.socket(find_socket(self._host))
        quoted = urllib.parse.quote(path, safe="")
        return pylxd.Client(f"http+unix://{quoted}", timeout=self._seconds)


def connect_ahead(url: str) -> None:
    """Connect to the daemon of a host in the background, ahead of its use."""

    def act() -> None:
        # The first use reports any error.
        with contextlib.suppress(Exception):
            on(connections.connect(url)).get("")

    threading.Thread(target=act, daemon=True).start()


@functools.cache
def find_socket(host: Host) -> str:
    """Return the path of the daemon's socket on a host.

    Raises:
        errors.HostError: The host has neither LXD nor Incus.
    """
    script = f'for path in {" ".join(SOCKETS)}; do test -S "$path" && echo "$path"; done; true'
    paths = host.run(["sh", "-c", script]).stdout.split()
    if not paths:
        raise errors.HostError(
            f"{host.url} has no LXD", do="on the host: apt install lxd, then lxd init"
        )
    return paths[0]


def remedy(refusal: str, program: str = "lxc") -> str:
    """Return what to do against a refusal of LXD's; nothing where that is unknown."""
    known = (way for words, way in _REMEDIES.items() if words in refusal)
    return names.in_program(next(known, kernel_limits.inotify_remedy(refusal)), program)


def _node(client: Any, path: str) -> Any:
    node = client.api
    for part in filter(None, path.split("/")):
        node = node[urllib.parse.quote(part)]
    return node


def _identifier(operation: str) -> str:
    return urllib.parse.urlsplit(operation).path.rpartition("/")[2]


def _query(project: str, query: Mapping[str, str]) -> dict[str, str]:
    return {**({"project": project} if project else {}), **query}


def _for_both(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers under the names of LXD and of Incus; each reads its own."""
    incus = {key.replace("X-LXD-", "X-Incus-"): value for key, value in headers.items()}
    return {**headers, **incus}
