"""The common part of the kinds whose resource is one fragment of shared files.

A resource contributes a fragment. `remote.transaction` compiles the shared files from all of them;
`client` sends it changes.
"""
