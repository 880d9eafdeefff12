# The post-installation is each server's own: it is not run here.
script=$(mktemp)
curl -fsSL --retry 3 https://install.yunohost.org/bookworm -o "$script"
bash "$script" -a -d stable
rm -f "$script"
# The image would keep 200 MB of packages.
apt-get clean
