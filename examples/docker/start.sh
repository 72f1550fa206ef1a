#!/bin/sh
# Runs a command with the secrets that are mounted as files in its environment.
set -eu

secrets="${SECRETS_DIRECTORY:-/run/secrets}"

export_secret() { # variable, file
    if [ -f "$secrets/$2" ]; then
        value="$(cat "$secrets/$2")"
        export "$1=$value"
    fi
}

export_secret DATABASE_URL database_url
export_secret PGPASSWORD database_password # for a DATABASE_URL without a password
export_secret TRACKER_DASHBOARD_PASSWORD_HASH dashboard_password_hash
export_secret TRACKER_DEBUG_TOKEN debug_token
export_secret TRACKER_API_TOKENS api_tokens
export_secret TRACKER_API_SIGNING_KEY api_signing_key

exec "$@"
