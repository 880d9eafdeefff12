apt-get update -q
apt-get install -q -y --no-install-recommends htop curl ca-certificates openssh-server
