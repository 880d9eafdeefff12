# Install scripts have been seen to hide a failure of apt: ask dpkg.
for package in yunohost yunohost-admin nginx; do
    state=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || echo "not installed")
    echo "$package: $state"
    test "$state" = "install ok installed"
done
test ! -e /etc/yunohost/installed
yunohost --version
