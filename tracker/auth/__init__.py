"""Who may come in: this machine itself, a password, a host's and an origin's name. The core install is enough."""
