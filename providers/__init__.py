"""The kinds of resources that Grappe makes on hosts, one folder each."""
