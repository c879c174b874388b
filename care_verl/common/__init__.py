"""What several rooms stand on, and none owns."""
