"""Files that many stacks share, changed in transactions.

A resource contributes a fragment; from all fragments the managed parts of the
shared files are compiled. `document`, `store`, `system`, `area` and
`transaction` run on the host, sent over the connection: they use the standard
library alone. `client` sends them.
"""
