"""The user's hooks: a desktop notification, a webhook, a command. docs/notifications.md."""
