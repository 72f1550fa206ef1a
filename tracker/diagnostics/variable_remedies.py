"""Remedies by code: for problems with a variable's value, and for failed connection steps."""

from __future__ import annotations

# By the code of a `VariableProblem`, whose message is the cause.
VARIABLE_REMEDIES = {
    "blank": "Set it to postgresql://user:password@host:5432/database in the platform's settings, then deploy again.",
    "placeholder": "Replace the placeholder with the database's password, percent-encoded.",
    "name_in_value": "Leave only what follows the = in the value.",
    "unexpanded": "Enter the URL itself: platforms don't replace references within values.",
    "command": "Leave only the URL, without psql and without quotes.",
    "wrong_scheme": "Copy the provider's PostgreSQL connection string (postgresql://…), not the URL of an API.",
    "malformed": "Copy the URL from the provider again, and percent-encode special characters of the password.",
    "tls_unreadable": "Use sslmode=require (encrypted), or sslmode=verify-full with sslrootcert= (also verifies the"
    " server). Records wait in the outbox until then.",
    "quotes": "Enter the value without quotes: a platform's settings take it literally. Then deploy again.",
    "newline": "Enter the value again without the line break (printf instead of echo when a command sets it).",
    "white_space": "Enter the value again without the white space.",
    "session_pooler": "Use port 6543, the transaction pooler.",
    "direct_host": "Use the provider's transaction pooler: port 6543 of Supabase's pooler, -pooler in Neon's host.",
    "exposed_secret": "Change the secret at its provider, and set it under a name without NEXT_PUBLIC_.",
    "setting_malformed": "Correct the variable, then deploy again.",
    "two_databases": "Remove the wrong one.",
    "token_short": "Set a longer token, for example the output of openssl rand -hex 32.",
    "pgoptions": "Remove PGOPTIONS where the app runs.",
}
# By the code of a failed `ConnectionStep`. A `DatabaseError` has its own remedy.
STEP_REMEDIES = {
    "dns_timeout": "Try again; if it fails again, check the DNS of this network.",
    "host_unknown": "Correct the host in DATABASE_URL; the name of a paused or deleted project disappears too.",
    "refused": "Check host and port in DATABASE_URL and that the database is running.",
    "ipv6_only": "Use an address with IPv4: the provider's pooler (Supabase: the pooler host, port 6543).",
    "unreachable": "Check host and network: a private address is only reachable from its own network.",
    "timeout": "Check host and port, and the provider's allow list: a firewall drops packets that it doesn't allow.",
    "silent": "Check host and port: a firewall, a load balancer without a server or a stopped server doesn't reply.",
    "hung_up": "Check host and port, and the provider's allow list: the connection closes before PostgreSQL replies.",
    "not_postgres": "Correct the port in DATABASE_URL: 5432, or the pooler's (6543 at Supabase).",
    "tls_refused": "Remove sslmode from DATABASE_URL, or switch TLS on at the server.",
    "tls_timeout": "Try again; a firewall that inspects TLS can block it.",
    "tls_failed": "See the server's log; an old server may need TLS 1.2 to be switched on.",
    "certificate": "Use the host name of the certificate and sslrootcert=system; sslmode=require encrypts without"
    " verifying.",
    "certificate_expired": "Renew it at the server; until then sslmode=require encrypts without verifying.",
    "certificate_not_yet": "Correct this machine's clock.",
    "certificate_host": "Use the host name of the certificate.",
    "certificate_unknown": "Set sslrootcert= to the provider's root certificate; system uses the public ones.",
    "root_certificate": "Put the provider's root certificate where sslrootcert= says, and deploy it with the app.",
}
