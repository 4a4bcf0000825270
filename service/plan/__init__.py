"""What is wanted: the form of the plan file, a model a section."""
