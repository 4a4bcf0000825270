"""Progressive escalation: cheap first, each answer looked at, stronger ones where that pays."""
