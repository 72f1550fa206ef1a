"""Access control of the dashboard: password hashes, logins, Host and Origin checks. It needs no extra."""
