"""The bench's own judgement: what it finds in what was measured, not what it measures."""
