"""One file per noun or verb of the `penstock` command; each adds its commands to a group."""
