"""What tests of more than one folder need and nobody else does: what users need too is in `rpcsvc.testing`."""
