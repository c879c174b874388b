"""What any run of ours needs, whatever its method: workers, guards, names, caches."""
