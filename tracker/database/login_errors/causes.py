"""The causes of a refused login, each with its sentence and its remedy."""

from __future__ import annotations

from typing import NamedTuple


class Cause(NamedTuple):
    """One cause. `sentence` may contain {server}, {host}, {user}, {dbname}; a retry may help if it `is_temporary`."""

    sentence: str
    remedy: str
    is_temporary: bool = False


CAUSES: dict[str, Cause] = {
    "password_wrong": Cause(
        "The server {server} refused the password of user {user}.",
        "Copy user and password into DATABASE_URL again, with special characters percent-encoded: a user that isn't"
        " there is refused in the same words.",
    ),
    "password_expired": Cause(
        "The password of user {user} on {server} has expired.",
        "Set a new one, or a later date: ALTER ROLE … PASSWORD … VALID UNTIL ….",
    ),
    "password_missing": Cause(
        "The server {server} requires a password, and the URL contains none.",
        "Write it into DATABASE_URL: postgresql://user:password@host/database.",
    ),
    "iam_refused": Cause(
        "The server {server} refused the access token of user {user}.",
        "Use a new token as the password (on AWS it is valid for 15 minutes), and allow the role to connect"
        " (rds-db:connect on AWS).",
    ),
    "pam_refused": Cause(
        "The server {server} refused user {user}: PAM authentication failed.",
        "Check the password. On Amazon RDS this is IAM authentication: use a new token (valid for 15 minutes) and allow"
        " rds-db:connect for this user.",
    ),
    "pooler_credentials": Cause(
        "The pooler at {server} has no credentials for the user {user}.",
        "Register the user's password at the pooler (RDS Proxy: a Secrets Manager secret in its auth settings).",
    ),
    "tenant_unnamed": Cause(
        "The pooler at {server} can't tell which project the user {user} belongs to.",
        "Write the user as postgres.PROJECT: copy the pooler's URL from the provider again.",
    ),
    "tenant_unknown": Cause(
        "The pooler at {server} doesn't know the user {user}.",
        "Supabase's pooler wants the user as postgres.PROJECT and the project's own region: copy the URL again. A"
        " paused project is unknown too.",
    ),
    "provider_banned": Cause(
        "The provider has blocked the project behind {server}.",
        "See the provider's console, or ask its support.",
    ),
    "provider_throttled": Cause(
        "The pooler at {server} refuses connections for some minutes, after too many failed ones.",
        "Correct the password in DATABASE_URL if it is wrong; then wait. The block ends by itself.",
        is_temporary=True,
    ),
    "provider_starting": Cause(
        "The provider is starting the database behind {server}, or it is under maintenance.",
        "This is temporary. If it continues, see the provider's console and its status page.",
        is_temporary=True,
    ),
    "provider_down": Cause(
        "The provider's control plane behind {server} didn't answer.",
        "This is temporary. If it continues, see the provider's status page.",
        is_temporary=True,
    ),
    "quota_exceeded": Cause(
        "A quota of the provider is used up, so {server} refuses connections.",
        "Upgrade the plan, or wait until the quota is reset: see the provider's console.",
    ),
    "endpoint_disabled": Cause(
        "The database behind {server} is disabled, paused or stopped at the provider.",
        "Enable or resume it in the provider's console.",
    ),
    "endpoint_missing": Cause(
        "The provider has no database endpoint {host}.",
        "Copy the URL from the provider's console again: the endpoint, branch or project was deleted or renamed.",
    ),
    "endpoint_unnamed": Cause(
        "The proxy at {server} can't tell which endpoint is meant.",
        "Use the provider's host name as it is, not an IP address; behind a proxy without SNI see neon.tech/sni.",
    ),
    "database_missing": Cause(
        "The server {server} has no database {dbname}.",
        "Correct the name at the end of DATABASE_URL, or create it: CREATE DATABASE.",
    ),
    "database_closed": Cause(
        "The database {dbname} on {server} takes no connections.",
        "Allow them: ALTER DATABASE … ALLOW_CONNECTIONS true, or enable it at the pooler.",
        is_temporary=True,
    ),
    "role_missing": Cause(
        "The server {server} has no user {user}.",
        "Correct the user in DATABASE_URL, or create it: CREATE ROLE … LOGIN PASSWORD ….",
    ),
    "user_missing": Cause(
        "The server {server} got no user name that it can use.",
        "Write it into DATABASE_URL as the provider shows it: postgresql://user:password@host/database.",
    ),
    "tls_required": Cause(
        "The server {server} takes encrypted connections only.",
        "Add ?sslmode=require to DATABASE_URL.",
    ),
    "tls_refused": Cause(
        "The server {server} doesn't speak TLS, and DATABASE_URL asks for it.",
        "Remove sslmode from DATABASE_URL, or switch TLS on at the server.",
    ),
    "tls_failed": Cause(
        "The TLS handshake with {server} failed.",
        "See the server's log; an old server may need TLS 1.2, and a firewall may interrupt TLS.",
        is_temporary=True,
    ),
    "client_certificate": Cause(
        "The client certificate or its key can't be read{file}.",
        "Put both files where sslcert= and sslkey= of DATABASE_URL say (else ~/.postgresql/postgresql.crt and .key),"
        " readable for this process; the key must be closed to others: chmod 600.",
    ),
    "client_certificate_required": Cause(
        "The server {server} asks user {user} for a client certificate and accepted none.",
        "Name one with sslcert= and sslkey= in DATABASE_URL; its common name must be the user's.",
    ),
    "root_certificate": Cause(
        "The root certificate that sslmode asks for can't be read.",
        "Put the provider's root certificate where sslrootcert= says, and deploy it with the app.",
    ),
    "certificate": Cause(
        "The certificate of the server {server} couldn't be verified.",
        "Use the host name it is made for and sslrootcert=system; sslmode=require encrypts without verifying.",
    ),
    "not_allowed": Cause(
        "The server {server} doesn't let user {user} into database {dbname} from here.",
        "Allow this address in the server's network settings (pg_hba.conf, or the provider's allow list).",
    ),
    "login_refused": Cause(
        "User {user} may not connect to database {dbname} on {server}.",
        "Grant it: GRANT CONNECT ON DATABASE …; ALTER ROLE … LOGIN.",
    ),
    "authentication_unsupported": Cause(
        "The server {server} and this client have no authentication method in common.",
        "Change the method at the server or proxy (scram-sha-256), or channel_binding= and require_auth= in"
        " DATABASE_URL.",
    ),
    "pooler_behind": Cause(
        "The pooler at {server} can't log in at the database behind it.",
        "Check the database's name in DATABASE_URL and that its server runs; the pooler tries again by itself.",
        is_temporary=True,
    ),
    "pooler_full": Cause(
        "The server or pooler at {server} is out of memory, disk or processes.",
        "This is temporary. If it continues, give the server or pooler more.",
        is_temporary=True,
    ),
    "pooler_config": Cause(
        "The pooler at {server} is configured wrongly.",
        "See the pooler's log.",
    ),
    "parameter_refused": Cause(
        "The pooler at {server} refused a connection parameter.",
        "Remove extra parameters and the PGOPTIONS variable.",
    ),
    "parameter_invalid": Cause(
        "A connection parameter can't be read: of DATABASE_URL, or a PG… variable of the environment.",
        "Correct it; PGSSLMODE, PGSSLROOTCERT and similar variables apply unless DATABASE_URL overrides them.",
    ),
    "session_pool_full": Cause(
        "The session pooler at {server} has no connection left: in session mode each client keeps one.",
        "Use the provider's transaction pooler (port 6543 at Supabase, -pooler at Neon): at Supabase only the port"
        " changes.",
        is_temporary=True,
    ),
    "pool_exhausted": Cause(
        "The pooler at {server} had no free database connection in time.",
        "Use the provider's transaction pooler (port 6543 at Supabase, -pooler at Neon), end long transactions, or give"
        " the pooler more connections.",
        is_temporary=True,
    ),
    "too_many_connections": Cause(
        "The server {server} has no connection left.",
        "Use the provider's transaction pooler (port 6543 at Supabase, -pooler at Neon) or lower TRACKER_POOL_SIZE.",
        is_temporary=True,
    ),
    "starting": Cause("The server {server} is starting or stopping.", "It passes by itself.", is_temporary=True),
    "wrong_role_of_server": Cause(
        "No server in DATABASE_URL is of the kind that target_session_attrs asks for.",
        "Name the primary's address, or remove target_session_attrs; during a failover it passes by itself.",
        is_temporary=True,
    ),
    "host_unknown": Cause(
        "There is no server named {host}.",
        "Correct the host in DATABASE_URL; a paused project's name disappears too.",
        is_temporary=True,
    ),
    "refused": Cause(
        "Nothing answers at {server}.",
        "Check host and port in DATABASE_URL and that the database is running.",
        is_temporary=True,
    ),
    "ipv6_only": Cause(
        "{host} has an IPv6 address alone, which this network can't reach.",
        "Use an address with IPv4: the provider's pooler (Supabase: the pooler host, port 6543).",
    ),
    "unreachable": Cause(
        "{server} is not reachable from this network.",
        "Check host, port and network: a private address can only be reached from its own network.",
        is_temporary=True,
    ),
    "timeout": Cause(
        "The server {server} didn't answer in time.",
        "Check host, port and the provider's allow list, and that this network reaches its address (IPv4 or IPv6).",
        is_temporary=True,
    ),
    "hung_up": Cause(
        "The server at {server} closed the connection during the login.",
        "Check host and port, and the provider's allow list; if the server was restarting, it passes by itself.",
        is_temporary=True,
    ),
    "not_postgres": Cause(
        "{server} does not speak the PostgreSQL protocol.",
        "Correct the port in DATABASE_URL: 5432, or the pooler's (6543 at Supabase).",
    ),
    "connect_refused": Cause(
        "The server {server} refused the connection.",
        "See the documentation of the server or pooler, and check DATABASE_URL.",
    ),
    "connect_failed": Cause(
        "The connection to {server} couldn't be made.",
        "Check DATABASE_URL; it is tried again.",
        is_temporary=True,
    ),
}
