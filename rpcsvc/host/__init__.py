"""What this machine gives, and what it does to a program: event loop, allocator, streams, signals, processes."""
