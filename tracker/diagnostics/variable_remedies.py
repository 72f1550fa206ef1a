"""Remedies by code: for problems with a variable's value, and for failed connection steps."""

from __future__ import annotations

from tracker.messages import Message

# By the code of a `VariableProblem`, whose message is the cause.
VARIABLE_REMEDIES = {
    "blank": Message("diagnostics.variable.blank.remedy"),
    "placeholder": Message("diagnostics.variable.placeholder.remedy"),
    "name_in_value": Message("diagnostics.variable.name_in_value.remedy"),
    "unexpanded": Message("diagnostics.variable.unexpanded.remedy"),
    "command": Message("diagnostics.variable.command.remedy"),
    "wrong_scheme": Message("diagnostics.variable.wrong_scheme.remedy"),
    "malformed": Message("diagnostics.variable.malformed.remedy"),
    "tls_unreadable": Message("diagnostics.variable.tls_unreadable.remedy"),
    "quotes": Message("diagnostics.variable.quotes.remedy"),
    "newline": Message("diagnostics.variable.newline.remedy"),
    "white_space": Message("diagnostics.variable.white_space.remedy"),
    "session_pooler": Message("diagnostics.variable.session_pooler.remedy"),
    "direct_host": Message("diagnostics.variable.direct_host.remedy"),
    "exposed_secret": Message("diagnostics.variable.exposed_secret.remedy"),
    "setting_malformed": Message("diagnostics.variable.setting_malformed.remedy"),
    "two_databases": Message("diagnostics.variable.two_databases.remedy"),
    "token_short": Message("diagnostics.variable.token_short.remedy"),
    "pgoptions": Message("diagnostics.variable.pgoptions.remedy"),
}
# By the code of a failed `ConnectionStep`. A `DatabaseError` has its own remedy.
STEP_REMEDIES = {
    "dns_timeout": Message("diagnostics.step.dns_timeout.remedy"),
    "host_unknown": Message("diagnostics.step.host_unknown.remedy"),
    "refused": Message("login.refused.remedy"),
    "ipv6_only": Message("login.ipv6_only.remedy"),
    "unreachable": Message("diagnostics.step.unreachable.remedy"),
    "timeout": Message("diagnostics.step.timeout.remedy"),
    "silent": Message("diagnostics.step.silent.remedy"),
    "hung_up": Message("diagnostics.step.hung_up.remedy"),
    "not_postgres": Message("login.not_postgres.remedy"),
    "tls_refused": Message("login.tls_refused.remedy"),
    "tls_timeout": Message("diagnostics.step.tls_timeout.remedy"),
    "tls_failed": Message("diagnostics.step.tls_failed.remedy"),
    "certificate": Message("diagnostics.step.certificate.remedy"),
    "certificate_expired": Message("diagnostics.step.certificate_expired.remedy"),
    "certificate_not_yet": Message("diagnostics.step.certificate_not_yet.remedy"),
    "certificate_host": Message("diagnostics.step.certificate_host.remedy"),
    "certificate_unknown": Message("diagnostics.step.certificate_unknown.remedy"),
    "root_certificate": Message("login.root_certificate.remedy"),
}
