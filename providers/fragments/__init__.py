"""What the kinds have in common that stand in files which many stacks share.

A resource contributes a fragment. `remote.transaction` compiles the shared files from all of them;
`client` sends it changes.
"""
