#!/bin/bash
# An expert's script for one student's lab, run on the lab host: two servers from a published
# image, a port of the host to each one's sshd, HTTP by Host and HTTPS by SNI. Written to be fast:
# both servers at once, one load of the rules, one reload of HAProxy, and nothing waited for twice.
#   expert.sh up|down NUMBER STUDENT IMAGE
set -eu
action=$1 number=$2 student=$3 image=$4
bridge=gr-$number project=grappe-$student net=10.64.$number
rules=/etc/ufw/before.rules config=/etc/haproxy/haproxy.cfg

rule() { # place
    printf -- '-A PREROUTING -m addrtype --dst-type LOCAL -p tcp -m comment --comment yuno%s_ssh -m tcp --dport %s -j DNAT --to-destination %s:22\n' \
        "$(($1 + 1))" "$((22222 + 10 * (number - 1) + $1))" "$net.$((10 + $1))"
}

server() { # place
    lxc init "$image" "yuno$(($1 + 1))" --project "$project" --network "$bridge" \
        -d "eth0,ipv4.address=$net.$((10 + $1))" -q </dev/null 2>/dev/null ||
        { lxc init "$image" "yuno$(($1 + 1))" --project "$project" -q </dev/null
          lxc config device add "yuno$(($1 + 1))" eth0 nic network="$bridge" name=eth0 \
              ipv4.address="$net.$((10 + $1))" --project "$project" >/dev/null; }
    lxc start "yuno$(($1 + 1))" --project "$project"
    until (exec 3<>"/dev/tcp/$net.$((10 + $1))/22") 2>/dev/null &&
        (exec 3<>"/dev/tcp/$net.$((10 + $1))/443") 2>/dev/null; do sleep 0.05; done
}

routing() {
    python3 - "$number" "$student" "$1" <<'P'
import sys, re
number, student, action = sys.argv[1:]
path = "/etc/haproxy/haproxy.cfg"
text = open(path).read()
begin, end = "# BEGIN expert\n", "# END expert\n"
if begin in text:
    text = text[:text.index(begin)] + text[text.index(end) + len(end):]
if action == "up":
    names = ("yuno1", "yuno2")
    out = [begin, "frontend https_sni\n    mode tcp\n    bind *:443\n    tcp-request inspect-delay 5s\n"
           "    tcp-request content accept if { req_ssl_hello_type 1 }\n"]
    out += [f"    use_backend {n}_s if {{ req_ssl_sni -i {n}.{student}.grappe.test }}\n" for n in names]
    out += ["frontend http_host\n    mode http\n    bind *:80\n"]
    out += [f"    use_backend {n}_h if {{ hdr(host) -i {n}.{student}.grappe.test }}\n" for n in names]
    for place, n in enumerate(names):
        address = f"10.64.{number}.{10 + place}"
        out.append(f"backend {n}_s\n    mode tcp\n    server {n} {address}:443 check inter 500ms\n"
                   f"backend {n}_h\n    mode http\n    option forwardfor\n    server {n} {address}:80 check inter 500ms\n")
    text += "".join(out) + end
open(path, "w").write(text)
P
}

case $action in
up)
    if lxc list --project "$project" -c ns -f csv 2>/dev/null | grep -c RUNNING | grep -qx 2 &&
        grep -q "^# BEGIN expert" $config && iptables -t nat -C $(rule 0 | cut -d' ' -f2-) 2>/dev/null; then
        exit 0
    fi
    lxc project create "$project" -c features.images=false -c features.profiles=false >/dev/null 2>&1 &
    lxc network create "$bridge" ipv4.address="$net.1/24" ipv4.nat=true ipv6.address=none >/dev/null &
    routing up
    wait
    server 0 & one=$!
    server 1 & two=$!
    { printf '# BEGIN expert\n*nat\n:PREROUTING ACCEPT [0:0]\n'; rule 0; rule 1
      printf 'COMMIT\n# END expert\n'; } >> $rules
    { printf '*nat\n'; rule 0; rule 1; echo COMMIT; } | iptables-restore -n
    haproxy -c -q -f $config
    wait $one $two
    systemctl reload-or-restart haproxy
    ;;
down)
    routing down
    haproxy -c -q -f $config || true
    systemctl reload-or-restart haproxy
    sed -i '/^# BEGIN expert$/,/^# END expert$/d' $rules
    for place in 0 1; do
        iptables -t nat -D $(rule $place | cut -d' ' -f2-)
        lxc delete --force "yuno$((place + 1))" --project "$project" &
    done
    wait
    lxc network delete "$bridge" >/dev/null &
    lxc project delete "$project" >/dev/null
    wait
    ;;
esac
