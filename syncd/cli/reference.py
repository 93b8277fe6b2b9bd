"""What holds for every verb: files, environment, signals; told by help and man page."""

from collections.abc import Mapping

FILES: Mapping[str, str] = {
    "/etc/syncd/syncd.toml": "the configuration, unless --config or SYNCD_CONFIG names "
    "another; `syncd init` writes it with every setting",
    "/etc/syncd/api-key": "the API key, where squeezely.api_key_file says so; readable "
    "by syncd's user only",
    "/var/lib/syncd/": "what the daemon remembers of the ledger it served, to notice a "
    "copy or a restore; ledger.state_directory, or systemd's StateDirectory",
}

ENVIRONMENT: Mapping[str, str] = {
    "SYNCD_CONFIG": "the configuration file",
    "SYNCD_SQUEEZELY_API_KEY": "the API key, if no credential and no file holds it",
    "SYNCD_SOURCE_DSN": "the order database, in the same way",
    "SYNCD_PRIMARY_DSN": "where the shop writes, in the same way",
    "SYNCD_LEDGER_DSN": "the ledger's database, in the same way",
    "SYNCD_INSTANCE": "a name that stands for this host's, where hosts change theirs",
    "CREDENTIALS_DIRECTORY": "systemd's credentials: squeezely-api-key, source-dsn, "
    "primary-dsn, ledger-dsn; they come first",
    "STATE_DIRECTORY": "systemd's StateDirectory",
    "HTTPS_PROXY": "the proxy to the API; NO_PROXY names hosts to reach without it",
    "PGPASSFILE": "and libpq's other variables, wherever the DSN leaves something open",
    "NO_COLOR": "no colours, also on a terminal",
    "FORCE_COLOR": "colours, also where there is no terminal",
    "COLUMNS": "how wide help pages are, instead of the terminal: from 40 to 80",
}

SIGNALS: Mapping[str, str] = {
    "SIGTERM, SIGINT": "the daemon delivers what it has in hand and ends; what it has "
    "not begun stays in the ledger",
    "SIGHUP": "the daemon reads its configuration again and applies it, or refuses it "
    "and keeps the old settings; either way it tries the API again at once",
}
