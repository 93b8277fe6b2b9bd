"""Files, environment and signals of every command, for help and the man page."""

from collections.abc import Mapping

FILES: Mapping[str, str] = {
    "/etc/syncd/syncd.toml": "the configuration, unless --config or SYNCD_CONFIG names "
    "another; `syncd init` writes it with every setting",
    "/etc/syncd/api-key": "the API key, if squeezely.api_key_file names it; readable "
    "by syncd's user only",
    "/var/lib/syncd/": "which ledger the daemon served, to detect a "
    "copy or a restore; ledger.state_directory, or systemd's StateDirectory",
}

ENVIRONMENT: Mapping[str, str] = {
    "SYNCD_CONFIG": "the configuration file",
    "SYNCD_SQUEEZELY_API_KEY": "the API key, if no credential and no file has it",
    "SYNCD_SOURCE_DSN": "the order database, in the same way",
    "SYNCD_PRIMARY_DSN": "the shop's primary, in the same way",
    "SYNCD_LEDGER_DSN": "the ledger's database, in the same way",
    "SYNCD_INSTANCE": "a name to use instead of the host's, where hosts change theirs",
    "CREDENTIALS_DIRECTORY": "systemd's credentials: squeezely-api-key, source-dsn, "
    "primary-dsn, ledger-dsn; they take precedence",
    "STATE_DIRECTORY": "systemd's StateDirectory",
    "HTTPS_PROXY": "the proxy to the API; NO_PROXY names hosts to reach without it",
    "PGPASSFILE": "and libpq's other variables, for what the DSN does not set",
    "NO_COLOR": "no colours, also on a terminal",
    "FORCE_COLOR": "colours, also where there is no terminal",
    "COLUMNS": "the width of help pages, from 40 to 80",
}

SIGNALS: Mapping[str, str] = {
    "SIGTERM, SIGINT": "the daemon finishes the batches being sent and ends; all "
    "others stay in the ledger",
    "SIGHUP": "the daemon reloads its configuration, or refuses it and keeps the old "
    "one; either way it probes the API at once",
}
