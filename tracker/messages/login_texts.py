"""Messages of refused connections; `name.remedy` is the remedy of the cause `name`."""

from __future__ import annotations

TEXTS = {
    "password_wrong": "The server {server} refused the password of user {user}.",
    "password_wrong.remedy": "Copy user and password into DATABASE_URL again, with special characters"
    " percent-encoded: a user that isn't there is refused in the same words.",
    "password_expired": "The password of user {user} on {server} has expired.",
    "password_expired.remedy": "Set a new one, or a later date: ALTER ROLE … PASSWORD … VALID UNTIL ….",
    "password_missing": "The server {server} requires a password, and the URL contains none.",
    "password_missing.remedy": "Write it into DATABASE_URL: postgresql://user:password@host/database.",
    "iam_refused": "The server {server} refused the access token of user {user}.",
    "iam_refused.remedy": "Use a new token as the password (on AWS it is valid for 15 minutes), and allow the role to"
    " connect (rds-db:connect on AWS).",
    "pam_refused": "The server {server} refused user {user}: PAM authentication failed.",
    "pam_refused.remedy": "Check the password. On Amazon RDS this is IAM authentication: use a new token (valid for"
    " 15 minutes) and allow rds-db:connect for this user.",
    "pooler_credentials": "The pooler at {server} has no credentials for the user {user}.",
    "pooler_credentials.remedy": "Register the user's password at the pooler (RDS Proxy: a Secrets Manager secret in"
    " its auth settings).",
    "tenant_unnamed": "The pooler at {server} can't tell which project the user {user} belongs to.",
    "tenant_unnamed.remedy": "Write the user as postgres.PROJECT: copy the pooler's URL from the provider again.",
    "tenant_unknown": "The pooler at {server} doesn't know the user {user}.",
    "tenant_unknown.remedy": "Supabase's pooler wants the user as postgres.PROJECT and the project's own region: copy"
    " the URL again. A paused project is unknown too.",
    "provider_banned": "The provider has blocked the project behind {server}.",
    "provider_banned.remedy": "See the provider's console, or ask its support.",
    "provider_throttled": "The pooler at {server} refuses connections for some minutes, after too many failed ones.",
    "provider_throttled.remedy": "Correct the password in DATABASE_URL if it is wrong; then wait. The block ends by"
    " itself.",
    "provider_starting": "The provider is starting the database behind {server}, or it is under maintenance.",
    "provider_starting.remedy": "This is temporary. If it continues, see the provider's console and its status page.",
    "provider_down": "The provider's control plane behind {server} didn't answer.",
    "provider_down.remedy": "This is temporary. If it continues, see the provider's status page.",
    "quota_exceeded": "A quota of the provider is used up, so {server} refuses connections.",
    "quota_exceeded.remedy": "Upgrade the plan, or wait until the quota is reset: see the provider's console.",
    "endpoint_disabled": "The database behind {server} is disabled, paused or stopped at the provider.",
    "endpoint_disabled.remedy": "Enable or resume it in the provider's console.",
    "endpoint_missing": "The provider has no database endpoint {host}.",
    "endpoint_missing.remedy": "Copy the URL from the provider's console again: the endpoint, branch or project was"
    " deleted or renamed.",
    "endpoint_unnamed": "The proxy at {server} can't tell which endpoint is meant.",
    "endpoint_unnamed.remedy": "Use the provider's host name as it is, not an IP address; behind a proxy without SNI"
    " see neon.tech/sni.",
    "database_missing": "The server {server} has no database {dbname}.",
    "database_missing.remedy": "Correct the name at the end of DATABASE_URL, or create it: CREATE DATABASE.",
    "database_closed": "The database {dbname} on {server} takes no connections.",
    "database_closed.remedy": "Allow them: ALTER DATABASE … ALLOW_CONNECTIONS true, or enable it at the pooler.",
    "role_missing": "The server {server} has no user {user}.",
    "role_missing.remedy": "Correct the user in DATABASE_URL, or create it: CREATE ROLE … LOGIN PASSWORD ….",
    "user_missing": "The server {server} got no user name that it can use.",
    "user_missing.remedy": "Write it into DATABASE_URL as the provider shows it:"
    " postgresql://user:password@host/database.",
    "tls_required": "The server {server} takes encrypted connections only.",
    "tls_required.remedy": "Add ?sslmode=require to DATABASE_URL.",
    "tls_refused": "The server {server} doesn't speak TLS, and DATABASE_URL asks for it.",
    "tls_refused.remedy": "Remove sslmode from DATABASE_URL, or switch TLS on at the server.",
    "tls_failed": "The TLS handshake with {server} failed.",
    "tls_failed.remedy": "See the server's log; an old server may need TLS 1.2, and a firewall may interrupt TLS.",
    "client_certificate": "The client certificate or its key can't be read{file}.",
    "client_certificate.remedy": "Put both files where sslcert= and sslkey= of DATABASE_URL say (else"
    " ~/.postgresql/postgresql.crt and .key), readable for this process; the key must be closed to others: chmod 600.",
    "client_certificate_required": "The server {server} asks user {user} for a client certificate and accepted none.",
    "client_certificate_required.remedy": "Name one with sslcert= and sslkey= in DATABASE_URL; its common name must"
    " be the user's.",
    "root_certificate": "The root certificate that sslmode asks for can't be read.",
    "root_certificate.remedy": "Put the provider's root certificate where sslrootcert points to, and deploy it with the"
    " app.",
    "certificate": "The certificate of the server {server} couldn't be verified.",
    "certificate.remedy": "Use the host name it is made for and sslrootcert=system; sslmode=require encrypts without"
    " verifying.",
    "not_allowed": "The server {server} doesn't let user {user} into database {dbname} from here.",
    "not_allowed.remedy": "Allow this address in the server's network settings (pg_hba.conf, or the provider's allow"
    " list).",
    "login_refused": "User {user} may not connect to database {dbname} on {server}.",
    "login_refused.remedy": "Grant it: GRANT CONNECT ON DATABASE …; ALTER ROLE … LOGIN.",
    "authentication_unsupported": "The server {server} and this client have no authentication method in common.",
    "authentication_unsupported.remedy": "Change the method at the server or proxy (scram-sha-256), or"
    " channel_binding= and require_auth= in DATABASE_URL.",
    "pooler_behind": "The pooler at {server} can't log in at the database behind it.",
    "pooler_behind.remedy": "Check the database's name in DATABASE_URL and that its server runs; the pooler tries"
    " again by itself.",
    "pooler_full": "The server or pooler at {server} is out of memory, disk or processes.",
    "pooler_full.remedy": "This is temporary. If it continues, give the server or pooler more.",
    "pooler_config": "The pooler at {server} is configured wrongly.",
    "pooler_config.remedy": "See the pooler's log.",
    "parameter_refused": "The pooler at {server} refused a connection parameter.",
    "parameter_refused.remedy": "Remove extra parameters and the PGOPTIONS variable.",
    "parameter_invalid": "A connection parameter can't be read: of DATABASE_URL, or a PG… variable of the environment.",
    "parameter_invalid.remedy": "Correct it; PGSSLMODE, PGSSLROOTCERT and similar variables apply unless DATABASE_URL"
    " overrides them.",
    "session_pool_full": "The session pooler at {server} has no connection left: in session mode each client keeps"
    " one.",
    "session_pool_full.remedy": "Use the provider's transaction pooler (port 6543 at Supabase, -pooler at Neon): at"
    " Supabase only the port changes.",
    "pool_exhausted": "The pooler at {server} had no free database connection in time.",
    "pool_exhausted.remedy": "Use the provider's transaction pooler (port 6543 at Supabase, -pooler at Neon), end"
    " long transactions, or give the pooler more connections.",
    "too_many_connections": "The server {server} has no connection left.",
    "too_many_connections.remedy": "Use the provider's transaction pooler (port 6543 at Supabase, -pooler at Neon) or"
    " lower TRACKER_POOL_SIZE.",
    "starting": "The server {server} is starting or stopping.",
    "starting.remedy": "It passes by itself.",
    "wrong_role_of_server": "No server in DATABASE_URL is of the kind that target_session_attrs asks for.",
    "wrong_role_of_server.remedy": "Name the primary's address, or remove target_session_attrs; during a failover it"
    " passes by itself.",
    "host_unknown": "There is no server named {host}.",
    "host_unknown.remedy": "Correct the host in DATABASE_URL; a paused project's name disappears too.",
    "refused": "Nothing answers at {server}.",
    "refused.remedy": "Check host and port in DATABASE_URL and that the database is running.",
    "ipv6_only": "{host} has an IPv6 address alone, which this network can't reach.",
    "ipv6_only.remedy": "Use an address with IPv4: the provider's pooler (Supabase: the pooler host, port 6543).",
    "unreachable": "{server} is not reachable from this network.",
    "unreachable.remedy": "Check host, port and network: a private address can only be reached from its own network.",
    "timeout": "The server {server} didn't answer in time.",
    "timeout.remedy": "Check host, port and the provider's allow list, and that this network reaches its address"
    " (IPv4 or IPv6).",
    "hung_up": "The server at {server} closed the connection during the login.",
    "hung_up.remedy": "Check host and port, and the provider's allow list; if the server was restarting, it passes by"
    " itself.",
    "not_postgres": "{server} does not speak the PostgreSQL protocol.",
    "not_postgres.remedy": "Correct the port in DATABASE_URL: 5432, or the pooler's (6543 at Supabase).",
    "connect_refused": "The server {server} refused the connection.",
    "connect_refused.remedy": "See the documentation of the server or pooler, and check DATABASE_URL.",
    "connect_failed": "The connection to {server} couldn't be made.",
    "connect_failed.remedy": "Check DATABASE_URL; it is tried again.",
}  # fmt: skip
