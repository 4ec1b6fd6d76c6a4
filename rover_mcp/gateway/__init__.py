"""The gateway is the only way from a sandbox to the outside: docs/gateway.md."""
