"""All that stands on the wire, pure: docs/wire.md as code."""
