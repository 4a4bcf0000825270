"""The operators' pages: they read the runtime, frames and reports, and own no logic."""
