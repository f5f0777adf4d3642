"""A registry that cannot be imported."""

from rpcsvc import Registry

registry = Registry()
1 / 0  # noqa: B018
