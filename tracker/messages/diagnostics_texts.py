"""Messages of the debug report and its probes; `name.remedy` is the remedy of the cause `name`."""

from __future__ import annotations

TEXTS = {
    "embedded_database_used": "DATABASE_URL is not set: the embedded database of this machine is used.",
    "drain_to_embedded_database": "To deliver queued records of this machine to the embedded database: token-tracker"
    " outbox drain --embedded.",
    "log_level_process_hides_info_lines": "The log level of this process hides INFO lines; it shows failures and slow"
    " records.",
    "postgresql_one_round_trip_ms": "PostgreSQL {serverVersion}, one round trip {latencyMs} ms.",
    "all_columns_exist_test_insert_succeeded": "All columns exist, and a test insert succeeded (and was rolled back).",
    "pages_query_reads_test_recordings": "The pages' query reads {value} test recordings.",
    "answered_all_keys": "It answered {status} with all keys.",
    "database_configured": "No database is configured.",
    "database_reachable": "The database is not reachable.",
    "there_database_record": "There is no database to record in.",
    "process_doesnt_serve_get_api_debug": "This process doesn't serve GET /api/debug/token-tracking.",
    "nothing_recorded_there_nothing_log": "Nothing was recorded, so there is nothing to log.",
    "log_line_about_test_recordings_tracker_log_records": "The log has no line about the test recordings:"
    " TRACKER_LOG_RECORDS is off.",
    "open_dashboard_check": "Open the dashboard to check it.",
    "one_two_table_record_run_token": "One of the two has no table to record in: run token-tracker migrate there.",
    "one_two_cant_insert_role_table": "One of the two can't insert: its role, its table or its server differs.",
    "different_servers_calls_recorded_one_dont": "Different servers: calls recorded on one don't appear on the other.",
    "one_uses_pooler_serverless_use_transaction": "One uses a pooler: on serverless, use the transaction pooler"
    " (6543).",
    "different_databases_calls_recorded_one_dont": "Different databases: calls recorded in one don't appear in the"
    " other.",
    "different_schemas_each_own_table_token_usage": "Different schemas: each has its own table token_usage.",
    "different_roles_their_rights_row_level": "Different roles: their rights and row-level security may differ.",
    "only_one_two_requires_encryption": "Only one of the two requires encryption.",
    "tables_differ_run_token_tracker_migrate": "The tables differ: run token-tracker migrate where columns are"
    " missing.",
    "one_role_lacks_right_other": "One role lacks a right that the other has.",
    "optional_columns_differ": "One database lacks columns: run token-tracker migrate.",
    "one_database_lacks_migrations_run_token": "One database lacks migrations: run token-tracker migrate.",
    "one_two_replica_sessions_read_only": "One of the two is a replica, or its sessions are read-only.",
    "function_far_database_run_databases_region": "The function is far from the database: run it in the database's"
    " region.",
    "different_server_versions": "Different server versions.",
    "only_one_two_records_they_dont": "Only one of the two has records: they don't write to the same table.",
    "serverless_record_writes_before_returns_server": "On serverless, record() writes before it returns; on a server,"
    " in the background.",
    "each_instance_opens_most_many_connections": "Each instance opens at most this many connections; serverless has"
    " many instances.",
    "platform_determines_mode_connection_policy": "The platform determines the mode and the connection policy.",
    "one_two_farther_database": "One of the two is farther from the database.",
    "records_waiting_one_two_arent_delivered": "Records are waiting in one of the two and aren't delivered.",
    "one_production_build_each_environment_own": "One is a production build; each environment has its own variables.",
    "serverless_short_lived_instances_few_connections": "Serverless: short-lived instances, few connections, nothing"
    " runs after the response.",
    "vercel_production_preview_development_their_own": "On Vercel, production, preview and development have their own"
    " variables.",
    "where_function_runs_set_only_deployed": "Where the function runs; set only in a deployed one.",
    "nothing_recorded_where_set_set_there": "Nothing can be recorded where it is not set: set it there and deploy"
    " again.",
    "used_if_database_url_set": "Used if DATABASE_URL is not set.",
    "ai_call_fails_where_set_there": "The AI call fails where it is not set, so there is nothing to record.",
    "apps_supabase_client_fails_where_set": "The app's Supabase client fails where it is not set.",
    "apps_server_cant_write_supabase_where": "The app's server can't write to Supabase where it is not set.",
    "two_deployments_different_values": "The two deployments have different values.",
    "neither_deployment_reaches_database_see_recommendations": "Neither deployment reaches the database: see the"
    " recommendations of both.",
    "problem_other_deployment": "{name} has a problem in the other deployment: {there}.",
    "set_only_one_two": "{value} is set in only one of the two.",
    "only_deployment_reaches_database_see_recommendations": "Only this deployment reaches the database: see the"
    " recommendations of the other one.",
    "only_other_deployment_reaches_database_see": "Only the other deployment reaches the database: see the"
    " recommendations of this one.",
    "problem_deployment": "{name} has a problem in this deployment: {here}.",
    "url_begins_http_which_would_expose": "The URL begins with http://, which would expose the token; use https://.",
    "reports_url_must_begin_https_example": "The report's URL must begin with https://, for example"
    " https://your-app.vercel.app.",
    "reports_url_must_contain_user_password": "The report's URL must not contain a user or a password. Set the token"
    " in TRACKER_DEBUG_TOKEN.",
    "reports_url_contains_white_space_character": "The report's URL contains white space or a character that must be"
    " written as %XX.",
    "there_server_named_correct_url": "There is no server named {hostname}; correct the URL.",
    "address_machine_private_network_reports_fetched": "{hostname} is an address of this machine or of a private"
    " network. Reports are fetched from there only on request (--private).",
    "didnt_answer_time": "{host} didn't answer in time.",
    "answered_redirect_which_followed_enter_url": "It answered {status}, a redirect, which is not followed. Enter the"
    " URL that it redirects to, or switch the redirect off.",
    "answer_larger_bytes_debug_report": "The answer is larger than {MAX_BYTES} bytes; it is not a debug report.",
    "set_tracker_debug_token_here_token_deployment": "Set TRACKER_DEBUG_TOKEN here to the token of that deployment.",
    "proxy_front_route_requires_login_example": "A proxy in front of the route requires a login (for example Vercel's"
    " Deployment Protection).",
    "answered_but_debug_report_route_docs": "It answered {status}, but not with a debug report. The route is"
    " {REPORT_PATH}; docs/debugging.md has a file for each platform.",
    "reports_url_invalid_example_https_your": "The report's URL is invalid; an example is https://your-app.vercel.app.",
    "certificate_cant_verified_nothing_sent": "The certificate of {host} can't be verified; nothing was sent.",
    "cant_reached": "{host} can't be reached.",
    "mode_app_built_development_production": "The mode the app was built for: development or production.",
    "vercel_laptop_after_vercel_dev_vercel": "1 on Vercel, and on a laptop after vercel dev or vercel env pull.",
    "vercels_environment_production_preview_development": "Vercel's environment: production, preview or development.",
    "where_function_runs_set_only_deployed_2": "Where the function runs; set only in a deployed function.",
    "database_calls_recorded": "The database that calls are recorded in.",
    "same_under_name_vercels_postgres_integrations": "The same under the name that Vercel's Postgres integrations"
    " use; DATABASE_URL wins.",
    "lets_app_call_gemini_recording_doesnt": "Lets the app call Gemini; recording doesn't need it.",
    "apps_supabase_project_recording_doesnt_need": "The app's Supabase project; recording doesn't need it.",
    "lets_app_act_supabases_service_role": "Lets the app act as Supabase's service role; recording doesn't need it.",
    "set_but_contains_only_white_space": "It is set, but contains only white space.",
    "silent_after_login": "The server {host}:{port} accepted the login and then stopped answering.",
    "silent_after_login.remedy": "Look for a firewall or a pooler that drops connections, and at the server's load.",
    "cant_read_damaged_locked_permitted": "It can't be read: damaged, locked, or not permitted.",
    "set_database_url_postgresql_user_password_host": "Set DATABASE_URL to"
    " postgresql://user:password@host:5432/database for this environment (production, preview and development each"
    " have their own), then deploy again: running deployments keep their old values.",
    "database_url_names_machine_itself_database_runs": "DATABASE_URL names this machine itself ({host}), and no"
    " database runs here.",
    "value": "The value of {name}.",
    "neither_database_url_postgres_url_set_environment": "Neither DATABASE_URL nor POSTGRES_URL is set in this"
    " environment.",
    "use_address_platform_reach": "Use an address that the platform can reach.",
    "check_database_url": "Check DATABASE_URL.",
    "rule.not_adoptable.remedy": "Change the table as described, then: token-tracker migrate.",
    "schemas_owner_grant_usage_schema": "As the schema's owner: GRANT USAGE ON SCHEMA {schema} TO {user};",
    "role_cannot_record_database_user_lacks": "This role cannot record: the database user {user} lacks a right:"
    " {value}.",
    "insert_refused": "An insert was refused.",
    "rule.column_missing": "The table token_usage lacks columns that recording needs.",
    "rule.column_missing.remedy": "Add them: token-tracker migrate. No column is renamed and no row is rewritten.",
    "variable.blank.remedy": "Set it to postgresql://user:password@host:5432/database in the platform's settings,"
    " then deploy again.",
    "variable.placeholder.remedy": "Replace the placeholder with the database's password, percent-encoded.",
    "variable.name_in_value.remedy": "Leave only what follows the = in the value.",
    "variable.unexpanded.remedy": "Enter the URL itself: platforms don't replace references within values.",
    "variable.command.remedy": "Leave only the URL, without psql and without quotes.",
    "variable.wrong_scheme.remedy": "Copy the provider's PostgreSQL connection string (postgresql://…), not the URL"
    " of an API.",
    "variable.malformed.remedy": "Copy the URL from the provider again, and percent-encode special characters of the"
    " password.",
    "variable.tls_unreadable.remedy": "Use sslmode=require (encrypted), or sslmode=verify-full with sslrootcert="
    " (also verifies the server). Records wait in the outbox until then.",
    "variable.quotes.remedy": "Enter the value without quotes: a platform's settings take it literally. Then deploy"
    " again.",
    "variable.newline.remedy": "Enter the value again without the line break (printf instead of echo when a command"
    " sets it).",
    "variable.white_space.remedy": "Enter the value again without the white space.",
    "variable.session_pooler.remedy": "Use port 6543, the transaction pooler.",
    "variable.direct_host.remedy": "Use the provider's transaction pooler: port 6543 of Supabase's pooler, -pooler in"
    " Neon's host.",
    "variable.exposed_secret.remedy": "Change the secret at its provider, and set it under a name without"
    " NEXT_PUBLIC_.",
    "variable.setting_malformed.remedy": "Correct the variable, then deploy again.",
    "variable.two_databases.remedy": "Remove the wrong one.",
    "variable.token_short.remedy": "Set a longer token, for example the output of openssl rand -hex 32.",
    "variable.pgoptions.remedy": "Remove PGOPTIONS where the app runs.",
    "step.dns_timeout.remedy": "Try again; if it fails again, check the DNS of this network.",
    "step.host_unknown.remedy": "Correct the host in DATABASE_URL; the name of a paused or deleted project disappears"
    " too.",
    "step.refused.remedy": "Check host and port in DATABASE_URL and that the database is running.",
    "step.ipv6_only.remedy": "Use an address with IPv4: the provider's pooler (Supabase: the pooler host, port 6543).",
    "step.unreachable.remedy": "Check host and network: a private address is only reachable from its own network.",
    "step.timeout.remedy": "Check host and port, and the provider's allow list: a firewall drops packets that it"
    " doesn't allow.",
    "step.silent.remedy": "Check host and port: a firewall, a load balancer without a server or a stopped server"
    " doesn't reply.",
    "step.hung_up.remedy": "Check host and port, and the provider's allow list: the connection closes before"
    " PostgreSQL replies.",
    "step.not_postgres.remedy": "Correct the port in DATABASE_URL: 5432, or the pooler's (6543 at Supabase).",
    "step.tls_refused.remedy": "Remove sslmode from DATABASE_URL, or switch TLS on at the server.",
    "step.tls_timeout.remedy": "Try again; a firewall that inspects TLS can block it.",
    "step.tls_failed.remedy": "See the server's log; an old server may need TLS 1.2 to be switched on.",
    "step.certificate.remedy": "Use the host name of the certificate and sslrootcert=system; sslmode=require encrypts"
    " without verifying.",
    "step.certificate_expired.remedy": "Renew it at the server; until then sslmode=require encrypts without verifying.",
    "step.certificate_not_yet.remedy": "Correct this machine's clock.",
    "step.certificate_host.remedy": "Use the host name of the certificate.",
    "step.certificate_unknown.remedy": "Set sslrootcert= to the provider's root certificate; system uses the public"
    " ones.",
    "step.root_certificate.remedy": "Put the provider's root certificate where sslrootcert= says, and deploy it with"
    " the app.",
    "rebuild_rollups_token_tracker_rollup_rebuild": "Rebuild the rollups: token-tracker rollup --rebuild.",
    "todays_rollups_refreshed_match_rows_including": "Today's rollups are refreshed and match the rows, including the"
    " test row.",
    "schema_database_token_usage": "Schema {schema} of database {database} has no token_usage.",
    "records_waiting_oldest": "{waiting} records are waiting, the oldest for {oldestAgeS} s.",
    "alerts_kind_last_day": "{alerts} alerts of the kind {reason} in the last day.",
    "connections_use_role_open_more": "{used} of {max} connections are in use; this role can open {free} more.",
    "machines_clock_behind_databases": "This machine's clock is {value} s behind the database's.",
    "one_round_trip_took_ms_region": "One round trip took {latency_ms} ms (region {value}).",
    "there_schema": "There is no schema {schema}.",
    "cant_written": "{path} can't be written.",
    "cant_read": "{damaged} can't be read.",
    "outbox_contains_dead_letters": "The outbox contains {count} dead letters.",
    "sequence_numbers_last_day_neither_row": "{missing} sequence numbers of the last day have neither a row nor a"
    " ledger entry.",
    "machines_clock_ahead_databases": "This machine's clock is {skew_s} s ahead of the database's.",
    "pending_migrations": "Pending migrations: {value}.",
    "role_may_insert_into_token_tracker_ledger_token_tracker_aler": "The role may not insert into"
    " token_tracker_ledger and token_tracker_alerts.",
    "row_level_security_policy_allows_select": "Row-level security is on, and no policy allows SELECT for this role.",
    "rows_null_created_at": "{count} rows have NULL in created_at.",
    "published_tables_replica_identity": "{value} published tables have no replica identity.",
    "one_schema_another_one": "This one is in the schema {schema}, another one in {others}.",
    "indexes_same_keys_other_indexes": "{value} indexes have the same keys as other indexes.",
    "column_cost_null_default_replaces_unknown": "The column cost is NOT NULL, so its default replaces an unknown"
    " cost.",
    "row_level_security_off_token_usage": "Row-level security is off on token_usage.",
    "begin_closed_connection_twice": "BEGIN closed the connection, twice.",
    "tracker_mode_background": "TRACKER_MODE is background on {platform}.",
    "tracker_pool_size": "TRACKER_POOL_SIZE is {poolSize} on {platform}.",
    "connection_isnt_encrypted": "The connection isn't encrypted.",
    "tracker_debug_token_set_deployed_environment": "TRACKER_DEBUG_TOKEN is not set in a deployed environment.",
    "vercel_set_but_deployed_function": "VERCEL is set, but this is not a deployed function.",
    "rule.schema_missing": "The schema in DATABASE_URL doesn't exist.",
    "rule.schema_missing.remedy": "Correct schema= in DATABASE_URL, or CREATE SCHEMA and then token-tracker migrate.",
    "rule.table_missing": "The table token_usage isn't there.",
    "rule.table_missing.remedy": "Create it: token-tracker migrate. If it exists in another database, correct"
    " DATABASE_URL.",
    "rule.read_only": "DATABASE_URL names a read-only replica.",
    "rule.read_only.remedy": "Use the address of the primary server for recording.",
    "rule.not_adoptable": "The table token_usage can't be adopted by token-tracker migrate.",
    "rule.right_missing": "The database user lacks a right on token_usage.",
    "rule.right_missing.remedy": "As its owner: GRANT SELECT, INSERT ON token_usage TO the user; where row-level"
    " security is on, also CREATE POLICY token_tracker ON token_usage TO the user USING (true) WITH CHECK (true);",
    "rule.sees_no_rows": "This role sees no rows of token_usage: an empty page doesn't mean that nothing was recorded.",
    "rule.sees_no_rows.remedy": "As the table's owner: CREATE POLICY token_tracker_reads ON token_usage FOR SELECT TO"
    " the user USING (true);",
    "rule.outbox_unwritable": "Records can't be queued while the database doesn't answer.",
    "rule.outbox_unwritable.remedy": "Set TRACKER_OUTBOX to a writable file (on serverless: in /tmp).",
    "rule.outbox_damaged": "An outbox can't be read.",
    "rule.outbox_damaged.remedy": "Check the disk. The next Tracker that uses a damaged file renames it.",
    "rule.outbox_waiting": "Records are waiting on this machine and aren't delivered.",
    "rule.outbox_waiting.remedy": "Fix what prevents the database from storing them, then: token-tracker outbox drain.",
    "rule.outbox_set_aside": "The database refused records.",
    "rule.outbox_set_aside.remedy": "Find the reason with token-tracker outbox list, then: token-tracker outbox drain"
    " --dead-letters.",
    "rule.records_missing": "Records are missing.",
    "rule.records_missing.remedy": "See the deployment in the loss ledger on the Performance page, and search its log"
    " for token_usage.failed.",
    "rule.alerts": "Recording raised alerts.",
    "rule.alerts.remedy": "See the log of that time; search for token_tracking_failure.",
    "rule.read_only_default": "New sessions of this role are read-only.",
    "rule.read_only_default.remedy": "ALTER ROLE … RESET default_transaction_read_only; until then, recording works"
    " with a second attempt for each record.",
    "rule.few_slots": "The server is running out of connections.",
    "rule.few_slots.remedy": "Use the provider's transaction pooler, or lower TRACKER_POOL_SIZE.",
    "rule.clock_off": "This machine's clock or the database's is wrong.",
    "rule.clock_off.remedy": "Set the clock by NTP: the time of a call is this machine's time.",
    "rule.statement_pooling": "The pooler is in statement mode: recording works, but anything that needs a"
    " transaction fails.",
    "rule.statement_pooling.remedy": "For migrate, rollup, prune, reprice and the dashboard: the database's direct"
    " address, or pool_mode = transaction at the pooler.",
    "rule.far_away": "The function and the database are far from each other.",
    "rule.far_away.remedy": "Run the function in the database's region; the first connection takes several round"
    " trips.",
    "rule.background_on_serverless": "Records are written after the response, when the instance is frozen.",
    "rule.background_on_serverless.remedy": "Remove TRACKER_MODE, so that a record is written before record() returns.",
    "rule.pool_large": "Each instance may open many connections, and there are many instances.",
    "rule.pool_large.remedy": "Remove TRACKER_POOL_SIZE, or set it to 5 or less.",
    "rule.migration_pending": "The database lacks migrations of this version.",
    "rule.optional_column_missing": "The table token_usage lacks columns of this version, so records are stored without"
    " these values.",
    "rule.optional_column_missing.remedy": "Add them: token-tracker migrate. Then restart the processes that record.",
    "rule.ledger_closed": "The loss ledger can't be written, so explained losses count as missing.",
    "rule.ledger_closed.remedy": "GRANT INSERT ON token_tracker_ledger, token_tracker_alerts TO the user; where"
    " row-level security is on, also CREATE POLICY token_tracker ON token_tracker_ledger TO the user WITH CHECK"
    " (true); and the same ON token_tracker_alerts.",
    "rule.cost_never_unknown": "A call without a known price counts as free.",
    "rule.cost_never_unknown.remedy": "token-tracker reprice, then as the table's owner: ALTER TABLE token_usage"
    " ALTER COLUMN cost DROP NOT NULL, ALTER COLUMN cost DROP DEFAULT;",
    "rule.defaults_refused": "Constraints of the table refuse some records.",
    "rule.defaults_refused.remedy": "Give every call a value that the constraint allows, or change the constraint as"
    " the table's owner.",
    "rule.undated_rows": "Rows without a time are not counted anywhere.",
    "rule.undated_rows.remedy": "As the table's owner: UPDATE token_usage SET created_at = … WHERE created_at IS"
    " NULL; then: token-tracker rollup --rebuild.",
    "rule.replica_identity_missing": "Published tables without a replica identity refuse changes, so rollup, reprice"
    " and prune fail.",
    "rule.two_tables": "There is more than one table token_usage in this database.",
    "rule.two_tables.remedy": "Name the right schema with schema= in DATABASE_URL, both for the app and for the"
    " dashboard.",
    "rule.duplicate_indexes": "An earlier version created duplicate indexes on token_usage.",
    "rule.public_key_reads": "Anyone with the project's public key can read token_usage.",
    "rule.not_encrypted": "Records are sent unencrypted.",
    "rule.not_encrypted.remedy": "Add ?sslmode=require to DATABASE_URL.",
    "rule.debug_token_missing": "Nobody can read this report from another machine.",
    "rule.debug_token_missing.remedy": "Set TRACKER_DEBUG_TOKEN to a long random text and send it as Authorization:"
    " Bearer ….",
    "rule.pulled_variables": "Variables of a deployment are set on this machine.",
    "rule.pulled_variables.remedy": "Commands such as vercel env pull set them; the values of sensitive variables are"
    " empty.",
    "tried_because_nothing_written": "Not tried, because nothing was written.",
    "test_row_stored_written": "The test row is stored as it was written.",
    "test_row_deleted_entered_loss_ledger": "{count} test row deleted and entered in the loss ledger.",
    "dashboard_reads_test_row_id": "The dashboard reads the test row by its id.",
    "dashboard_doesnt_find_test_row_id": "The dashboard doesn't find the test row by its id.",
    "database_rollups_check": "This database has no rollups to check.",
    "not_found": "The test row is not stored as it was written: {value} rows.",
    "role_may_delete_test_row_remains": "This role may not delete. The test row {id} remains; it is not counted.",
    "out_of_time": "The time limit of the report is reached.",
    "out_of_time.remedy": "Try again.",
    "step.timeout": "The server {server} didn't answer in time.",
    "step.host_unknown": "There is no server named {host}.",
    "step.refused": "Nothing answers at {server}.",
    "step.ipv6_only": "{host} has an IPv6 address alone, which this network can't reach.",
    "step.unreachable": "{server} is not reachable from this network.",
    "accepted_connection_but_sent_reply": "{server} accepted the connection but sent no reply.",
    "server_doesnt_support_tls_but_sslmode": "The server {server} doesn't support TLS, but sslmode={mode} requires it.",
    "step.hung_up": "{server} closed the connection at once.",
    "step.not_postgres": "{server} does not speak the PostgreSQL protocol.",
    "step.dns_timeout": "DNS didn't answer in time.",
    "tls_handshake_timed_out": "The TLS handshake with {server} timed out.",
    "step.tls_failed": "The TLS handshake with {server} failed.",
    "step.root_certificate": "The root certificate that sslmode asks for can't be read.",
    "nothing_answers_socket": "Nothing answers at the socket in {host}.",
    "contains_psql_command_must_contain_only": "{name} contains a psql command; it must contain only the URL.",
    "still_contains_placeholder_password": "{name} still contains the placeholder for the password.",
    "contains_own_name_name_pasted_value": "{name} contains its own name: NAME= was pasted with the value.",
    "contains_reference_another_variable_replaced": "{name} contains a reference to another variable that was not"
    " replaced.",
    "value_contains_line_break": "The value of {name} contains a line break.",
    "quotes_env_file_part_value": "The quotes of the .env file are part of the value of {name}.",
    "tracker_debug_token_only_characters_guessed": "TRACKER_DEBUG_TOKEN has only {length} characters and can be"
    " guessed.",
    "pgoptions_set_transaction_poolers_refuse_parameter": "PGOPTIONS is set; transaction poolers refuse its parameter.",
    "port_5432_supabases_pooler_uses_one": "Port 5432 of Supabase's pooler uses one server connection for each client.",
    "contains_secret_next_js_sends_every": "{name} contains a secret, and Next.js sends it to every visitor's browser.",
    "supabases_direct_host_accepts_few_connections": "Supabase's direct host accepts few connections, and only over"
    " IPv6.",
    "different_values_used": "{names} and {names2} have different values; {names3} is used.",
    "contains_only_white_space": "{name} contains only white space.",
    "neons_direct_host_accepts_few_connections": "Neon's direct host accepts few connections; its pooler accepts many.",
    "there_white_space_around_value": "There is white space around the value of {name}.",
}  # fmt: skip
