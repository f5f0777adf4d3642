"""The scenarios, a file for each family of faults. Every module in here is found and loaded."""
