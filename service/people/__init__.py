"""What waits for a person: put to one, claimed, decided, or left to its time; what follows."""
