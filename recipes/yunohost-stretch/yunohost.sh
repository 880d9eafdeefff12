# The post-installation is each server's own: it is not run here.
script=$(mktemp)
curl -fsSL --retry 3 https://install.yunohost.org/stretch -o "$script"
bash "$script" -a -d stable
rm -f "$script"
