"""The command line: one file a command group. Exit codes: 0 done, 1 the work failed, 2 wrong usage or config."""
