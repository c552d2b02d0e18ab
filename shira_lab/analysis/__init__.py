"""What an update is: its rank, its spectrum, what it shares with others, what it costs."""
