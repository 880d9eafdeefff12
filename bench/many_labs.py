"""Measure many students on one host at once, and bare launches of the same containers."""

from __future__ import annotations

from bench import timing
from bench.testbed import IMAGE, Testbed, together

FIRST = 100


def run(testbed: Testbed, sizes: list[int], rows: list[dict[str, float]]) -> None:
    """Add for each size {students, bare, grappe, down, requests, failures}; times in seconds."""
    testbed.up_bystander()
    for size in sizes:
        launched = bare(testbed, 2 * size)
        students = [(f"s{index}", FIRST + index) for index in range(size)]
        names = [name for name, _number in students]
        for name, number in students:
            testbed.project.write(name, number, image=IMAGE)
        with testbed.bystander() as watching:
            up = timing.seconds(together, testbed.up, names)
            for name, number in students:
                testbed.wait_for(name, number)
            down = timing.seconds(together, testbed.down, names)
        rows.append(
            {
                "students": size, "bare": launched, "grappe": round(up, 2), "down": round(down, 2),
                **watching.seen,
            }
        )  # fmt: skip
        rows.sort(key=lambda row: row["students"])
    testbed.down("bystander")


def bare(testbed: Testbed, count: int) -> float:
    """Return the seconds of bare launches until every container's sshd answers."""
    script = f"""
ufw allow in on lxdbr0 >/dev/null
start=$(date +%s.%N)
set -e
seq 1 {count} | xargs -P 4 -I N lxc launch {IMAGE} bareN -q >/dev/null
for n in $(seq 1 {count}); do
    for try in $(seq 301); do
        lxc exec bare$n -- systemctl is-active --quiet ssh </dev/null 2>/dev/null && break
        test $try -lt 300
        sleep 0.1
    done
done
end=$(date +%s.%N)
seq 1 {count} | xargs -P 4 -I N lxc delete --force bareN
ufw delete allow in on lxdbr0 >/dev/null
echo "$start $end"
"""
    start, end = map(float, testbed.host("bash", "-s", stdin=script.encode()).split()[-2:])
    return round(end - start, 2)
