"""The running thing: HTTP, providers, storage, alerts, console, command line."""
