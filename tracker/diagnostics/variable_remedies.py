"""What to do about the form of a variable, and about a step of the network that failed."""

from __future__ import annotations

# What to do about a variable's shape, by its code; the sentence itself is the cause.
SHAPES = {
    "blank": "Set it to postgresql://user:password@host:5432/database in the platform's settings, then deploy again.",
    "placeholder": "Put the database's password in the place of the placeholder, percent-encoded.",
    "name_in_value": "Leave only what follows the = in the value.",
    "unexpanded": "Write the address itself: platforms don't replace references within values.",
    "command": "Leave only the address itself, without psql and without quotes.",
    "wrong_scheme": "Copy the provider's PostgreSQL connection string: postgresql://…, and no API's address.",
    "malformed": "Copy the address from the provider again, and percent-encode special characters of the password.",
    "tls_unreadable": "Write sslmode=require (encrypted), or sslmode=verify-full with sslrootcert= (the server is"
    " verified too). Records wait in the outbox until then.",
    "quotes": "Enter the value without quotes: a platform's settings take it as it stands. Then deploy again.",
    "newline": "Enter the value again without the line break (printf instead of echo when a command sets it).",
    "white_space": "Enter the value again without the white space.",
    "session_pooler": "Use port 6543, the transaction pooler.",
    "direct_host": "Use the provider's transaction pooler: port 6543 of Supabase's pooler, -pooler in Neon's host.",
    "exposed_secret": "Change the secret at its provider, and set it under a name without NEXT_PUBLIC_.",
    "setting_malformed": "Correct the variable, then deploy again.",
    "two_databases": "Remove the one that isn't meant.",
    "token_short": "Set a longer one, such as openssl rand -hex 32 prints.",
    "pgoptions": "Remove PGOPTIONS where the app runs.",
}
# What to do about a step of the network; a database's own error brings its remedy.
STEPS = {
    "dns_timeout": "Try again; if it stays so, look at the name service of this network.",
    "host_unknown": "Correct the host in DATABASE_URL; a paused or deleted project's name disappears too.",
    "refused": "Check host and port in DATABASE_URL and that the database is running.",
    "ipv6_only": "Use an address with IPv4: the provider's pooler (Supabase: the pooler host, port 6543).",
    "unreachable": "Check host and network: a private address can only be reached from its own network.",
    "timeout": "Check host and port, and the provider's allow list: a firewall drops what it doesn't let in.",
    "silent": "Check host and port: a firewall, a load balancer without a server or a stopped server holds the line.",
    "hung_up": "Check host and port, and the provider's allow list: what answers hangs up before PostgreSQL speaks.",
    "not_postgres": "Correct the port in DATABASE_URL: 5432, or the pooler's (6543 at Supabase).",
    "tls_refused": "Remove sslmode from DATABASE_URL, or switch TLS on at the server.",
    "tls_timeout": "Try again; a firewall that inspects TLS can hold it up.",
    "tls_failed": "See the server's log; an old server may need TLS 1.2 to be switched on.",
    "certificate": "Use the name it is made for and sslrootcert=system; sslmode=require encrypts without verifying.",
    "certificate_expired": "Renew it at the server; until then sslmode=require encrypts without verifying.",
    "certificate_not_yet": "Set this machine's clock right.",
    "certificate_host": "Use the host name that the certificate is made for.",
    "certificate_unknown": "Name the provider's root certificate with sslrootcert=; system stands for the public ones.",
    "root_certificate": "Put the provider's root certificate where sslrootcert= says, and deploy it with the app.",
}
