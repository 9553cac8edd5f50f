"""What operators ordered, in files that every process of this machine follows; no server of ours keeps it."""
