"""The operator's hand: overrides checked, laid, renewed, lifted, and tried on the log first."""
